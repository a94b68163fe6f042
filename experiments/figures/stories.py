"""What models of stories looked at, sentence by sentence, and their errors task by task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.figures.memory import NOT_FINITE
from experiments.figures.style import (
    BLUE,
    DPI,
    GREEN,
    GREY,
    INK,
    LEAST,
    ORANGE,
    VERMILION,
    Array,
    Rows,
    add_axes,
    figure_width,
    fitting,
    new_figure,
    styled,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Of longer stories the sentences that matter are shown.
MOST_SENTENCES = 60
# Numbers that would be rounded to 0.00 are left out.
SEEN = 0.005
# What a task's errors are called (None: named by the caller) and how they are drawn, the first in front.
MARKS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "error": ("ours", {"marker": "o", "color": BLUE, "markersize": 5}),
    "mean": ("ours, mean", {"marker": "D", "color": BLUE, "markerfacecolor": "white", "markersize": 4}),
    "published": (None, {"marker": "o", "color": ORANGE, "markerfacecolor": "white", "markersize": 8}),
    "question_only": ("question only", {"marker": "|", "color": GREY, "markersize": 9, "markeredgewidth": 1.6}),
    "last_fact": ("last fact", {"marker": "x", "color": GREY, "markersize": 5}),
}


@dataclass(frozen=True)
class AskedStory:
    """A story, a question about it, and what a model answered.

    sentences: oldest first.
    supports:  indices of the sentences that give the answer.
    answer:    the right one; `predicted` is the model's.
    """

    sentences: Sequence[str]
    supports: Sequence[int]
    question: str
    answer: str
    predicted: str

    def __post_init__(self) -> None:
        if not self.sentences or any(not 0 <= fact < len(self.sentences) for fact in self.supports):
            raise ValueError(f"supports {list(self.supports)} do not fit {len(self.sentences)} sentences")


def attention_figure(asked: AskedStory, attention: Array, title: str = "") -> Figure:
    """How strongly every hop looked at every sentence; facts that give the answer have a dot.

    attention: (hop, sentence). What a hop's sum lacks to one went to empty slots of the memory and has a row of its
               own at the end. ValueError for a shape that does not fit.
    """
    weights = _checked("attention", attention, (None, len(asked.sentences))).T
    rest = 1 - weights.sum(0)
    with styled():
        page = _StoryPage(asked, weights, title, widest=130, columns=[f"hop {k + 1}" for k in range(weights.shape[1])])
        page.draw(weights, "Purples", "weight")
        if (rest >= SEEN).any():
            page.draw_below("empty slots", rest, "Purples")
    return page.figure


def gates_figure(
    asked: AskedStory, gates: Array, attention: Array, title: str = "", slots: Sequence[str] | None = None
) -> Figure:
    """How far every sentence opened the gate of every slot of an EntNet; below, where the question looked.

    gates:     (sentence, slot).
    attention: (slot,).
    slots:     names of the slots, such as the words to which their keys are tied; None numbers them.
    ValueError for shapes that do not fit.
    """
    gates = _checked("gates", gates, (len(asked.sentences), None))
    attention = _checked("attention", attention, (gates.shape[1],))
    names = list(map(str, range(gates.shape[1]))) if slots is None else list(slots)
    with styled():
        page = _StoryPage(asked, gates, title, widest=44, columns=names)
        page.draw(gates, "Greens", "gate")
        page.draw_below("where the question looked", attention, "Purples")
    return page.figure


class _StoryPage:
    """A grid of sentences and columns in the making; places are in pixels from the upper left corner."""

    LEFT, RIGHT, TOP, GAP, FOOTER = 40, 84, 84, 12, 52
    # Of all the widest sentence, and the room for a dot between it and the grid.
    TEXT, DOT = 0.47, 36
    SIZE = 7.5  # of labels, in points

    def __init__(self, asked: AskedStory, values: Array, title: str, widest: int, columns: Sequence[str]) -> None:
        # Sentences that matter most, in the order of the story.
        weight = np.nan_to_num(values, nan=1.0).max(1)
        weight[list(asked.supports)] = np.inf
        self.kept: list[int] = np.sort(np.argsort(-weight, kind="stable")[:MOST_SENTENCES]).tolist()
        self.asked, self.columns = asked, columns
        self.wide = figure_width(LEAST)
        self.row = 26 if len(self.kept) <= 20 else 18
        self.labels = [
            _numbered(k + 1, fitting(asked.sentences[k], self.SIZE, self.TEXT * self.wide)) for k in self.kept
        ]
        names = ["where the question looked", *self.labels]
        self.grid_left = self.LEFT + max(text_width(name, self.SIZE) for name in names) + self.DOT
        self.cell = min(widest, (self.wide - self.RIGHT - self.grid_left) / len(columns))
        names_width = max(text_width(name, self.SIZE) for name in columns)
        self.upright = names_width > self.cell - 6 and not all(name.isdecimal() for name in columns)
        self.grid_top = self.TOP + (names_width + 10 if self.upright else 26)
        self.below = self.grid_top + self.row * len(self.kept)
        self.figure = new_figure(self.below + self.GAP + self.row + self.FOOTER, "", self.LEFT, LEAST)
        self._write_title(title)

    def draw(self, values: Array, colours: str, name: str) -> None:
        """The grid (sentence, column) with its colour bar, columns named above and sentences on the left."""
        axes = self._grid(self.grid_top, values[self.kept], colours, self.labels)
        room = 16 if self.upright else max(text_width(name, self.SIZE) + 4 for name in self.columns)
        places = range(0, len(self.columns), math.ceil(room / self.cell))
        axes.set_xticks(places, [self.columns[k] for k in places], rotation=90 if self.upright else 0)
        axes.tick_params(labeltop=True, labelbottom=False)
        if all(name.isdecimal() for name in self.columns):
            corner: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
            axes.annotate("slot", (0, 1), (-4, 5), ha="right", fontsize=self.SIZE, **corner)
        dots = np.flatnonzero(np.isin(self.kept, list(self.asked.supports)))
        look: dict[str, Any] = {"color": VERMILION, "linestyle": "", "markersize": 4.5, "clip_on": False}
        if len(dots):
            axes.plot(np.full(len(dots), -0.5 - 0.5 * self.DOT / self.cell), dots, "o", label="supporting fact", **look)
            self.figure.legend(loc="lower left", bbox_to_anchor=(0.025, 0.0), handletextpad=0.1)
        bar_axes = add_axes(
            self.figure, self.grid_left + self.cell * len(self.columns) + 14, self.grid_top, 9, self.row * 3
        )
        bar = self.figure.colorbar(axes.images[0], cax=bar_axes, ticks=[0, 1])
        bar.outline.set_linewidth(0.4)
        bar_axes.tick_params(length=2, labelsize=7)
        bar_axes.set_ylabel(name, fontsize=7)

    def draw_below(self, name: str, values: Array, colours: str) -> None:
        """One more row (column,) under the grid."""
        axes = self._grid(self.below + self.GAP, values[None], colours, [name])
        axes.tick_params(axis="y", labelcolor=GREY)

    def _grid(self, top: float, values: Array, colours: str, labels: Sequence[str]) -> Axes:
        import matplotlib

        rows, columns = values.shape
        axes = add_axes(self.figure, self.grid_left, top, self.cell * columns, self.row * rows)
        shades = matplotlib.colormaps[colours].with_extremes(bad=NOT_FINITE)
        axes.imshow(np.ma.masked_invalid(values), cmap=shades, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.autoscale(False)
        axes.spines[:].set_visible(True)
        axes.set_xticks([])
        pad = (self.grid_left - self.LEFT) * 72 / DPI
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
                    colour = "white" if value > 0.6 else INK
                    look: dict[str, Any] = {"color": colour, "fontsize": size, "ha": "center", "va": "center_baseline"}
                    axes.text(column, row, f"{value:.2f}", **look)
        return axes

    def _write_title(self, title: str) -> None:
        asked, height = self.asked, self.figure.get_figheight() * DPI
        question = fitting(asked.question, 13, self.wide - 2 * self.LEFT)
        right = asked.answer == asked.predicted
        verdict = f"{asked.predicted}: right" if right else f"{asked.predicted}: wrong, it is {asked.answer}"
        hidden = len(asked.sentences) - len(self.kept)
        notes = [title, f"{_count(hidden, 'sentence')} with less weight not shown" if hidden else ""]
        note = "; ".join(filter(None, notes))
        left, first, second = self.LEFT / self.wide, 1 - 26 / height, 1 - 56 / height
        colour = GREEN if right else VERMILION
        self.figure.text(left, first, question, va="center", fontsize=11, fontweight="bold")
        self.figure.text(left, second, verdict, va="center", fontsize=10, color=colour)
        self.figure.text(1 - left, second, note, va="center", ha="right", fontsize=7.5, color=GREY)


def task_error_figure(rows: Rows, names: Mapping[str, str], title: str = "", published: str = "published") -> Figure:
    """Errors on tasks with names beside published ones and beside two shortcuts that hardly read, with a table.

    rows:      one a task, with "task" and in %, absent or None where not known, "error" (of the run that
               counts), "mean" and "deviation" (of all seeds), "published", "question_only" and "last_fact" (what
               answering by the question alone, or by the last fact about it, gets wrong).
    names:     of tasks in their order, by the task as a text.
    published: whose the published numbers are.

    The table ends with each column's mean over the tasks for which we have an error, where it knows all of them.
    """
    places = {task: place for place, task in enumerate(names)}
    ordered = sorted(rows, key=lambda row: places[str(row["task"])])
    table = {key: np.array([_percent(row, key) for row in ordered]) for key in MARKS}
    table = {key: values for key, values in table.items() if np.isfinite(values).any()}
    deviation = np.array([_percent(row, "deviation") for row in ordered])
    wide = figure_width(LEAST)
    left, top, width, line = 270, 116, wide - 800, 23
    with styled():
        figure = new_figure(top + line * (len(rows) + 1) + 94, title, 40, LEAST)
        axes = add_axes(figure, left, top, width, line * max(len(rows), 1))
        axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
        axes.set_xlim(-2, 102)
        axes.set_xlabel("error on the test questions, %", labelpad=2)
        axes.grid(True)
        told = [_numbered(row["task"], names[str(row["task"])].replace("-", " ")) for row in ordered]
        axes.set_yticks(range(len(rows)), told, ha="left")
        axes.tick_params(axis="y", length=0, pad=(left - 40) * 72 / DPI)
        axes.axvline(5, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), label="5 %, failed above")
        for key, values in reversed(table.items()):
            words, look = MARKS[key]
            axes.plot(values, range(len(rows)), linestyle="", clip_on=False, label=words or published, **look)
        if "mean" in table:
            spread = np.nan_to_num(deviation)
            ends = table["mean"] - spread, table["mean"] + spread
            axes.hlines(range(len(rows)), *ends, color=BLUE, linewidth=1.2, alpha=0.5)
        _write_table(axes, table, deviation, published, width)
        spacing = {"columnspacing": 1.2, "handletextpad": 0.2}
        figure.legend(loc="lower left", bbox_to_anchor=(30 / wide, 0), ncols=6, reverse=True, **spacing)
    return figure


def _write_table(axes: Axes, table: Mapping[str, Array], deviation: Array, published: str, width: float) -> None:
    """The numbers on the right of the axes, a column a kind, and their means below."""
    ours = np.isfinite(table.get("error", table.get("mean", deviation)))
    look: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center_baseline", "fontsize": 7.5}
    place = 1.0
    for key, values in table.items():
        means = [values[ours].mean()] if ours.any() else []
        texts = [f"{value:.1f}" if np.isfinite(value) else "\N{EN DASH}" for value in [*values, *means]]
        if key == "mean":
            for known in np.flatnonzero(np.isfinite(deviation)):
                texts[known] += f" ± {deviation[known]:.1f}"
        heading = wrap(MARKS[key][0] or published, 12)
        place += (24 + max(text_width(text, 7.5) for text in [*heading, *texts])) / width
        axes.text(place, -0.8, "\n".join(heading), ha="right", **look | {"va": "bottom"})
        for row, text in enumerate(texts):
            axes.text(place, row + (0.2 if row == len(deviation) else 0), text, ha="right", **look)
    if ours.any():
        axes.text(-230 / width, len(deviation) + 0.2, f"mean of {_count(ours.sum(), 'task')}", **look)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _percent(row: Mapping[str, Any], key: str) -> float:
    value = row.get(key)
    return float("nan") if value is None else float(value)


def _numbered(number: int | str, text: str) -> str:
    """A number and a text, aligned under one another."""
    return f"{number}".rjust(2, "\N{FIGURE SPACE}") + f"  {text}"


def _checked(name: str, values: Array, shape: tuple[int | None, int | None] | tuple[int]) -> Array:
    """As floats; ValueError if it has another shape, None being any size but 0."""
    array = np.asarray(values, dtype=float)
    fits = array.ndim == len(shape) and all(map(lambda size, wanted: wanted in (None, size), array.shape, shape))
    if not fits or not array.size:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} must be ({wanted}), not {array.shape}")
    return array
