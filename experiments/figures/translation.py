"""Where the words of a translation were read from."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten
from typing import TYPE_CHECKING

import numpy as np

from experiments.figures.memory import NOT_FINITE
from experiments.figures.style import (
    DPI,
    GREEN,
    GREY,
    INK,
    LEAST,
    VERMILION,
    Array,
    add_axes,
    figure_width,
    new_figure,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Pixels: of a row, and from the upper edge to the first.
_ROW, _TOP = 30, 200
# Numbers that would be rounded to 0.00 are left out.
_SEEN = 0.005
# Of longer sentences the beginning is told, and shown.
_CHARACTERS, _WORDS = 100, 60


def alignment_figure(
    source: Sequence[str], given: Sequence[str], right: Sequence[str], weights: Array, title: str = ""
) -> Figure:
    """How much each word of a translation was read from each word of its source.

    source, given, right: words of the sentence, of the model's translation and of the right one.
    weights:              (word of the translation and end, word of the source). ValueError for another shape.
    Of long sentences the first 60 words are shown.
    """
    import matplotlib

    rows = [*given, "(end)"]
    if weights.shape != (len(rows), len(source)):
        raise ValueError(f"weights must be {(len(rows), len(source))} for these words, not {weights.shape}")
    rows, source, weights = rows[:_WORDS], source[:_WORDS], weights[:_WORDS, :_WORDS]
    wide = figure_width(LEAST)
    left, width = 190, min(wide - 190 - 130, 90 * len(source))
    with styled():
        figure = new_figure(_TOP + _ROW * len(rows) + 50, title, 40, LEAST)
        height = figure.get_figheight() * DPI
        good = list(given) == list(right)
        ours, theirs = (shorten(" ".join(one), _CHARACTERS, placeholder=" …") for one in (given, right))
        verdict = f"{ours}: right" if good else f"{ours}: wrong\nit is {theirs}"
        figure.text(40 / wide, 1 - 74 / height, verdict, va="center", fontsize=8, color=GREEN if good else VERMILION)
        axes = add_axes(figure, left, _TOP, width, _ROW * len(rows))
        shades = matplotlib.colormaps["Purples"].with_extremes(bad=NOT_FINITE)
        image = axes.imshow(
            np.ma.masked_invalid(weights), cmap=shades, vmin=0, vmax=1, aspect="auto", interpolation="nearest"
        )
        axes.spines[:].set_visible(True)
        axes.set_xticks(range(len(source)), source, rotation=90)
        axes.set_yticks(range(len(rows)), rows)
        axes.tick_params(labeltop=True, labelbottom=False, length=0)
        if width / len(source) >= 40:
            for (row, column), value in np.ndenumerate(weights):
                if value >= _SEEN:
                    colour = "white" if value > 0.6 else INK
                    axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color=colour)
        bar_axes = add_axes(figure, left + width + 20, _TOP, 9, _ROW * min(len(rows), 3))
        bar = figure.colorbar(image, cax=bar_axes, ticks=[0, 1])
        bar.outline.set_linewidth(0.4)
        bar_axes.tick_params(length=2, labelsize=7, color=GREY)
        bar_axes.set_ylabel("weight", fontsize=7)
    return figure
