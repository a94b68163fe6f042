"""What scenes are made of: things with a shape, a colour and a size; and which scenes are kept for tests."""

import dataclasses
import hashlib
import random
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias, get_args

Part: TypeAlias = Literal["train", "valid", "test"]

# Pixels of a picture's side, and its cells, in which things begin.
SIDE, CELLS = 32, 3
SHAPES = ("circle", "square", "triangle", "cross")
# Red, green and blue, 0 to 1.
COLOURS = {
    "red": (0.86, 0.15, 0.15),
    "green": (0.13, 0.6, 0.2),
    "blue": (0.12, 0.3, 0.85),
    "yellow": (0.95, 0.8, 0.1),
    "purple": (0.6, 0.2, 0.65),
    "black": (0.08, 0.08, 0.1),
}
# Pixels from a thing's middle to its edge.
SIZES = {"small": 2.7, "large": 4.5}
# Pixels, at the most, that a thing lies off the middle of its cell along each axis.
JITTER = 0.8

# Of ten kinds of scenes so many are for validation, and for tests.
_VALID, _TEST = 1, 1


@dataclasses.dataclass(frozen=True, order=True)
class Kind:
    """What tells a thing from others."""

    size: str
    colour: str
    shape: str

    @property
    def radius(self) -> float:
        """Pixels from the middle to the edge."""
        return SIZES[self.size]


def draw_kinds(count: int, dice: random.Random) -> list[Kind]:
    """So many different kinds, alike in some respects more often than by chance, so that short names are not enough."""
    kinds: list[Kind] = []
    while len(kinds) < count:
        size, colour, shape = dice.choice(list(SIZES)), dice.choice(list(COLOURS)), dice.choice(SHAPES)
        if kinds and dice.random() < 0.5:
            other = dice.choice(kinds)
            size, colour, shape = (
                dice.choice(pair) for pair in ((size, other.size), (colour, other.colour), (shape, other.shape))
            )
        if (kind := Kind(size, colour, shape)) not in kinds:
            kinds.append(kind)
    return kinds


def cell_middle(cell: int, dice: random.Random) -> tuple[float, float]:
    """A place in a cell (numbered row by row), in pixels from the upper left corner: x, y."""
    row, column = divmod(cell, CELLS)
    x, y = ((index + 0.5) * SIDE / CELLS + dice.uniform(-JITTER, JITTER) for index in (column, row))
    return x, y


def part_of(description: Iterable[Sequence[object]]) -> Part:
    """Whether a scene is to train on, to validate with or to test on.

    It is told by a hash of the description: what each thing is, in which cell, how it moves; in any order. So scenes
    of two parts always differ in more than the jitter and noise of pixels.
    """
    text = "; ".join(sorted(" ".join(map(str, thing)) for thing in description))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 10
    if number < _TEST:
        return "test"
    return "valid" if number < _TEST + _VALID else "train"


def check_part(part: str) -> None:
    """ValueError for a part that there is not."""
    if part not in get_args(Part):
        raise ValueError(f"part must be one of {', '.join(get_args(Part))}, not {part!r}")
