"""What all twenty generators share: random draws, words to choose from, and a story while it is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeVar

from ..common import check_count
from .stories import Fact, Question

if TYPE_CHECKING:
    import numpy as np

Thing = TypeVar("Thing")

WINDOW = 5  # a question is built from one of the last five events
ATTEMPTS = 45  # how often another event is drawn when no question can be built from one

FURTHER_PEOPLE = (
    *("Alice", "Oscar", "Clara", "Peter", "Diana", "Victor", "Elena", "Hugo", "Hannah", "Simon"),
    *("Irene", "Walter", "Karen", "Martin", "Nadia", "Robert", "Olivia", "Thomas"),
)
WOMEN = frozenset({"Mary", "Sandra", "Julie", *FURTHER_PEOPLE[::2]})
FURTHER_PLACES = (
    *("attic", "balcony", "basement", "cellar", "garage", "library", "market", "museum", "pantry"),
    *("porch", "station", "studio", "terrace", "theatre", "workshop", "zoo"),
)
FURTHER_OBJECTS = (
    *("book", "lamp", "key", "hat", "ball", "cup", "coat", "pen", "map", "radio", "umbrella", "violin"),
    *("basket", "bottle", "candle", "letter"),
)
NOISE = (
    "The clock struck again.",
    "A light rain fell.",
    "The wind turned.",
    "Somebody laughed outside.",
    "A dog barked twice.",
    "The lights flickered.",
    "Music played somewhere.",
    "A train passed by.",
)


class Dice:
    """Draws from a numpy generator, whose numbers are fetched many at a time, since one by one is slow."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._numbers: list[float] = []

    def number(self) -> float:
        """Uniform on [0, 1)."""
        if not self._numbers:
            self._numbers = self._generator.random(1024).tolist()
        return self._numbers.pop()

    def below(self, bound: int) -> int:
        return int(self.number() * bound)

    def choose(self, options: Sequence[Thing]) -> Thing:
        return options[int(self.number() * len(options))]

    def other(self, options: Sequence[Thing], than: Thing) -> Thing:
        """One of the options that is not the one given."""
        while (drawn := self.choose(options)) == than:
            pass
        return drawn

    def chance(self, probability: float = 0.5) -> bool:
        return self.number() < probability

    def shuffled(self, options: Sequence[Thing]) -> list[Thing]:
        return self.sample(options, len(options))

    def sample(self, options: Sequence[Thing], count: int) -> list[Thing]:
        """Different ones, in random order."""
        rest = list(options)
        return [rest.pop(self.below(len(rest))) for _ in range(count)]


class Pool(NamedTuple):
    """Words of one kind: those of the release first, then our own for harder stories."""

    release: tuple[str, ...]
    further: tuple[str, ...]
    fewest: int
    most: int | None = None


def people(*release: str, fewest: int = 1) -> Pool:
    return Pool(release, FURTHER_PEOPLE, fewest)


def places(*release: str, fewest: int = 2, most: int | None = None) -> Pool:
    return Pool(release, FURTHER_PLACES, fewest, most)


STANDARD_PEOPLE = ("John", "Mary", "Sandra", "Daniel")
STANDARD_PLACES = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")
OTHER_PEOPLE = ("Fred", "Mary", "Bill", "Julie")
OTHER_PLACES = ("bedroom", "cinema", "kitchen", "office", "park", "school")


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How hard stories are; None is as in the release.

    people, places, objects: how many there are to choose from (objects also: things, containers).
    questions: how many a story asks, and so, in most tasks, how long it is.
    noise: sentences about nothing before each fact, on average.
    """

    people: int | None = None
    places: int | None = None
    objects: int | None = None
    questions: int | None = None
    noise: float = 0.0


class Cast(NamedTuple):
    """What a difficulty comes to in one task."""

    people: tuple[str, ...]
    places: tuple[str, ...]
    objects: tuple[str, ...]
    questions: int


class Tale(ABC):
    """One story of one task, told by `tell`, which fills `lines`."""

    pools: ClassVar[Mapping[str, Pool]]  # of "people", "places", "objects"
    questions: ClassVar[int | None] = 5  # how many the release asks in a story; None where that follows by itself

    def __init__(self, dice: Dice, cast: Cast) -> None:
        self.dice = dice
        self.people, self.places, self.objects, self.wanted = cast
        self.lines: list[Fact | Question] = []
        self.num_facts = 0

    @abstractmethod
    def tell(self) -> None:
        """Tell the story from beginning to end."""

    def say(self, text: str) -> int:
        """Add a fact; returns its index among the facts."""
        self.lines.append(Fact(text))
        self.num_facts += 1
        return self.num_facts - 1

    def ask(self, text: str, answer: str, *supports: int) -> None:
        self.lines.append(Question(text, answer, supports))

    @classmethod
    def cast(cls, task: int, difficulty: Difficulty) -> Cast:
        """ValueError for a difficulty that this task does not have, or cannot reach."""
        chosen = {kind: cls._pick(task, kind, getattr(difficulty, kind)) for kind in ("people", "places", "objects")}
        questions = difficulty.questions
        if questions is not None and cls.questions is None:
            raise ValueError(f"the number of questions in a story of task {task} cannot be chosen")
        if questions is not None:
            check_count("questions", questions)
        if not 0 <= difficulty.noise <= 100:
            raise ValueError(f"noise must be between 0 and 100 sentences a fact, got {difficulty.noise!r}")
        return Cast(**chosen, questions=questions or cls.questions or 0)

    @classmethod
    def _pick(cls, task: int, kind: str, count: int | None) -> tuple[str, ...]:
        pool = cls.pools.get(kind)
        if pool is None:
            if count is not None:
                raise ValueError(f"task {task} has no number of {kind} to choose")
            return ()
        words = pool.release + tuple(word for word in pool.further if word not in pool.release)
        most = pool.most or len(words)
        if count is not None and check_count(kind, count, pool.fewest) > most:
            raise ValueError(f"task {task} can have {most} {kind} at most, got {count}")
        return words[: len(pool.release) if count is None else count]


class Event(NamedTuple):
    """One person doing one thing; a sentence about two people is two events."""

    person: str
    fact: int  # index of the sentence
    kind: str = "go"  # or "get", "drop", "give"
    thing: str = ""  # the place, or the object
    receiver: str = ""


class BlockTale(Tale):
    """Two facts, then a question about one of the last five events; two more facts while none can be asked."""

    def __init__(self, dice: Dice, cast: Cast) -> None:
        super().__init__(dice, cast)
        self.where = {person: dice.choose(self.places) for person in self.people}  # never told
        self.events: list[Event] = []

    def tell(self) -> None:
        for _ in range(self.wanted):
            self.tell_block()
            while not self.try_question():
                self.tell_block()

    def tell_block(self) -> None:
        self.step()
        self.step()

    def try_question(self) -> bool:
        recent = self.events[-WINDOW:]
        return any(self.question(self.dice.choose(recent)) for _ in range(ATTEMPTS))

    def step(self) -> None:
        """Tell one fact."""
        raise NotImplementedError

    @abstractmethod
    def question(self, event: Event) -> bool:
        """Ask about this event; False, asking nothing, if there is no question to be built from it."""

    def move(self, *people: str, place: str) -> None:
        """Let the people be at a place; the next sentence says so."""
        for person in people:
            self.where[person] = place
            self.events.append(Event(person, self.num_facts, "go", place))

    def last_move(self, person: str) -> Event:
        """The latest one; the person must have moved."""
        return next(event for event in reversed(self.events) if event.person == person and event.kind == "go")
