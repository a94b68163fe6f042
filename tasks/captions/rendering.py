"""Pictures of things, with smooth edges."""

from collections.abc import Sequence
from math import ceil
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .things import COLOURS, SHAPES, SIDE, SIZES, Kind

Floats: TypeAlias = NDArray[Any]

# A square's half side and a cross's half width, in radii; so shapes look about equally large.
_SQUARE, _BAR = 0.88, 0.36
# Brightness of the paper, and the most that noise adds to a pixel or takes from it.
_PAPER, _NOISE = (0.88, 1.0), 0.03
# Pixels on each side of a thing's middle that it may reach.
_MARGIN = ceil(max(SIZES.values()) + 1)


class Drawn(NamedTuple):
    """A thing at a place, in pixels from the upper left corner of the picture."""

    kind: Kind
    x: float
    y: float


def distance(shape: str, x: Floats, y: Floats) -> Floats:
    """How far points are outside a shape of radius one around the origin; negative within. y points down.

    Of corners the distance is that to the nearest edge's line, which is no more than the true one.
    """
    if shape == "circle":
        return np.hypot(x, y) - 1
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - _SQUARE
    if shape == "triangle":
        # The base below, a corner above; the sides as steep as 2 to 1.
        return np.maximum(y - 0.9, (2 * np.abs(x) - y - 0.9) / 5**0.5)
    if shape == "cross":
        along, across = np.maximum(np.abs(x), np.abs(y)), np.minimum(np.abs(x), np.abs(y))
        return np.asarray(np.maximum(along - 1, across - _BAR))
    raise ValueError(f"shape must be one of {', '.join(SHAPES)}, not {shape!r}")


def draw_paper(count: int, generator: np.random.Generator) -> Floats:
    """The brightness of so many sheets, 0 black and 1 white."""
    return generator.uniform(*_PAPER, count).astype(np.float32)


def render(pictures: Sequence[Sequence[Drawn]], paper: Floats, generator: np.random.Generator) -> Floats:
    """Pictures of things, later ones in front, each on paper of its brightness, with a little noise.

    paper:  (picture,). generator: of the noise.
    Returns (picture, colour, SIDE, SIDE) float32 in [0, 1]; every edge is one pixel wide.
    """
    side = SIDE + 2 * _MARGIN
    canvas = np.empty((len(pictures), side, side, len("rgb")), dtype=np.float32)
    canvas[:] = paper[:, None, None, None]
    _paint(canvas, pictures)
    images = np.ascontiguousarray(canvas[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN].transpose(0, 3, 1, 2))
    noise = generator.random(images.shape, dtype=np.float32)
    noise -= 0.5
    noise *= 2 * _NOISE
    images += noise
    return images.clip(0, 1, out=images)


def _paint(canvas: Floats, pictures: Sequence[Sequence[Drawn]]) -> None:
    """Draw things onto pictures (picture, height, width, colour) with a margin, each on the pixels around it."""
    around = np.arange(-_MARGIN, _MARGIN + 1)
    for layer in range(max(map(len, pictures))):
        for shape in SHAPES:
            own = [
                (row, things[layer])
                for row, things in enumerate(pictures)
                if layer < len(things) and things[layer].kind.shape == shape
            ]
            if not own:
                continue
            rows = np.array([row for row, _ in own])[:, None, None]
            places = np.array([[one.x, one.y, one.kind.radius] for _, one in own], dtype=np.float32)
            x, y, radius = places[:, 0, None, None], places[:, 1, None, None], places[:, 2, None, None]
            columns, lines = np.floor(x).astype(int) + around, np.floor(y).astype(int) + around[:, None]
            outside = radius * distance(shape, (columns + 0.5 - x) / radius, (lines + 0.5 - y) / radius)
            cover = (0.5 - outside).clip(0, 1)[..., None].astype(np.float32)
            colours = np.array([COLOURS[one.kind.colour] for _, one in own], dtype=np.float32)[:, None, None]
            where = rows, lines + _MARGIN, columns + _MARGIN
            before = canvas[where]
            canvas[where] = before + cover * (colours - before)
