"""Scenes that move: one or two things that stand, or go to one side at some speed, bounce off the edge, and meet."""

import dataclasses
import itertools
import random
from collections.abc import Sequence
from functools import cached_property
from math import hypot

import numpy as np

from .language import Fault, Name, Reader, Verdict, Wrong, draw_name, verdict_of
from .rendering import Drawn, Floats, draw_paper, render
from .things import CELLS, SIDE, Kind, Part, cell_middle, draw_kinds, part_of
from .world import CaptionWorld, word_list

# To the right, down.
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
# Pixels a frame, from and to.
SPEEDS = {"slowly": (0.9, 1.3), "quickly": (2.4, 3.0)}
_FRAMES = (6, 9)
# How often a thing stands, there is but one thing, and two things are to meet.
_STANDS, _ALONE, _MEET = 0.25, 0.25, 0.4
# Pixels that a thing goes on after it bounced, or stays away from the edge, and by which things that meet overlap, or
# that are between things which do not, at the least: so that each can be seen.
_SEEN = 1.0
# Draws until things meet, after which it may be otherwise.
_PATIENCE = 20


@dataclasses.dataclass(frozen=True)
class Mover:
    """A thing, where it begins, in which cell that is, and how it moves; speed (pixels a frame) 0 where it stands."""

    start: Drawn
    cell: int
    direction: str | None = None
    manner: str | None = None
    speed: float = 0.0

    def at(self, frame: int) -> tuple[float, float]:
        """Where it is in a frame, having bounced off the edge: x, y."""
        if self.direction is None:
            return self.start.x, self.start.y
        low, high = self.start.kind.radius, SIDE - self.start.kind.radius
        x, y = (
            _folded(begin + sign * self.speed * frame, low, high) if sign else begin
            for begin, sign in zip((self.start.x, self.start.y), DIRECTIONS[self.direction], strict=True)
        )
        return x, y

    def beyond(self, frames: int) -> float:
        """Pixels that it would be over the edge in the last frame, had it not bounced; negative where it has not."""
        if self.direction is None:
            return -SIDE
        x, y = DIRECTIONS[self.direction]
        room = {-1: self.start.x if x else self.start.y, 1: SIDE - (self.start.x if x else self.start.y)}[x + y]
        return self.speed * (frames - 1) - (room - self.start.kind.radius)


def _folded(value: float, low: float, high: float) -> float:
    """A place on a way to and fro between two ends."""
    into = (value - low) % (2 * (high - low))
    return low + min(into, 2 * (high - low) - into)


@dataclasses.dataclass(frozen=True)
class MovingScene:
    """Different things that begin in different cells, and so many frames."""

    movers: tuple[Mover, ...]
    frames: int

    @property
    def kinds(self) -> list[Kind]:
        """What the things are."""
        return [mover.start.kind for mover in self.movers]

    def picture(self, frame: int) -> list[Drawn]:
        """The things of a frame."""
        return [Drawn(mover.start.kind, *mover.at(frame)) for mover in self.movers]

    def bounces(self, place: int) -> bool:
        """Whether a thing bounces off the edge."""
        return self.movers[place].beyond(self.frames) > 0

    @cached_property
    def gaps(self) -> tuple[float, float]:
        """Pixels between the circles and the squares around two things where they are nearest; negative in overlap."""
        ways = ([mover.at(frame) for frame in range(self.frames)] for mover in self.movers)
        apart = [(abs(x - other_x), abs(y - other_y)) for (x, y), (other_x, other_y) in zip(*ways, strict=True)]
        radii = sum(kind.radius for kind in self.kinds)
        return min(hypot(*one) for one in apart) - radii, min(map(max, apart)) - radii

    @property
    def meet(self) -> bool:
        """Whether two things come to touch."""
        return len(self.movers) == 2 and self.gaps[0] < 0

    def is_clear(self) -> bool:
        """Whether it can be seen what happens: who bounces, and whether they meet."""
        if any(abs(mover.beyond(self.frames)) < _SEEN for mover in self.movers):
            return False
        if len(self.movers) == 1:
            return True
        circles, squares = self.gaps
        return circles < -_SEEN or squares > _SEEN


@dataclasses.dataclass(frozen=True)
class Motion:
    """What a thing does."""

    name: Name
    manner: str | None
    direction: str | None
    bounces: bool

    def check(self, scene: MovingScene) -> int:
        """The thing that it is about; Wrong where it is not so, or not all."""
        place = self.name.find(scene.kinds)
        mover = scene.movers[place]
        for told, true in ((self.direction, mover.direction), (self.manner, mover.manner)):
            if told != true:
                raise Wrong(
                    "false", f"{' '.join(self.name.words())}: {told or 'standing'} instead of {true or 'standing'}"
                )
        if self.bounces != scene.bounces(place):
            fault: Fault = "untold" if scene.bounces(place) else "false"
            raise Wrong(fault, f"{' '.join(self.name.words())} bounces{'' if scene.bounces(place) else ' not'}")
        return place


