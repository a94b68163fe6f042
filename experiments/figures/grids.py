"""What a model looked at, sentence by sentence or word by word."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.base.names import counted
from experiments.figures import style
from experiments.figures.memory import NOT_FINITE
from experiments.figures.style import Array, Axes, Figure
from experiments.figures.view import SEEN, Grid, View
from memnet.trace import Kind

# Of more sentences or words those that matter are shown.
MOST_ROWS = 60
_COLOURS: dict[Kind, tuple[str, str]] = {"read": ("Purples", "weight"), "gate": ("Greens", "gate")}


def grid_figure(view: View, grid: Grid, title: str = "") -> Figure:
    """A grid of a view, see `grid_of`, with what was asked and answered; rows that give the answer have a dot."""
    with style.styled():
        page = _Page(view, grid, title)
        page.draw()
        if grid.below is not None:
            page.draw_below(*grid.below)
    return page.figure


class _Page:
    """A grid in the making; places are in pixels from the upper left corner."""

    LEFT, RIGHT, TOP, LINE, GAP, FOOTER = 40, 84, 56, 28, 12, 52
    # Of all the widest name, and the room for a dot between it and the grid.
    TEXT, DOT = 0.47, 36
    # The widest cell.
    WIDEST, OVER_SLOTS = 130, 44
    SIZE = 7.5  # of labels, in points

    def __init__(self, view: View, grid: Grid, title: str) -> None:
        # Rows that matter most, in their order.
        weight = np.nan_to_num(grid.values, nan=1.0).max(1)
        weight[list(view.marked)] = np.inf
        self.kept: list[int] = np.sort(np.argsort(-weight, kind="stable")[:MOST_ROWS]).tolist()
        self.view, self.grid, self.columns = view, grid, grid.columns
        self.wide = style.figure_width(style.LEAST)
        self.row = 26 if len(self.kept) <= 20 else 18
        shown = [style.fitting(grid.rows[k], self.SIZE, self.TEXT * self.wide) for k in self.kept]
        # A story's sentences are called by their numbers.
        told = grid.axis == "sentence"
        self.labels = [style.numbered(k + 1, name) for k, name in zip(self.kept, shown, strict=True)] if told else shown
        names = [*([] if grid.below is None else [grid.below[0]]), *self.labels]
        self.grid_left = self.LEFT + max(style.text_width(name, self.SIZE) for name in names) + self.DOT
        widest = self.OVER_SLOTS if grid.over == "slot" else self.WIDEST
        self.cell = min(widest, (self.wide - self.RIGHT - self.grid_left) / len(self.columns))
        names_width = max(style.text_width(name, self.SIZE) for name in self.columns)
        self.upright = names_width > self.cell - 6 and not all(name.isdecimal() for name in self.columns)
        top = self.TOP + self.LINE * len(view.verdict.splitlines())
        self.grid_top = top + (names_width + 10 if self.upright else 26)
        self.below = self.grid_top + self.row * len(self.kept)
        self.figure = style.new_figure(self.below + self.GAP + self.row + self.FOOTER, "", self.LEFT, style.LEAST)
        self._write_title(title)

    def draw(self) -> None:
        """The grid with its colour bar, columns named above and rows on the left."""
        colours, name = _COLOURS[self.grid.kind]
        axes = self._draw(self.grid_top, self.grid.values[self.kept], colours, self.labels)
        room = 16 if self.upright else max(style.text_width(name, self.SIZE) + 4 for name in self.columns)
        places = range(0, len(self.columns), math.ceil(room / self.cell))
        axes.set_xticks(places, [self.columns[k] for k in places], rotation=90 if self.upright else 0)
        axes.tick_params(labeltop=True, labelbottom=False)
        if all(name.isdecimal() for name in self.columns):
            corner: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
            axes.annotate(self.grid.over, (0, 1), (-4, 5), ha="right", fontsize=self.SIZE, **corner)
        dots = np.flatnonzero(np.isin(self.kept, list(self.view.marked)))
        look: dict[str, Any] = {"color": style.VERMILION, "linestyle": "", "markersize": 4.5, "clip_on": False}
        if len(dots):
            axes.plot(np.full(len(dots), -0.5 - 0.5 * self.DOT / self.cell), dots, "o", label="supporting fact", **look)
            self.figure.legend(loc="lower left", bbox_to_anchor=(0.025, 0.0), handletextpad=0.1)
        bar_axes = style.add_axes(
            self.figure, self.grid_left + self.cell * len(self.columns) + 14, self.grid_top, 9, self.row * 3
        )
        bar = self.figure.colorbar(axes.images[0], cax=bar_axes, ticks=[0, 1])
        bar.outline.set_linewidth(0.4)
        bar_axes.tick_params(length=2, labelsize=7)
        bar_axes.set_ylabel(name, fontsize=7)

    def draw_below(self, name: str, values: Array) -> None:
        """One more row (column,) under the grid."""
        axes = self._draw(self.below + self.GAP, values[None], _COLOURS["read"][0], [name])
        axes.tick_params(axis="y", labelcolor=style.GREY)

    def _draw(self, top: float, values: Array, colours: str, labels: Sequence[str]) -> Axes:
        import matplotlib

        rows, columns = values.shape
        axes = style.add_axes(self.figure, self.grid_left, top, self.cell * columns, self.row * rows)
        shades = matplotlib.colormaps[colours].with_extremes(bad=NOT_FINITE)
        axes.imshow(np.ma.masked_invalid(values), cmap=shades, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.autoscale(False)
        axes.spines[:].set_visible(True)
        axes.set_xticks([])
        pad = (self.grid_left - self.LEFT) * 72 / style.DPI
        axes.set_yticks(range(rows), labels, ha="left", fontsize=self.SIZE)
        axes.tick_params(length=0)
        axes.tick_params(axis="y", pad=pad)
        axes.set_xticks(np.arange(0.5, columns - 1), minor=True)
        axes.set_yticks(np.arange(0.5, rows - 1), minor=True)
        axes.grid(True, which="minor", color="#e4e4e4", linewidth=0.5)
        axes.set_axisbelow(False)
        axes.tick_params(which="minor", length=0)
        if self.cell >= 36:
            size = 7 if self.cell >= 60 else 6
            for (row, column), value in np.ndenumerate(values):
                if not abs(value) < SEEN:
                    colour = "white" if value > 0.6 else style.INK
                    look: dict[str, Any] = {"color": colour, "fontsize": size, "ha": "center", "va": "center_baseline"}
                    axes.text(column, row, f"{value:.2f}", **look)
        return axes

    def _write_title(self, title: str) -> None:
        view, height, room = self.view, self.figure.get_figheight() * style.DPI, self.wide - 2 * self.LEFT
        hidden = len(self.grid.rows) - len(self.kept)
        notes = [title, f"{counted(hidden, self.grid.axis)} with less weight not shown" if hidden else ""]
        left = self.LEFT / self.wide
        asked = style.fitting(view.asked, 13, room)
        self.figure.text(left, 1 - 26 / height, asked, va="center", fontsize=11, fontweight="bold")
        colour = {True: style.GREEN, False: style.VERMILION, None: style.INK}[view.right]
        for number, line in enumerate(view.verdict.splitlines()):
            shown, size = style.written_to_fit(line, 10, room)
            place = 1 - (self.TOP + self.LINE * number) / height
            self.figure.text(left, place, shown, va="center", fontsize=size, color=colour)
        note, size = style.written_to_fit("; ".join(filter(None, notes)), 7.5, room)
        self.figure.text(1 - left, 20 / height, note, va="center", ha="right", fontsize=size, color=style.GREY)
