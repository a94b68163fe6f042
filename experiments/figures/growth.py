"""Time or memory over the size of what is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.figures import style
from experiments.figures.style import Axes, Figure

# A colour and a mark for each way to run a model, the same in all figures; others take what is left.
_LINES = {
    "eager": (style.VERMILION, "o"),
    "compile": (style.ORANGE, "s"),
    "native": (style.BLUE, "^"),
    "auto": (style.SKY, "v"),
    "stacked": (style.PURPLE, "D"),
    "graph": (style.GREEN, "P"),
}
# Where models are beside each other, a colour for each, as they come.
_OF_MODELS = (style.BLUE, style.GREEN, style.VERMILION, style.PURPLE, style.ORANGE, style.SKY, style.INK)
_FLOOR = "floor"
# Lines of what memory it is, behind the way; none of times.
_OF_MEMORY = {"": "-", "plain": "-", "kept a step": "--", "checkpointed": "-."}


class GrowthPanel(NamedTuple):
    """One panel of a growth figure.

    title: of the panel.
    size:  what grows, in words: the horizontal axis.
    lines: by name, points (size, value, lower quartile, upper quartile), all above zero; "floor" is drawn dashed.
           A name is a way to run a model, behind the model's where there are several, or before what is measured.
    value: what is measured, with its unit, where panels differ in it.
    """

    title: str
    size: str
    lines: Mapping[str, Sequence[tuple[float, float, float, float]]]
    value: str = ""


def growth_figure(panels: Sequence[GrowthPanel], value: str, title: str) -> Figure:
    """Values over sizes, both logarithmic, with their quartiles as bands; three panels a row.

    value: what is measured, with its unit: the vertical axis.
    """
    from matplotlib.lines import Line2D

    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    models = list(dict.fromkeys(model for name in names if (model := _parts(name)[0])))
    looks = {name: _look(name, models) for name in names}
    columns = min(3, len(panels), max(1, style.figure_width() // 350))
    rows = -(-len(panels) // columns)
    pitch = (style.figure_width() - 90) // columns
    between = 105 if any(panel.value for panel in panels) else 70
    with style.styled():
        figure = style.new_figure(90 + 420 * rows, title, 80)
        for index, panel in enumerate(panels):
            row, column = divmod(index, columns)
            axes = style.add_axes(figure, 80 + pitch * column, 102 + 420 * row, pitch - between, 290)
            _draw_panel(axes, panel, looks, panel.value or (value if column == 0 else ""))
        style.key_below(figure, [Line2D([], [], label=name, **look) for name, look in looks.items()], 80)
    return figure


def _parts(name: str) -> tuple[str, str, str]:
    """Of a line's name the model, the way to run it, and what is measured; "" for what it does not say."""
    way, _, what = name.partition(", ")
    model, _, way = way.rpartition(" ")
    return model, way, what


def _look(name: str, models: Sequence[str]) -> dict[str, Any]:
    if name == _FLOOR:
        return {"color": style.GREY, "linestyle": "--", "linewidth": 1.4}
    model, way, what = _parts(name)
    colour, mark = _LINES.get(way, (style.INK, "x"))
    line = _OF_MEMORY.get(what, ":")
    if model:
        colour, line = _OF_MODELS[models.index(model) % len(_OF_MODELS)], "--" if way == "eager" else "-"
    return {"color": colour, "marker": mark, "markersize": 4.5, "linewidth": 1.4, "linestyle": line}


def _draw_panel(axes: Axes, panel: GrowthPanel, looks: Mapping[str, dict[str, Any]], value: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    sizes = sorted({point[0] for points in panel.lines.values() for point in points})
    axes.set_title(panel.title)
    axes.set_yscale("log")
    style.numbered_log_scale(axes, sizes, (sizes[0], sizes[-1]))
    for name, points in panel.lines.items():
        size, middle, low, high = np.array(sorted(points)).T
        look = looks[name]
        axes.plot(size, middle, **look)
        axes.fill_between(size, low, high, color=look["color"], alpha=0.18, linewidth=0)
    axes.grid(True, axis="y")
    axes.set_xlabel(panel.size)
    axes.set_ylabel(value)
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.10g}"))
    axes.yaxis.set_minor_locator(NullLocator())
