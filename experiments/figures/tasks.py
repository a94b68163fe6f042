"""Errors of many tasks, beside those of others."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

import numpy as np

from experiments.base.names import counted
from experiments.figures import style
from experiments.figures.style import Array, Axes, Figure, Rows

# What a task's errors are called (None: named by the caller) and how they are drawn, the first in front.
MARKS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "error": ("ours", {"marker": "o", "color": style.BLUE, "markersize": 5}),
    "mean": ("ours, mean", {"marker": "D", "color": style.BLUE, "markerfacecolor": "white", "markersize": 4}),
    "published": (None, {"marker": "o", "color": style.ORANGE, "markerfacecolor": "white", "markersize": 8}),
    "question_only": ("question only", {"marker": "|", "color": style.GREY, "markersize": 9, "markeredgewidth": 1.6}),
    "last_fact": ("last fact", {"marker": "x", "color": style.GREY, "markersize": 5}),
}


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
    wide = style.figure_width(style.LEAST)
    left, top, width, line = 270, 116, wide - 800, 23
    with style.styled():
        figure = style.new_figure(top + line * (len(rows) + 1) + 94, title, 40, style.LEAST)
        axes = style.add_axes(figure, left, top, width, line * max(len(rows), 1))
        axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
        axes.set_xlim(-2, 102)
        axes.set_xlabel("error on the test questions, %", labelpad=2)
        axes.grid(True)
        told = [style.numbered(row["task"], names[str(row["task"])].replace("-", " ")) for row in ordered]
        axes.set_yticks(range(len(rows)), told, ha="left")
        axes.tick_params(axis="y", length=0, pad=(left - 40) * 72 / style.DPI)
        axes.axvline(5, color=style.GREY, linewidth=0.8, linestyle=(0, (2, 2)), label="5 %, failed above")
        for key, values in reversed(table.items()):
            words, look = MARKS[key]
            axes.plot(values, range(len(rows)), linestyle="", clip_on=False, label=words or published, **look)
        if "mean" in table:
            spread = np.nan_to_num(deviation)
            ends = table["mean"] - spread, table["mean"] + spread
            axes.hlines(range(len(rows)), *ends, color=style.BLUE, linewidth=1.2, alpha=0.5)
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
        place += (24 + max(style.text_width(text, 7.5) for text in [*heading, *texts])) / width
        axes.text(place, -0.8, "\n".join(heading), ha="right", **look | {"va": "bottom"})
        for row, text in enumerate(texts):
            axes.text(place, row + (0.2 if row == len(deviation) else 0), text, ha="right", **look)
    if ours.any():
        axes.text(-230 / width, len(deviation) + 0.2, f"mean of {counted(ours.sum(), 'task')}", **look)


def _percent(row: Mapping[str, Any], key: str) -> float:
    value = row.get(key)
    return float("nan") if value is None else float(value)
