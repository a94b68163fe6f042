"""How far gradients reach back: in untrained networks, and while a network is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from experiments.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Array,
    Rows,
    add_axes,
    new_figure,
    numbered_log_scale,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (BLUE, GREEN, VERMILION, PURPLE, ORANGE, SKY)
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
    rows = -(-len(panels) // 2)
    with styled():
        figure = new_figure(80 + 450 * rows, title, 92)
        figure.text(0.985, 1 - 26 / (80 + 450 * rows), note, fontsize=8, color=GREY, ha="right", va="center")
        for index, panel in enumerate(panels):
            row, column = divmod(index, 2)
            _draw_panel(add_axes(figure, 92 + 580 * column, 96 + 450 * row, 475, 345), panel)
    return figure


def gradient_flow_figure(rows: Rows, title: str) -> Figure:
    """Norms of the loss's gradient by the state over the steps back from the end: a curve for each logged step.

    rows: of one metrics.jsonl, those with gradients/norm/lag-K among them; later curves are darker. A norm that is
          zero or not finite is left out.
    """
    prefix = "gradients/norm/lag-"
    curves = {
        int(row["step"]): sorted((int(key.removeprefix(prefix)), row[key]) for key in row if key.startswith(prefix))
        for row in rows
        if f"{prefix}1" in row
    }
    with styled():
        from matplotlib import colormaps
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        figure = new_figure(620, title, 100)
        axes = add_axes(figure, 100, 96, 920, 420)
        steps = np.array(list(curves))
        shades = ScalarMappable(Normalize(steps[0], steps[-1]), colormaps["viridis_r"])
        for points, colour in zip(curves.values(), shades.to_rgba(steps), strict=True):
            lags, norms = np.array(points).T
            seen = np.where(np.isfinite(norms) & (norms > 0), norms, np.nan)
            axes.plot(lags, seen, color=colour, linewidth=1.3, marker="o", markersize=3)
        _decades(axes, [norm for points in curves.values() for _, norm in points])
        ends = [lag for lag, _ in next(iter(curves.values()))]
        numbered_log_scale(axes, ends, (ends[0], ends[-1]))
        axes.set_title("gradient of a sequence's loss by the state, on a few fixed sequences")
        axes.set_xlabel("steps back from the end of the sequence")
        axes.set_ylabel("norm")
        axes.grid(True, axis="y")
        figure.colorbar(shades, cax=add_axes(figure, 1060, 96, 18, 420), label="training step")
    return figure


def _draw_panel(axes: Axes, panel: LagPanel) -> None:
    steps = np.array(panel.steps)
    axes.set_title(panel.title)
    numbered_log_scale(axes, [step for step in (1, 10, 100) if step < steps[-1]] + [steps[-1]], (1, steps[-1]))
    axes.axhline(_FLOAT32, color=GREY, linewidth=0.8, linestyle=":")
    axes.annotate("resolution of float32", (1, _FLOAT32), (0, 3), textcoords="offset points", fontsize=6.5, color=GREY)
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
    from matplotlib.ticker import NullFormatter

    logs = [math.log10(value) for value in values if 0 < value < math.inf] or [0.0]
    axes.set_yscale("log")
    axes.set_ylim(10.0 ** math.floor(min(logs)), 10.0 ** (math.floor(max(logs)) + 1))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _powers_of_ten(axes: Axes) -> None:
    """A vertical axis of logarithms, numbered as powers of ten."""
    from matplotlib.ticker import FixedLocator, FuncFormatter

    axes.set_ylim(_LOWEST, _HIGHEST)
    axes.yaxis.set_major_locator(FixedLocator(np.arange(_LOWEST, _HIGHEST + 1, 5).tolist()))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"$10^{{{value:.0f}}}$" if value else "1"))
    axes.grid(True, axis="y")
