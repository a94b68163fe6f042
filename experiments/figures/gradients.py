"""How far gradients reach back: in untrained networks, and while a network is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.base.curves import columns, curve_of_rows
from experiments.figures import style
from experiments.figures.style import Array, Axes, Figure, Measure, Rows

_COLOURS = (style.BLUE, style.GREEN, style.VERMILION, style.PURPLE, style.ORANGE, style.SKY)
# Times the value that needs no learning that are drawn.
_FAR = 10.0
_TRAINING: dict[str, Any] = {"color": style.BLUE, "linewidth": 1, "alpha": 0.6}
_VALIDATION: dict[str, Any] = {"color": style.INK, "marker": "o", "linestyle": "", "markersize": 3}
_NORM = "gradients/norm/lag-"
# Powers of ten that are shown, and the resolution of float32.
_LOWEST, _HIGHEST, _FLOAT32 = -20.0, 10.0, math.log10(2**-23)


class LagPanel(NamedTuple):
    """One panel of curves over the steps that a gradient goes back.

    title, value: of the panel, and of its vertical axis.
    steps:  of the curves, ascending.
    lines:  by name, log10 of values, (seed, step), minus infinity for zero.
    dashed: by the same names what to compare them with, drawn as medians.
    """

    title: str
    value: str
    steps: Sequence[int]
    lines: Mapping[str, Array]
    dashed: Mapping[str, Array]


def propagation_figure(panels: Sequence[LagPanel], title: str, note: str) -> Figure:
    """Norms over steps, both logarithmic: medians, with quartiles as bands; two panels a row.

    note: stands at the upper right.
    """
    wide = style.figure_width()
    across = max(1, wide // 500)
    rows, pitch = -(-len(panels) // across), (wide - 40) // across
    with style.styled():
        figure = style.new_figure(80 + 450 * rows, title, 92)
        figure.text(
            0.985,
            1 - (26 if across > 1 else 54) / (80 + 450 * rows),
            note,
            fontsize=8,
            color=style.GREY,
            ha="right",
            va="center",
        )
        for index, panel in enumerate(panels):
            row, column = divmod(index, across)
            _draw_panel(style.add_axes(figure, 92 + pitch * column, 96 + 450 * row, pitch - 105, 345), panel)
    return figure


class Learner(NamedTuple):
    """A run beside others in `flows_figure`.

    title:    over its two panels.
    rows:     of its metrics.jsonl, some with gradients/norm/lag-K.
    measure:  what its learning curve shows.
    baseline: the value that needs no learning, None where there is none.
    """

    title: str
    rows: Rows
    measure: Measure
    baseline: float | None


def gradient_flow_figure(rows: Rows, title: str) -> Figure:
    """Norms of the loss's gradient by the state over the steps back from the end: a curve for each logged step.

    rows: of one metrics.jsonl, those with gradients/norm/lag-K among them; later curves are darker. A norm that is
          zero or not finite is left out.
    """
    with style.styled():
        figure = style.new_figure(620, title, 100)
        wide = style.figure_width()
        _draw_flow(
            style.add_axes(figure, 100, 96, wide - 280, 420), style.add_axes(figure, wide - 140, 96, 18, 420), rows
        )
    return figure


def flows_figure(learners: Sequence[Learner], title: str) -> Figure:
    """What runs learned, beside how far gradients reached back in them: a row of two panels a run.

    What is more than ten times the value that needs no learning, or not finite, stands at the upper edge.
    """
    height = 340
    with style.styled():
        figure = style.new_figure(80 + height * len(learners), title, 92, style.LEAST)
        wide = style.figure_width(style.LEAST)
        for row, one in enumerate(learners):
            top = 104 + height * row
            figure.text(92 / wide, 1 - (top - 34) / (80 + height * len(learners)), one.title, fontweight="bold")
            _draw_learning(style.add_axes(figure, 92, top, 0.37 * wide, 200), one)
            _draw_flow(
                style.add_axes(figure, 0.37 * wide + 196, top, 0.63 * wide - 336, 200),
                style.add_axes(figure, wide - 126, top, 14, 200),
                one.rows,
            )
    return figure


def _draw_learning(axes: Axes, one: Learner) -> None:
    """Training and validation, and the value that needs no learning; what is far above it stands at the upper edge."""
    edge = math.inf if one.baseline is None else _FAR * one.baseline
    drawn: list[float] = [] if one.baseline is None else [one.baseline]
    for part, words, look in (("train", "training", _TRAINING), ("valid", "validation", _VALIDATION)):
        if curve := curve_of_rows(one.rows, f"{part}/{one.measure.name}"):
            x, y = columns(curve)
            y = np.minimum(np.nan_to_num(y, nan=edge), edge)
            axes.plot(x, y, label=words, clip_on=False, **look)
            drawn += y.tolist()
    if one.baseline is not None:
        axes.axhline(
            one.baseline, color=style.INK, linewidth=1, linestyle=":", label=f"without learning, {one.baseline:.4g}"
        )
    style.error_scale(axes, np.array(drawn))
    axes.set_xlabel("sequences seen in training, thousands")
    axes.set_ylabel(one.measure.words.removeprefix("cross-entropy, "))
    axes.set_title("learning curve")
    axes.grid(True, axis="y")
    axes.legend(loc="upper right", fontsize=6.5, frameon=True, framealpha=0.7, edgecolor="none")


def _draw_flow(axes: Axes, key: Axes, rows: Rows) -> None:
    """Gradient norms over lags, a curve for each look, and the key of their colours."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    curves = {int(row["step"]): norms_by_lag(row) for row in rows if f"{_NORM}1" in row}
    steps = np.array(list(curves))
    shades = ScalarMappable(Normalize(steps[0], steps[-1]), colormaps["viridis_r"])
    for points, colour in zip(curves.values(), shades.to_rgba(steps), strict=True):
        lags, norms = np.array(list(points.items())).T
        seen = np.where(np.isfinite(norms) & (norms > 0), norms, np.nan)
        axes.plot(lags, seen, color=colour, linewidth=1.3, marker="o", markersize=3)
    _decades(axes, [norm for points in curves.values() for norm in points.values()])
    ends = list(next(iter(curves.values())))
    style.numbered_log_scale(axes, ends, (ends[0], ends[-1]))
    axes.set_title("gradient of a sequence's loss by the state")
    axes.set_xlabel("steps back from the end of the sequence")
    axes.set_ylabel("norm")
    axes.grid(True, axis="y")
    key.figure.colorbar(shades, cax=key, label="training step")


