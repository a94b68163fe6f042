"""Tasks 9-14: people who only move, and the ways in which that can be said."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from . import grammar
from .telling import (
    OTHER_PEOPLE,
    OTHER_PLACES,
    STANDARD_PEOPLE,
    STANDARD_PLACES,
    WINDOW,
    WOMEN,
    BlockTale,
    Cast,
    Dice,
    Difficulty,
    Event,
    Pool,
    Tale,
    people,
    places,
)

TIMES = ("yesterday", "this morning", "this afternoon", "this evening")


class Told(NamedTuple):
    """What the latest fact about somebody says."""

    fact: int
    place: str
    named: tuple[str, ...] = ()  # the places it leaves open, if it is indefinite
    denied: bool = False


class Sayings(BlockTale):
    """One person moves a fact, said in one of several ways."""

    def __init__(self, dice: Dice, cast: Cast) -> None:
        super().__init__(dice, cast)
        self.told: dict[str, Told] = {}

    def step(self) -> None:
        person = self.dice.choose(self.people)
        before = self.where[person]
        after = self.dice.other(self.places, before)
        self.move(person, place=after)
        if self.dice.chance():
            self.told[person] = Told(self.say(grammar.go(self.dice, person, after)), after)
        elif self.dice.chance():
            self.told[person] = Told(self.say(f"{person} is in the {after}."), after)
        else:
            self.told[person] = self.say_otherwise(person, before, after)

    def say_otherwise(self, person: str, before: str, after: str) -> Told:
        raise NotImplementedError


class SimpleNegation(Sayings):
    """Task 9. A negation denies the place just left and does not tell the new one."""

    pools: ClassVar[Mapping[str, Pool]] = {"people": people(*STANDARD_PEOPLE), "places": places(*STANDARD_PLACES)}

    def say_otherwise(self, person: str, before: str, after: str) -> Told:
        negation = "not" if self.dice.chance() else "no longer"
        return Told(self.say(f"{person} is {negation} in the {before}."), before, denied=True)

    def question(self, event: Event) -> bool:
        fact, place, _, denied = self.told[event.person]
        right = not denied and self.dice.chance()
        asked = place if right or denied else self.dice.other(self.places, place)
        self.ask(f"Is {event.person} in the {asked}?", "yes" if right else "no", fact)
        return True


class IndefiniteKnowledge(Sayings):
    """Task 10. Either here or there; the decoy may be the true place itself, as in the release."""

    pools: ClassVar[Mapping[str, Pool]] = {"people": people(*OTHER_PEOPLE), "places": places(*OTHER_PLACES)}

    def say_otherwise(self, person: str, before: str, after: str) -> Told:
        first, second = self.dice.shuffled((after, self.dice.choose(self.places)))
        fact = self.say(f"{person} is either in the {first} or the {second}.")
        return Told(fact, after, (first, second))

    def question(self, event: Event) -> bool:
        fact, place, named, _ = self.told[event.person]
        asked = place if self.dice.chance() else self.dice.other(self.places, place)
        right = asked in named or asked == place
        answer = "no" if not right else "maybe" if named else "yes"
        self.ask(f"Is {event.person} in the {asked}?", answer, fact)
        return True


class Conjunction(BlockTale):
    """Task 12. Two people move together."""

    pools: ClassVar[Mapping[str, Pool]] = {
        "people": people(*STANDARD_PEOPLE, fewest=2),
        "places": places(*STANDARD_PLACES, fewest=3),
    }

    def step(self) -> None:
        self.move_together()

    def move_together(self) -> tuple[str, str]:
        """Two people go where neither of them is."""
        while True:
            first, second = self.dice.sample(self.people, 2)
            place = self.dice.choose(self.places)
            if place not in (self.where[first], self.where[second]):
                break
        self.move(first, second, place=place)
        self.say(grammar.go(self.dice, f"{first} and {second}", place))
        return first, second

    def question(self, event: Event) -> bool:
        last = self.last_move(event.person)
        self.ask(f"Where is {event.person}?", last.thing, last.fact)
        return True


class Coreference(BlockTale):
    """Somebody moves, and then moves again under a pronoun."""

    def move_on(self, pronoun: str, *people: str) -> None:
        place = self.dice.other(self.places, self.where[people[0]])
        self.move(*people, place=place)
        self.say(grammar.go(self.dice, f"{self.dice.choose(grammar.THEN)} {pronoun}", place))

    def question(self, event: Event) -> bool:
        last = self.last_move(event.person)
        self.ask(f"Where is {event.person}?", last.thing, last.fact - 1, last.fact)
        return True


class BasicCoreference(Coreference):
    """Task 11. One person, then he or she."""

    pools: ClassVar[Mapping[str, Pool]] = {"people": people(*STANDARD_PEOPLE), "places": places(*STANDARD_PLACES)}

    def tell_block(self) -> None:
        person = self.dice.choose(self.people)
        place = self.dice.other(self.places, self.where[person])
        self.move(person, place=place)
        self.say(grammar.go(self.dice, person, place))
        self.move_on("she" if person in WOMEN else "he", person)


class CompoundCoreference(Coreference, Conjunction):
    """Task 13. Two people, then they."""

    def tell_block(self) -> None:
        self.move_on("they", *self.move_together())


class TimeReasoning(Tale):
    """Task 14. Each person moves at up to four times of two days, and every block is told out of order."""

    pools: ClassVar[Mapping[str, Pool]] = {"people": people(*OTHER_PEOPLE, fewest=2), "places": places(*OTHER_PLACES)}

    @classmethod
    def cast(cls, task: int, difficulty: Difficulty) -> Cast:
        cast = super().cast(task, difficulty)
        # A block without a question uses up two first moves, one with a question any two: 2 * (questions) + people.
        most = len(cast.people) * (len(TIMES) - 1) // 2
        if cast.questions > most:
            raise ValueError(
                f"task {task} with {len(cast.people)} people can ask {most} questions a story, got {cast.questions}"
            )
        return cast

    def __init__(self, dice: Dice, cast: Cast) -> None:
        super().__init__(dice, cast)
        self.start = {person: dice.choose(self.places) for person in self.people}  # never told
        self.visits: dict[str, list[str]] = {person: [] for person in self.people}
        self.moves: list[tuple[str, int]] = []  # (person, which of their visits), as they happened
        self.facts: dict[tuple[str, int], int] = {}

    def tell(self) -> None:
        for _ in range(self.wanted):
            first = len(self.moves)
            askable: list[tuple[str, int]] = []
            while not askable:
                self.step()
                self.step()
                askable = [move for move in self.moves[-WINDOW:] if move[1] > 0]
            self.present(self.moves[first:])
            self.ask_about(*self.dice.choose(askable))

    def step(self) -> None:
        person = self.dice.choose(self.people)
        visits = self.visits[person]
        if len(visits) == len(TIMES):
            return self.step()
        self.moves.append((person, len(visits)))
        visits.append(self.dice.other(self.places, visits[-1] if visits else self.start[person]))
        return None

    def present(self, block: list[tuple[str, int]]) -> None:
        """Tell the moves in an order in which none keeps its place: one random cycle (Sattolo's shuffle)."""
        for last in range(len(block) - 1, 0, -1):
            earlier = self.dice.below(last)
            block[last], block[earlier] = block[earlier], block[last]
        for person, visit in block:
            sentence = grammar.go(self.dice, person, self.visits[person][visit])
            time = TIMES[visit]
            told = f"{time.capitalize()} {sentence}" if self.dice.chance() else f"{sentence[:-1]} {time}."
            self.facts[person, visit] = self.say(told)

    def ask_about(self, person: str, visit: int) -> None:
        """Where somebody was before the latest visit to the place of this one."""
        visits = self.visits[person]
        place = visits[visit]
        latest = max(k for k, other in enumerate(visits) if other == place)
        supports = (self.facts[person, latest], self.facts[person, latest - 1])
        self.ask(f"Where was {person} before the {place}?", visits[latest - 1], *supports)
