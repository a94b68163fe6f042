"""What single units of a model of text do along a text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.figures.style import GREY, Array, Figure, add_axes, figure_width, new_figure, styled, written_to_fit

# In pixels: of a character of coloured text, of a line, of a title, and of the margin.
_CHARACTER, _LINE, _TITLE, _MARGIN = 12.4, 22, 34, 40


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