def norms_by_lag(row: Mapping[str, float]) -> dict[int, float]:
    """Of a row of metrics the gradient norms by lag, ascending; none where it has not looked."""
    return dict(sorted((int(key.removeprefix(_NORM)), row[key]) for key in row if key.startswith(_NORM)))


def _draw_panel(axes: Axes, panel: LagPanel) -> None:
    steps = np.array(panel.steps)
    axes.set_title(panel.title)
    style.numbered_log_scale(axes, [step for step in (1, 10, 100) if step < steps[-1]] + [steps[-1]], (1, steps[-1]))
    axes.axhline(_FLOAT32, color=style.GREY, linewidth=0.8, linestyle=":")
    axes.annotate(
        "resolution of float32", (1, _FLOAT32), (0, 3), textcoords="offset points", fontsize=6.5, color=style.GREY
    )
    for (name, curves), colour in zip(panel.lines.items(), _COLOURS, strict=False):
        # What is zero leaves the picture downwards.
        low, middle, high = np.quantile(np.maximum(curves, 10 * _LOWEST), (0.25, 0.5, 0.75), axis=0)
        mark = "o" if len(steps) == 1 else ""
        axes.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
        if name in panel.dashed:
            behind = np.median(np.maximum(panel.dashed[name], 10 * _LOWEST), 0)
            axes.plot(steps, behind, color=colour, linewidth=1.1, linestyle=(0, (4, 1.6)), alpha=0.8, marker=mark)
        axes.plot(steps, middle, color=colour, linewidth=1.6, label=name, marker=mark, markersize=4)
    axes.set_xlabel("steps back")
    axes.set_ylabel(panel.value)
    _powers_of_ten(axes)
    axes.legend(loc="lower left", fontsize=7, labelspacing=0.35)


def _decades(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic vertical axis of whole decades that holds what is finite and positive."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    logs = [math.log10(value) for value in values if 0 < value < math.inf] or [0.0]
    axes.set_yscale("log")
    axes.set_ylim(10.0 ** math.floor(min(logs)), 10.0 ** (math.floor(max(logs)) + 1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.decade(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _powers_of_ten(axes: Axes) -> None:
    """A vertical axis of logarithms, numbered as powers of ten."""
    from matplotlib.ticker import FixedLocator, FuncFormatter

    axes.set_ylim(_LOWEST, _HIGHEST)
    axes.yaxis.set_major_locator(FixedLocator(np.arange(_LOWEST, _HIGHEST + 1, 5).tolist()))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.power_of_ten(round(value)) if value else "1"))
    axes.grid(True, axis="y")
