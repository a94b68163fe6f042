"""Letters in figures: of any script that an installed font has, and names of files whatever bytes they are made of."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The font of all figures, which matplotlib brings along.
FONT = "DejaVu Sans"


def with_escapes(text: str) -> str:
    """A text with control characters, line ends among them, and bytes that are no text as escapes such as \\udcff."""
    return "".join(
        sign.encode("unicode_escape").decode() if unicodedata.category(sign) in ("Cc", "Cs") else sign for sign in text
    )


def make_legible(figure: Figure) -> None:
    """Escape what is no text in a figure, and take installed fonts for letters that its own does not have."""
    from matplotlib.text import Text

    # To look for them makes all ticks, whose labels are then among them.
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    for text in texts:
        lines = text.get_text().split("\n")
        text.set_text("\n".join(map(with_escapes, lines)))
    for axes in figure.axes:
        texts += [*axes.get_xticklabels(), *axes.get_yticklabels()]
    more = _fonts_with(frozenset("".join(text.get_text() for text in texts)))
    if not more:
        return
    for text in texts:
        text.set_fontfamily([*text.get_fontfamily(), *more])
    for axes in figure.axes:
        axes.tick_params(which="both", labelfontfamily=[FONT, *more])


@cache
def _fonts_with(letters: frozenset[str]) -> list[str]:
    """A few installed fonts that have those of the letters that our own has not, as far as any has."""
    missing = {ord(letter) for letter in letters} - _letters_of(FONT) - {ord("\n")}
    chosen: list[str] = []
    while missing and (name := max(_others(), key=lambda other: len(missing & _letters_of(other)))) not in chosen:
        chosen.append(name)
        missing -= _letters_of(name)
    return [name for name in chosen if _letters_of(name) & set(map(ord, letters)) - _letters_of(FONT)]


@cache
def _others() -> list[str]:
    """Every installed font but the one of last resort, which has a picture for every letter and none of the letters."""
    from matplotlib.font_manager import fontManager

    return sorted({one.name for one in fontManager.ttflist if not one.name.startswith("Last Resort")})


@cache
def _letters_of(font: str) -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(font)).get_charmap())