class MovingCaptions(CaptionWorld[MovingScene]):
    """A sentence about all that happens in six to nine frames with one or two things.

    a small red circle moves slowly left while a square stands still
    a black cross moves down quickly and bounces while a triangle moves left slowly and they meet

    Which way a thing goes is told as it begins. A caption that leaves something out is not right.
    """

    name = "moving-captions"
    max_words, max_things = 24, 2
    max_frames = _FRAMES[1]
    words = word_list(DIRECTIONS, SPEEDS, ("moves", "stands", "still", "while", "and", "bounces", "they", "meet"))

    def draw(self, part: Part, dice: random.Random, most: int) -> MovingScene:
        count, must_meet = 1 if dice.random() < _ALONE else most, dice.random() < _MEET
        for tries in itertools.count():
            scene = _draw(count, dice)
            if not scene.is_clear() or (count == 2 and must_meet and not scene.meet and tries < _PATIENCE):
                continue
            if part_of(self.describe(scene)) == part:
                return scene
        raise AssertionError

    def write(self, scene: MovingScene, dice: random.Random) -> list[str]:
        words: list[str] = []
        for place in dice.sample(range(len(scene.movers)), len(scene.movers)):
            mover = scene.movers[place]
            words += [*(["while"] if words else []), *draw_name(scene.kinds, place, dice).words()]
            if mover.direction is None or mover.manner is None:
                words += ["stands", "still"]
                continue
            words += ["moves", *dice.sample((mover.manner, mover.direction), 2)]
            words += ["and", "bounces"] if scene.bounces(place) else []
        return [*words, *(["and", "they", "meet"] if scene.meet else [])]

    def judge(self, words: Sequence[str], scene: MovingScene) -> Verdict:
        def check() -> None:
            motions, meet = _parse(words)
            told = [motion.check(scene) for motion in motions]
            if len(set(told)) < len(told):
                raise Wrong("untold", "a thing is told of twice")
            if len(told) < len(scene.movers):
                raise Wrong("untold", "another thing is not told of")
            if meet != scene.meet:
                raise Wrong("untold" if scene.meet else "false", f"they meet{'' if scene.meet else ' not'}")

        return verdict_of(check)

    def describe(self, scene: MovingScene) -> list[tuple[object, ...]]:
        return [
            (*dataclasses.astuple(mover.start.kind), mover.cell, mover.direction, mover.manner)
            for mover in scene.movers
        ]

    def frames(self, scene: MovingScene) -> int:
        return scene.frames

    def render(self, scenes: Sequence[MovingScene], generator: np.random.Generator) -> Floats:
        real = [(row, frame) for row, scene in enumerate(scenes) for frame in range(scene.frames)]
        paper = draw_paper(len(scenes), generator).repeat([scene.frames for scene in scenes])
        pictures = render([scenes[row].picture(frame) for row, frame in real], paper, generator)
        films = np.zeros((len(scenes), max(scene.frames for scene in scenes), *pictures.shape[1:]), dtype=np.float32)
        rows, frames = zip(*real, strict=True)
        films[rows, frames] = pictures
        return films


def _draw(count: int, dice: random.Random) -> MovingScene:
    """Any scene of so many things."""
    movers = []
    for kind, cell in zip(draw_kinds(count, dice), dice.sample(range(CELLS**2), count), strict=True):
        start = Drawn(kind, *cell_middle(cell, dice))
        if dice.random() < _STANDS:
            movers.append(Mover(start, cell))
            continue
        manner = dice.choice(list(SPEEDS))
        movers.append(Mover(start, cell, dice.choice(list(DIRECTIONS)), manner, dice.uniform(*SPEEDS[manner])))
    return MovingScene(tuple(movers), dice.randint(*_FRAMES))


def _parse(words: Sequence[str]) -> tuple[list[Motion], bool]:
    """What a caption says of things, and whether it says that they meet."""
    reader = Reader(words)
    motions = [_motion(reader)]
    while reader.sees("while"):
        motions.append(_motion(reader))
    meet = reader.sees("and", "they", "meet")
    reader.end()
    return motions, meet


def _motion(reader: Reader) -> Motion:
    name = reader.name()
    if name.known:
        raise Wrong("grammar", "'the' for what was not told of before")
    if reader.sees("stands", "still"):
        return Motion(name, None, None, False)
    reader.take("moves")
    manner = reader.option(SPEEDS)
    direction = reader.option(DIRECTIONS)
    if direction is None:
        raise reader.surprise("a direction")
    manner = manner or reader.option(SPEEDS)
    if manner is None:
        raise reader.surprise("'slowly' or 'quickly'")
    return Motion(name, manner, direction, reader.sees("and", "bounces"))
