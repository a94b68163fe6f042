"""Pictures of models of text: bits per character over training, and what single units do along a text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.base.curves import columns as columns_of
from experiments.base.curves import running_median
from experiments.figures.story_curves import finish_linear
from experiments.figures.style import (
    BLUE,
    GREY,
    INK,
    VERMILION,
    Array,
    Rows,
    add_axes,
    figure_width,
    new_figure,
    styled,
    written_to_fit,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# In pixels: of a character of coloured text, of a line, of a title, and of the margin.
_CHARACTER, _LINE, _TITLE, _MARGIN = 12.4, 22, 34, 40


def text_curve_figure(rows: Rows, title: str = "", *, entropy_rate: float | None = None) -> Figure:
    """Bits per character over the characters seen, from the rows of one metrics.jsonl.

    entropy_rate: bits per character that no model can do without, drawn as a line where it is known.
    Values that are not finite stand as crosses at the upper edge.
    """
    keys = [f"{part}/bits_per_character" for part in ("train", "valid")]
    train, valid = ([(row["characters"] / 1000, float(row[key])) for row in rows if key in row] for key in keys)
    note = f"last validation: {valid[-1][1]:.4g} bits per character" if valid else ""
    with styled():
        figure = new_figure(600, title, 90)
        axes = add_axes(figure, 90, 90, figure_width() - 130, 390)
        axes.set_title(note, loc="right", fontsize=8, color=GREY)
        axes.set_xlabel("characters seen in training, thousands")
        axes.set_ylabel("bits per character")
        axes.grid(True)
        if train:
            axes.plot(*columns_of(train), color=BLUE, alpha=0.3, linewidth=0.8, label="training")
            # A line of one point would be invisible.
            alone: dict[str, Any] = {"marker": "o", "markersize": 3.0} if len(train) == 1 else {}
            axes.plot(
                *columns_of(running_median(train)), color=BLUE, linewidth=1.8, label="training, running median", **alone
            )
        if valid:
            look: dict[str, Any] = {"color": INK, "markerfacecolor": "white", "markersize": 4.0, "clip_on": False}
            axes.plot(*columns_of(valid), "o", label="validation", zorder=4, **look)
        if entropy_rate is not None:
            words = f"true entropy, {entropy_rate:.4g}"
            axes.axhline(entropy_rate, color=VERMILION, linewidth=1.2, linestyle=(0, (4, 2)), label=words)
        finish_linear(figure, axes, (train, valid))
    return figure


def coloured_text_figure(
    text: str, units: Sequence[tuple[str, Array]], title: str = "", notes: Sequence[str] = ()
) -> Figure:
    """A text once for each unit, every character on the colour of what the unit is after reading it.

    units: words for a unit, and its values (character,): white where it is at its mean, and bluest or reddest from
           two standard deviations below or above on.
    notes: lines at the end.
    Line breaks and tabs are shown as signs, and characters that the font does not have as a box.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    mono = FontProperties(family="DejaVu Sans Mono", size=7)
    font = get_font(str(Path(findfont(mono))))
    signs = [_sign(character) for character in text]
    signs = [sign if font.get_char_index(ord(sign)) else "□" for sign in signs]
    wide = figure_width()
    columns = int((wide - 2 * _MARGIN) / _CHARACTER)
    lines = -(-len(text) // columns)
    block = _TITLE + lines * _LINE
    with styled():
        height = 2 * _MARGIN + len(units) * block + len(notes) * _LINE
        figure = new_figure(height, title, _MARGIN)
        for number, note in enumerate(notes):
            place = 1 - (_MARGIN + len(units) * block + (number + 1) * _LINE) / height
            shown, size = written_to_fit(note, 8, wide - 2 * _MARGIN)
            figure.text(_MARGIN / wide, place, shown, fontsize=size, color=GREY, va="center")
        for number, (words, values) in enumerate(units):
            top = _MARGIN + number * block + _TITLE
            axes = add_axes(figure, _MARGIN, top, wide - 2 * _MARGIN, lines * _LINE - 4)
            grid = np.full(lines * columns, np.nan)
            grid[: len(text)] = np.clip((values - values.mean()) / max(values.std(), 1e-9), -2, 2)
            axes.imshow(grid.reshape(lines, columns), cmap="RdBu_r", vmin=-3.2, vmax=3.2, aspect="auto")
            shown, size = written_to_fit(words, 8, wide - 2 * _MARGIN)
            axes.set_title(shown, fontsize=size)
            axes.axis("off")
            for place, sign in enumerate(signs):
                if sign != " ":
                    row, column = divmod(place, columns)
                    axes.text(column, row, sign, ha="center", va="center", parse_math=False, fontproperties=mono)
    return figure


def _sign(character: str) -> str:
    if character in "\n\t":
        return {"\n": "↵", "\t": "→"}[character]
    return character if character.isprintable() else "□"
