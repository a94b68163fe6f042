"""Pictures of one to three things, and sentences about them: where a thing is, or where it is from another."""

import dataclasses
import random
from collections.abc import Sequence

import numpy as np

from .language import Name, Reader, Verdict, Wrong, draw_name, verdict_of
from .rendering import Drawn, Floats, draw_paper, render
from .things import CELLS, SIDE, Kind, Part, cell_middle, draw_kinds, part_of
from .world import CaptionWorld, word_list

# Each phrase and the direction in which the first thing lies from the second: to the right, down.
RELATIONS = {
    ("left", "of"): (-1, 0),
    ("right", "of"): (1, 0),
    ("above",): (0, -1),
    ("below",): (0, 1),
}
# Each phrase and the cell, row by row.
PLACES: dict[tuple[str, ...], int] = {
    ("in", "the", "upper", "left", "corner"): 0,
    ("at", "the", "top"): 1,
    ("in", "the", "upper", "right", "corner"): 2,
    ("at", "the", "left", "edge"): 3,
    ("in", "the", "middle"): 4,
    ("at", "the", "right", "edge"): 5,
    ("in", "the", "lower", "left", "corner"): 6,
    ("at", "the", "bottom"): 7,
    ("in", "the", "lower", "right", "corner"): 8,
}
_PHRASES = {cell: phrase for phrase, cell in PLACES.items()}
# Things in a picture.
MOST = 3
# Pixels along an axis from which on things lie beside, or above each other.
_APART = 5.0
# How often the place of a thing is told where there is another one, and how often a sentence begins with the place.
_PLACE, _TURNED = 0.3, 0.3


@dataclasses.dataclass(frozen=True)
class Scene:
    """Different things in different cells, and where they are."""

    things: tuple[Drawn, ...]

    @property
    def kinds(self) -> list[Kind]:
        """What the things are."""
        return [thing.kind for thing in self.things]

    def description(self) -> list[tuple[object, ...]]:
        """All but jitter and noise, see part_of."""
        return [(*dataclasses.astuple(thing.kind), self.cell(place)) for place, thing in enumerate(self.things)]

    def cell(self, place: int) -> int:
        """The cell that a thing is in, row by row."""
        column, row = (int(value * CELLS / SIDE) for value in self.things[place][1:])
        return row * CELLS + column

    def is_beside(self, first: int, relation: tuple[str, ...], second: int) -> bool:
        """Whether the first thing lies from the second as the relation says."""
        across, down = RELATIONS[relation]
        one, other = self.things[first], self.things[second]
        return across * (one.x - other.x) + down * (one.y - other.y) >= _APART

    def relations(self, first: int, second: int) -> list[tuple[str, ...]]:
        """All relations of two things."""
        return [relation for relation in RELATIONS if self.is_beside(first, relation, second)]


@dataclasses.dataclass(frozen=True)
class Placed:
    """That a thing is at a place."""

    name: Name
    place: tuple[str, ...]
    turned: bool = False

    @property
    def names(self) -> tuple[Name, ...]:
        """The name in it."""
        return (self.name,)

    def words(self) -> list[str]:
        """How it is said."""
        return _sentence(self.name.words(), self.place, self.turned)

    def check(self, scene: Scene) -> tuple[int, ...]:
        """The thing that it is about; Wrong where it is not so."""
        thing = self.name.find(scene.kinds)
        if scene.cell(thing) != PLACES[self.place]:
            raise Wrong("false", f"{' '.join(self.name.words())} is {' '.join(_PHRASES[scene.cell(thing)])}")
        return (thing,)


