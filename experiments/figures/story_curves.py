"""Errors on stories over training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.base.curves import Curve, columns, curve_of_rows
from experiments.figures.style import (
    BLUE,
    GREY,
    INK,
    SHADE,
    Rows,
    add_axes,
    figure_width,
    key_below,
    mark_lost,
    new_figure,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def story_curve_figure(
    rows: Rows, title: str = "", *, restarts: int = 1, seen: str = "questions", wrong: str = "wrong answers"
) -> Figure:
    """Wrong answers in percent over the questions seen, from the rows of one metrics.jsonl.

    seen, wrong: what questions and wrong answers are called.
    restarts: of the run. With several, the lines are their means, and a thin one is the best of them in validation.
    Updates of the linear start have a shaded ground. Values that are not finite stand as crosses at the upper edge.
    """
    train, valid = (curve_of_rows(rows, f"{part}/error_percent") for part in ("train", "valid"))
    best = curve_of_rows(rows, "valid/lowest_error_percent") if restarts > 1 else []
    of = f", mean of {restarts} restarts" if restarts > 1 else ""
    note = f"last validation: {valid[-1][1]:.3g} %{of}" if valid else ""
    with styled():
        figure = new_figure(560, title, 90)
        axes = add_axes(figure, 90, 90, figure_width() - 130, 340)
        axes.set_title(note, loc="right", fontsize=8, color=GREY)
        axes.set_xlabel(f"{seen} seen in training, thousands")
        axes.set_ylabel(f"{wrong}, %")
        axes.grid(True)
        start = [row["sequences"] / 1000 for row in rows if row.get("train/linear_start")]
        if start:
            axes.axvspan(0, start[-1], color=SHADE, alpha=0.4, linewidth=0, label="linear start")
        lines: list[tuple[Curve, dict[str, Any], str]] = [
            (train, {"color": BLUE, "linewidth": 1.2, "alpha": 0.7}, f"training{of}"),
            (valid, {"color": INK, "linewidth": 1.6}, f"validation{of}"),
            (best, {"color": INK, "linewidth": 0.9, "linestyle": (0, (3, 2))}, "validation, best restart"),
        ]
        for curve, look, words in lines:
            if curve:
                axes.plot(*columns(curve), marker="o" if len(curve) == 1 else "", markersize=4, label=words, **look)
        finish_linear(figure, axes, (train, valid))
    return figure


def finish_linear(figure: Figure, axes: Axes, curves: Sequence[Curve]) -> None:
    """Scales from zero that hold the curves, marks for values that are not finite, and the key."""
    ours = [columns(curve) for curve in curves if curve]
    lost = np.concatenate([x[~np.isfinite(y)] for x, y in ours] or [np.empty(0)])
    if len(lost):
        mark_lost(axes, lost, f"not finite ({len(lost)} value{'' if len(lost) == 1 else 's'})")
    if not ours:
        axes.text(0.5, 0.5, "no values yet", transform=axes.transAxes, ha="center", color=GREY)
    axes.set_xlim(0, 1.01 * max((x.max() for x, _ in ours), default=1))
    axes.set_ylim(bottom=0)
    key_below(figure, axes.get_legend_handles_labels()[0], 90)
