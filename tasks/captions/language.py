"""The words of captions: names of things, and a reader of sentences that says what is wrong with them."""

import dataclasses
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from .things import COLOURS, SHAPES, SIZES, Kind

Fault: TypeAlias = Literal["none", "grammar", "name", "false", "untold"]
Meaning = TypeVar("Meaning")

# Whether the thing was told of before.
ARTICLES = {"a": False, "the": True}


class Verdict(NamedTuple):
    """What a judge says of a caption.

    fault:  "none" where it is right; "grammar": no sentence of the language; "name": something is named that is not
            there, or not it alone; "false": not so in the scene; "untold": something that belongs there is missing,
            or told twice.
    reason: a few words on it, empty where it is right.
    """

    fault: Fault
    reason: str

    @property
    def right(self) -> bool:
        """Whether nothing is wrong."""
        return self.fault == "none"


class Wrong(Exception):
    """What is wrong with a caption."""

    def __init__(self, fault: Fault, reason: str) -> None:
        super().__init__(reason)
        self.verdict = Verdict(fault, reason)


def verdict_of(check: Callable[[], None]) -> Verdict:
    """The verdict of a check that raises Wrong where something is."""
    try:
        check()
    except Wrong as wrong:
        return wrong.verdict
    return Verdict("none", "")


@dataclasses.dataclass(frozen=True)
class Name:
    """Words for a thing: a shape, and its size or colour where they are told. known: with "the" instead of "a"."""

    size: str | None
    colour: str | None
    shape: str
    known: bool = False

    def fits(self, kind: Kind) -> bool:
        """Whether a thing of this kind can be called so."""
        return self.shape == kind.shape and self.size in (None, kind.size) and self.colour in (None, kind.colour)

    @property
    def full(self) -> bool:
        """Whether size and colour are told."""
        return self.size is not None and self.colour is not None

    def words(self) -> list[str]:
        """How it is said."""
        article = "the" if self.known else "a"
        return [article, *(word for word in (self.size, self.colour, self.shape) if word is not None)]

    def find(self, kinds: Sequence[Kind]) -> int:
        """The place of the only thing that is called so; Wrong where there is none, or another one."""
        found = [place for place, kind in enumerate(kinds) if self.fits(kind)]
        if len(found) != 1:
            many = f"{len(found)} things can be called" if found else "there is not"
            raise Wrong("name", f"{many} {' '.join(self.words())!r}")
        return found[0]


def draw_name(
    kinds: Sequence[Kind], place: int, dice: random.Random, *, full: bool = False, known: bool = False
) -> Name:
    """One of the names that only this thing has, full in half of the cases."""
    kind = kinds[place]
    longest = Name(kind.size, kind.colour, kind.shape, known)
    shorter = [
        name
        for name in (
            Name(None, None, kind.shape, known),
            Name(kind.size, None, kind.shape, known),
            Name(None, kind.colour, kind.shape, known),
        )
        if sum(map(name.fits, kinds)) == 1
    ]
    return longest if full or not shorter or dice.random() < 0.5 else dice.choice(shorter)


class Reader:
    """Words of a sentence, read from left to right. What does not fit raises Wrong."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words, self._place = list(words), 0

    def sees(self, *phrase: str) -> bool:
        """Whether these words come next; then they are read."""
        there = tuple(self._words[self._place : self._place + len(phrase)]) == phrase
        self._place += len(phrase) if there else 0
        return there

    def at_name(self) -> bool:
        """Whether a name of a thing comes next."""
        return self._place < len(self._words) and self._words[self._place] in ARTICLES

    def take(self, *phrase: str) -> None:
        """Read these words, which must come next."""
        if not self.sees(*phrase):
            raise self.surprise(repr(" ".join(phrase)))

    def choose(self, choices: dict[tuple[str, ...], Meaning], what: str) -> Meaning:
        """The meaning of the phrase that comes next."""
        for phrase, meaning in choices.items():
            if self.sees(*phrase):
                return meaning
        raise self.surprise(what)

    def option(self, choices: Iterable[str]) -> str | None:
        """The next word, where it is one of these."""
        return next((word for word in choices if self.sees(word)), None)

    def name(self) -> Name:
        """A name of a thing."""
        known = self.choose({(word,): known for word, known in ARTICLES.items()}, "'a' or 'the'")
        size, colour, shape = (self.option(choices) for choices in (SIZES, COLOURS, SHAPES))
        if shape is None:
            raise self.surprise("a shape")
        return Name(size, colour, shape, known)

    def end(self) -> None:
        """Nothing more may come."""
        if self._place < len(self._words):
            raise self.surprise("the end")

    def surprise(self, expected: str) -> Wrong:
        """That something else was expected here."""
        rest = self._words[self._place : self._place + 1]
        return Wrong("grammar", f"{rest[0]!r} instead of {expected}" if rest else f"it ends before {expected}")
