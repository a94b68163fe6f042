"""Pictures and films with what a model says of them, and whether it is right."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.figures import style
from experiments.figures.style import Array, Figure

# In pixels: the left edge, a picture's side alone, beside a story and in a film, a line of text, and between cards.
_LEFT, _TOP = 40, 60
_PICTURE, _BESIDE, _FRAME = 150, 150, 104
_LINE, _GAP = 21, 24
# Cards beside each other, by where the text is, and pixels, about, of a letter.
_COLUMNS, _STORY_COLUMNS = 4, 2
_LETTER = 9.6


@dataclass(frozen=True, eq=False)
class Card:
    """A picture (colour, height, width) or film (frame, colour, height, width), both in 0..1, and what is said of it.

    right:  None where nobody knows. reason: why it is wrong.
    """

    image: Array
    caption: str
    right: bool | None = None
    reason: str = ""

    @property
    def film(self) -> bool:
        """Whether there are frames."""
        return self.image.ndim == 4

    @property
    def sentences(self) -> list[str]:
        """The sentences of a story, one of a caption."""
        return [f"{one.strip()}." for one in self.caption.split(" .") if one.strip()] if self.story else [self.caption]

    @property
    def story(self) -> bool:
        """Whether there are sentences with ends."""
        return " ." in self.caption

    def lines(self, width: int) -> list[str]:
        """The text in lines of so many characters, and below why it is wrong."""
        told = [line for sentence in self.sentences for line in textwrap.wrap(sentence, width) or ["(no words)"]]
        return told + (textwrap.wrap(f"wrong: {self.reason}", width) if self.right is False else [])


def captions_figure(cards: Sequence[Card], title: str = "") -> Figure:
    """Pictures with captions below them, or stories beside them; films as strips, a row each.

    What is right is green, what is wrong red, with the reason; what nobody knows is grey.
    """
    film, story = cards[0].film, any(card.story for card in cards) and not cards[0].film
    columns = 1 if film else _STORY_COLUMNS if story else _COLUMNS
    side = _FRAME if film else _BESIDE if story else _PICTURE
    wide = style.figure_width(style.LEAST) - _LEFT
    width = _letters(wide - _LEFT if film else wide / columns - (_BESIDE + 14 if story else 0))
    rows = [cards[first : first + columns] for first in range(0, len(cards), columns)]
    heights = []
    for row in rows:
        text = _LINE * max(len(card.lines(width)) for card in row)
        heights.append(_GAP + (max(side, text) if story else side + 8 + text))
    with style.styled():
        figure = style.new_figure(_TOP + sum(heights), title, _LEFT, style.LEAST)
        top = float(_TOP)
        for row, height in zip(rows, heights, strict=True):
            for place, card in enumerate(row):
                left = _LEFT + place * wide / columns
                for number, frame in enumerate(card.image if film else [card.image]):
                    _draw(figure, frame, left + number * (side + 8), top, side, card.right)
                shift = (side + 14, 0) if story else (0, side + 8)
                _write(figure, card, card.lines(width), left + shift[0], top + shift[1])
            top += height
    return figure


def _letters(room: float) -> int:
    """How many letters of a text have room in so many pixels."""
    return int(room / _LETTER)


def _colour(right: bool | None) -> str:
    return style.GREY if right is None else style.GREEN if right else style.VERMILION


def _draw(figure: Figure, image: Array, left: float, top: float, side: float, right: bool | None) -> None:
    axes = style.add_axes(figure, left, top, side, side)
    axes.imshow(image.transpose(1, 2, 0), interpolation="nearest", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(_colour(right))
    axes.spines[:].set_linewidth(1.0)


def _write(figure: Figure, card: Card, lines: Sequence[str], left: float, top: float) -> None:
    wide, height = (inches * style.DPI for inches in figure.get_size_inches())
    colour = style.INK if card.right is None else _colour(card.right)
    for number, line in enumerate(lines):
        figure.text(left / wide, 1 - (top + number * _LINE) / height, line, va="top", fontsize=8, color=colour)