@dataclasses.dataclass(frozen=True)
class Related:
    """That a thing lies in some direction from another."""

    first: Name
    relation: tuple[str, ...]
    second: Name
    turned: bool = False

    @property
    def names(self) -> tuple[Name, ...]:
        """The names in it, as they are said one after the other."""
        return (self.second, self.first) if self.turned else (self.first, self.second)

    def words(self) -> list[str]:
        """How it is said."""
        return _sentence(self.first.words(), (*self.relation, *self.second.words()), self.turned)

    def check(self, scene: Scene) -> tuple[int, ...]:
        """The two things that it is about; Wrong where it is not so."""
        first, second = (name.find(scene.kinds) for name in (self.first, self.second))
        if first == second:
            raise Wrong("name", "a thing beside itself")
        if not scene.is_beside(first, self.relation, second):
            told = (" ".join(part) for part in (self.first.words(), self.relation, self.second.words()))
            raise Wrong("false", "{} is not {} {}".format(*told))
        return first, second


def _sentence(name: Sequence[str], rest: Sequence[str], turned: bool) -> list[str]:
    return [*rest, "is", *name] if turned else [*name, "is", *rest]


def read_statement(reader: Reader) -> Placed | Related:
    """A sentence about one or two things; Wrong where it is none."""
    turned = not reader.at_name()
    if not turned:
        name = reader.name()
        reader.take("is")
    phrase = reader.choose({one: one for one in (*PLACES, *RELATIONS)}, "a place")
    second = reader.name() if phrase in RELATIONS else None
    if turned:
        reader.take("is")
        name = reader.name()
    return Placed(name, phrase, turned) if second is None else Related(name, phrase, second, turned)


def draw_placed(scene: Scene, name: Name, thing: int, dice: random.Random) -> Placed:
    """That a thing, called so, is where it is."""
    return Placed(name, _PHRASES[scene.cell(thing)], dice.random() < _TURNED)


def draw_related(scene: Scene, names: Sequence[Name], things: Sequence[int], dice: random.Random) -> Related:
    """A relation of two things, called so, that holds."""
    relation = dice.choice(scene.relations(*things))
    return Related(names[0], relation, names[1], dice.random() < _TURNED)


def draw_scene(part: Part, dice: random.Random, most: int) -> Scene:
    """A scene of that part, of one thing to so many."""
    while True:
        count = dice.randint(1, most)
        cells = dice.sample(range(CELLS**2), count)
        kinds = draw_kinds(count, dice)
        scene = Scene(tuple(Drawn(kind, *cell_middle(cell, dice)) for kind, cell in zip(kinds, cells, strict=True)))
        if part_of(scene.description()) == part:
            return scene


def render_scenes(scenes: Sequence[Scene], generator: np.random.Generator) -> Floats:
    """Pictures (scene, colour, SIDE, SIDE)."""
    return render([scene.things for scene in scenes], draw_paper(len(scenes), generator), generator)


class Captions(CaptionWorld[Scene]):
    """A sentence about a picture of one to three things: where one of them is, or where it is from another.

    a black circle is in the middle              or: in the middle is a black circle
    a small red circle is left of a blue square  or: left of a blue square is a small red circle

    Things are called by shape, and size or colour or both, so that no other thing has the name.
    """

    name = "captions"
    max_words, max_things = 12, MOST
    words = word_list(PLACES, RELATIONS, ("is",))

    def draw(self, part: Part, dice: random.Random, most: int) -> Scene:
        return draw_scene(part, dice, most)

    def write(self, scene: Scene, dice: random.Random) -> list[str]:
        count = len(scene.things)
        things = dice.sample(range(count), min(count, 2))
        names = [draw_name(scene.kinds, thing, dice) for thing in things]
        if len(things) == 1 or dice.random() < _PLACE:
            return draw_placed(scene, names[0], things[0], dice).words()
        return draw_related(scene, names, things, dice).words()

    def judge(self, words: Sequence[str], scene: Scene) -> Verdict:
        def check() -> None:
            reader = Reader(words)
            statement = read_statement(reader)
            reader.end()
            if any(name.known for name in statement.names):
                raise Wrong("grammar", "'the' for what was not told of before")
            statement.check(scene)

        return verdict_of(check)

    def describe(self, scene: Scene) -> list[tuple[object, ...]]:
        return scene.description()

    def render(self, scenes: Sequence[Scene], generator: np.random.Generator) -> Floats:
        return render_scenes(scenes, generator)
