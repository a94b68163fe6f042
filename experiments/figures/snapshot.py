"""Maps of numbers as a PNG within milliseconds, for pictures drawn while a model trains (matplotlib takes a third of a
second for one)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from experiments.figures.arrays import pool
from experiments.figures.style import GREY, INK, Array

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

Shades: TypeAlias = Literal["greys", "purples", "greens", "red-blue"]

# From the lowest value to the highest, evenly apart.
_SHADES: dict[Shades, list[str]] = {
    "greys": ["#ffffff", "#000000"],
    "purples": ["#fcfbfd", "#9e9ac8", "#3f007d"],
    "greens": ["#f7fcf5", "#74c476", "#00441b"],
    "red-blue": ["#053061", "#4393c3", "#f7f7f7", "#d6604d", "#67001f"],
}
NOT_FINITE = (255, 194, 77)

# All in pixels.
MARGIN, TITLE, HEAD, GAP = 16, 30, 20, 12
COLUMN, LINE, LABEL = 400, 18, 330
_SIZE = 12


@dataclass(frozen=True, eq=False)
class Panel:
    """One map: values (row, column) from the colour of `low` to that of `high`, others than numbers in orange.

    height: in pixels; with names for the rows, it is theirs.
    names:  a line of text on the left of every row, or none.
    """

    title: str
    values: Array
    low: float = 0.0
    high: float = 1.0
    shades: Shades = "purples"
    height: int = 120
    names: Sequence[str] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of map and names."""
        if self.names:
            return LABEL + COLUMN, LINE * len(self.names)
        return COLUMN, self.height


def snapshot(title: str, rows: Sequence[Sequence[Panel]]) -> bytes:
    """Rows of panels under a title as PNG; panels of the same sizes give pictures of the same size."""
    from PIL import Image, ImageDraw

    widths = [sum(panel.size[0] + GAP for panel in row) - GAP for row in rows]
    heights = [HEAD + max(panel.size[1] for panel in row) + GAP for row in rows]
    picture = Image.new("RGB", (2 * MARGIN + max(widths), 2 * MARGIN + TITLE + sum(heights)), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN), title, fill=INK, font=_font(_SIZE + 2))
    top = MARGIN + TITLE
    for row, height in zip(rows, heights, strict=True):
        left = MARGIN
        for panel in row:
            draw.text((left, top), panel.title, fill=GREY, font=_font(_SIZE))
            _name_rows(draw, panel, left, top + HEAD)
            width, tall = panel.size
            shift = LABEL if panel.names else 0
            place = (left + shift, top + HEAD)
            map_size = (width - shift, tall)
            picture.paste(Image.fromarray(_coloured(panel, map_size)).resize(map_size, Image.Resampling.NEAREST), place)
            draw.rectangle((place[0] - 1, place[1] - 1, place[0] + map_size[0], place[1] + tall), outline=GREY)
            left += width + GAP
        top += height
    written = io.BytesIO()
    picture.save(written, "PNG", compress_level=1)
    return written.getvalue()


def _name_rows(draw: ImageDraw, panel: Panel, left: int, top: int) -> None:
    for number, name in enumerate(panel.names):
        while draw.textlength(name, _font(_SIZE)) > LABEL - GAP:
            name = name[:-2] + "…"
        draw.text((left, top + LINE * number + 2), name, fill=INK, font=_font(_SIZE))


def _coloured(panel: Panel, size: tuple[int, int]) -> Array:
    """The panel's colours (row, column, 3), no finer than so many pixels, each the largest of the values it is for."""
    values = np.asarray(panel.values, dtype=float)
    for axis, pixels in enumerate(reversed(size)):
        values, _ = pool(values, axis, pixels, largest=True)
    anchors = np.array([[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in _SHADES[panel.shades]])
    finite = np.isfinite(values)
    share = np.where(finite, (values - panel.low) / (panel.high - panel.low), 0)
    places = np.linspace(0, 1, len(anchors))
    colours = np.stack([np.interp(share, places, channel) for channel in anchors.T], -1)
    colours[~finite] = NOT_FINITE
    return colours.round().astype(np.uint8)


@cache
def _font(size: int) -> ImageFont | FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)
