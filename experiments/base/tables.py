"""Tables whose cells know the runs they come from, as Markdown, LaTeX or plain data."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    ">": r"$>$",
    "<": r"$<$",
}


@dataclass(frozen=True)
class Cell:
    """text: what is read. value: the numbers behind it, JSON-ready. runs: places of the runs it was made from."""

    text: str
    value: Any = None
    runs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Table:
    """title, head, rows: as they are read, with as many cells in a row as in the head. notes: sentences below."""

    title: str
    head: list[str]
    rows: list[list[Cell]]
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The table as Markdown, under a heading."""
        lines = [self.head, ["---"] * len(self.head), *([cell.text for cell in row] for row in self.rows)]
        grid = ["| " + " | ".join(map(marked, line)) + " |" for line in lines]
        notes = (part for note in self.notes for part in ("", marked(note)))
        return "\n".join([f"### {marked(self.title)}", "", *grid, *notes])

    def latex(self, names: Sequence[str]) -> str:
        """The table as LaTeX (needs booktabs), with the runs of every row in comments.

        names: of all runs.
        """
        lines = []
        for row in self.rows:
            places = sorted({place for cell in row for place in cell.runs})
            if places:
                lines.append("% " + ", ".join(names[place] for place in places))
            lines.append(" & ".join(escaped(cell.text) for cell in row) + r" \\")
        notes = " ".join(escaped(note) for note in self.notes)
        return "\n".join(
            [
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{escaped(self.title)}. {notes}}}".replace(". }", ".}"),
                rf"\begin{{tabular}}{{l{'r' * (len(self.head) - 1)}}}",
                r"\toprule",
                " & ".join(map(escaped, self.head)) + r" \\",
                r"\midrule",
                *lines,
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
            ]
        )

    def data(self, names: Sequence[str]) -> dict[str, Any]:
        """The table as plain data, every cell with its numbers and the names of its runs."""
        rows = [
            [{"text": cell.text, "value": cell.value, "runs": [names[place] for place in cell.runs]} for cell in row]
            for row in self.rows
        ]
        return {"title": self.title, "head": self.head, "rows": rows, "notes": self.notes}


def printable(text: str) -> str:
    """Text on one line, with signs that cannot be printed replaced."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def marked(text: str) -> str:
    """Text on one line as Markdown shows it, in a heading, a sentence or a table: nothing in it is markup."""
    signs = re.sub(r"[\\`*~|]|(?<!\w)_|_(?!\w)|\](?=[(\[])", r"\\\g<0>", printable(text))
    return html.escape(signs, quote=False)


def coded(text: str) -> str:
    """Text on one line as Markdown shows it in the letters of a program, also in a table."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if "`" in text else ""
    return f"{fence}{space}{printable(text)}{space}{fence}".replace("|", "\\|")


def escaped(text: str) -> str:
    """Text as LaTeX shows it."""
    return re.sub("|".join(map(re.escape, _LATEX)), lambda found: _LATEX[found[0]], text)
