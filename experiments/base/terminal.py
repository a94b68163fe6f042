"""Text that fits: tables and sentences within a terminal's columns; in files and pipes as wide as they are."""

import html
import io
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from itertools import groupby, zip_longest

_GAP = "  "
# Spaces within a value.
_TOGETHER = re.compile(r" (?=[%±[])|(?<=±) |(?<=\d) (?=to \d)|(?<=\d to) (?=\d)")


def room() -> int | None:
    """The columns of the terminal that the standard output is; None for a file or pipe, which has no end."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def columns(lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """Lines of cells under one another, the first `left` columns to the left, the others to the right.

    Where a terminal is too narrow, the widest cells are broken between words; where that is not enough, columns at
    the right are left out, which is told.
    """
    width, by_column = room(), list(zip(*lines, strict=True))
    natural, least = ([max(map(size, cells)) for cells in by_column] for size in (len, _longest_word))
    kept = len(by_column)
    while width is not None and kept > 1 and _whole(least[:kept]) > width:
        kept -= 1
    widths = _fitting(natural[:kept], least, width)
    rows = [_row(line, widths, left) for line in lines]
    if kept < len(by_column):
        rows.append(wrapped(f"(no room for {', '.join(lines[0][kept:])})"))
    return "\n".join(rows)


def wrapped(text: str) -> str:
    """Lines that are too long for the terminal broken between words; each part as far in as its line."""
    width = room()
    if width is None:
        return text
    return "\n".join(part for line in text.split("\n") for part in _broken(line, width))


def page(markdown: str) -> str:
    """Markdown as a terminal shows it, with tables as columns and sentences broken between words; else as it is."""
    if room() is None:
        return markdown
    parts = []
    for table, lines in groupby(markdown.split("\n"), lambda line: line.startswith("|")):
        if not table:
            parts += [wrapped(_shown(line)) for line in lines]
            continue
        cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
        plain = [[_shown(cell).strip("*`") for cell in row] for row in cells]
        parts.append(columns([row for row in plain if set("".join(row)) != {"-"}]))
    return "\n".join(parts)


def _shown(markdown: str) -> str:
    """Markdown without what keeps signs from being markup."""
    return html.unescape(re.sub(r"\\([\\`*~|_\]])", r"\1", markdown))


def show_help(text: str) -> None:
    """Print a command's help, in its colours where the output is a terminal, with long lines broken between words."""
    from rich.console import Console
    from rich.text import Text

    width = shutil.get_terminal_size().columns
    Console(width=width, emoji=False).print(Text.from_ansi(re.sub(r"\n{3,}", "\n\n", text.rstrip())))


class Kept(io.StringIO):
    """What is written to the standard output meanwhile, as that would show it: in its letters, with its colours."""

    encoding = ""

    def __init__(self) -> None:
        super().__init__()
        self.encoding, self._colours = sys.stdout.encoding, sys.stdout.isatty()

    def isatty(self) -> bool:
        return self._colours


def _whole(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _fitting(natural: Sequence[int], least: Sequence[int], width: int | None) -> list[int]:
    """Widths of columns within so many characters, the widest made narrower as long as words stay whole."""
    widths = list(natural)
    while width is not None and _whole(widths) > width:
        loose = [place for place in range(len(widths)) if widths[place] > least[place]]
        if not loose:
            widths[0] = max(widths[0] - _whole(widths) + width, 1)
            break
        widths[max(loose, key=lambda place: widths[place])] -= 1
    return widths


def _row(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    """A line of a table, or several where cells are wider than their columns."""
    broken = [_broken(cell, width) for cell, width in zip(cells, widths, strict=False)]
    return "\n".join(
        _GAP.join(
            part.ljust(width) if place < left else part.rjust(width)
            for place, (part, width) in enumerate(zip(parts, widths, strict=True))
        ).rstrip()
        for parts in zip_longest(*broken, fillvalue="")
    )


def _broken(text: str, width: int) -> list[str]:
    """Text in lines of so many characters, broken between words where that can be."""
    if len(text) <= width:
        return [text]
    inside = " " * min(len(text) - len(text.lstrip()), width // 2)
    glued = _TOGETHER.sub("\N{NO-BREAK SPACE}", text.strip())
    broken = textwrap.wrap(glued, width, initial_indent=inside, subsequent_indent=inside)
    return [part.replace("\N{NO-BREAK SPACE}", " ") for part in broken]


def _longest_word(text: str) -> int:
    """Characters of what is not broken."""
    glued = _TOGETHER.sub("\N{NO-BREAK SPACE}", text)
    return max(map(len, textwrap.wrap(glued, 1, break_long_words=False)), default=0)
