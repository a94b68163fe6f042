"""What each of several models has on each of several tasks: a table of shades, and against the size of its state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.figures import style
from experiments.figures.style import Axes, Figure

_LEFT, _TOP, _HEAD, _ROW, _FOOTER = 40, 48, 34, 46, 44
# Pixels of states_figure, points of its names.
_AXIS, _RIGHT, _BETWEEN, _HEIGHT, _MARK, _LINE, _NAMES = 84, 70, 60, 330, 8, 19, 7.0
_LEADER = {"arrowstyle": "-", "color": style.GREY, "linewidth": 0.5, "relpos": (0, 0.5), "shrinkB": 0}
_LARGE, _SMALL = 8.0, 6.5  # points
_SHADES, _DARK = "Blues", 60  # from so many per cent on letters are white


class HeatCell(NamedTuple):
    """Shares in per cent, None where there is none.

    mean, worst: of our seeds. published: of others.
    """

    mean: float | None
    worst: float | None
    published: float | None


def heat_figure(cells: Mapping[tuple[str, str], HeatCell], title: str, note: str = "") -> Figure:
    """Tasks as rows and models as columns, shaded by our mean, which stands in each cell beside the worst seed.

    cells: by task and model, both in the order in which they first come. What is not there stays empty, what has no
    mean is told by a dash. The published number is the small one below. note: below the table.
    """
    tasks, models = (list(dict.fromkeys(name[k] for name in cells)) for k in range(2))
    means = np.full((len(tasks), len(models)), np.nan)
    for (task, model), cell in cells.items():
        means[tasks.index(task), models.index(model)] = math.nan if cell.mean is None else cell.mean
    with style.styled():
        import matplotlib

        down = _TOP + _HEAD + _ROW * len(tasks)
        figure = style.new_figure(down + _FOOTER, title, _LEFT, style.LEAST)
        wide = style.figure_width(style.LEAST)
        left = _LEFT + max(style.text_width(task, _LARGE) for task in tasks) + 20
        axes = style.add_axes(figure, left, _TOP + _HEAD, wide - _LEFT - left, _ROW * len(tasks))
        shades = matplotlib.colormaps[_SHADES].with_extremes(bad="white")
        axes.imshow(np.ma.masked_invalid(means), cmap=shades, vmin=0, vmax=100, aspect="auto")
        axes.spines[:].set_visible(False)
        axes.set_xticks(range(len(models)), models, fontsize=_LARGE)
        axes.set_yticks(range(len(tasks)), tasks, ha="left", fontsize=_LARGE)
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        axes.tick_params(axis="y", pad=(left - _LEFT) * 72 / style.DPI)
        for count, ticks in ((len(models), axes.set_xticks), (len(tasks), axes.set_yticks)):
            ticks(np.arange(0.5, count - 1), minor=True)
        axes.grid(True, which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="minor", length=0)
        axes.set_axisbelow(False)
        for (task, model), cell in cells.items():
            _write(axes, models.index(model), tasks.index(task), cell)
        figure.text(_LEFT / wide, 18 / (down + _FOOTER), note, fontsize=7, color=style.GREY, va="center")
    return figure


def _write(axes: Axes, column: int, row: int, cell: HeatCell) -> None:
    colour = style.GREY if cell.mean is None else "white" if cell.mean > _DARK else style.INK
    look: dict[str, Any] = {"color": colour, "ha": "center", "va": "center_baseline"}
    if cell.published is None:
        axes.text(column, row, _ours(cell), fontsize=_LARGE, **look)
    else:
        axes.text(column, row - 0.16, _ours(cell), fontsize=_LARGE, **look)
        axes.text(column, row + 0.26, f"published {cell.published:g}", fontsize=_SMALL, **look)


def _ours(cell: HeatCell) -> str:
    """The mean, and the worst seed where it is another."""
    if cell.mean is None:
        return "\N{EN DASH}"
    mean, worst = _percent(cell.mean), None if cell.worst is None else _percent(cell.worst)
    return mean if worst in (None, mean) else f"{mean} ({worst})"


def _percent(value: float) -> str:
    """One decimal; only all is 100."""
    if not math.isfinite(value):
        return "no number"
    return "100" if value == 100 else f"{min(value, 99.9):.1f}"


class StatePoint(NamedTuple):
    """What a model reached.

    state: numbers that it carries from step to step. mean, ends: of our seeds, in per cent.
    """

    state: int
    mean: float
    ends: tuple[float, float]


def states_figure(points: Mapping[tuple[str, str], StatePoint], title: str) -> Figure:
    """A panel for every task, in it a point for every model with its name, and a line from the worst seed to the best.

    points: by task and model.
    """
    tasks = list(dict.fromkeys(task for task, _ in points))
    sizes = [point.state for point in points.values()]
    ticks = [4**power for power in range(4, 13) if min(sizes) / 2 < 4**power < 2 * max(sizes)]
    with style.styled():
        figure = style.new_figure(_TOP + _HEIGHT + 90, title, _AXIS, style.LEAST)
        wide = (style.figure_width(style.LEAST) - _AXIS - _RIGHT - _BETWEEN * (len(tasks) - 1)) / len(tasks)
        for number, task in enumerate(tasks):
            own = {model: point for (one, model), point in points.items() if one == task}
            left = _AXIS + number * (wide + _BETWEEN)
            axes = style.add_axes(figure, left, _TOP + 26, wide, _HEIGHT)
            style.numbered_log_scale(axes, ticks, (min(sizes), 4 * max(sizes)))  # room for a name beside the largest
            axes.errorbar(
                [point.state for point in own.values()],
                [point.mean for point in own.values()],
                [[abs(point.mean - point.ends[k]) for point in own.values()] for k in range(2)],
                fmt="o",
                color=style.BLUE,
            )
            axes.set_ylim(0, 103)
            axes.set_title(task, fontsize=_LARGE)
            axes.set_xlabel("numbers of state")
            if number:
                axes.tick_params(labelleft=False)
            else:
                axes.set_ylabel("right, %")
            _name_points(axes, own)
    return figure


class _Box(NamedTuple):
    """Pixels that something takes."""

    left: float
    right: float
    low: float
    high: float

    def meets(self, other: _Box) -> bool:
        return self.left < other.right and other.left < self.right and self.low < other.high and other.low < self.high


def _name_points(axes: Axes, points: Mapping[str, StatePoint]) -> None:
    """Each name beside its point, or below, with a line, where it would meet a point or another name."""
    at = {model: axes.transData.transform((point.state, point.mean)) for model, point in points.items()}
    taken = [_Box(x - _MARK, x + _MARK, y - _MARK, y + _MARK) for x, y in at.values()]
    low, left, right = axes.bbox.y0, axes.bbox.x0 + 4, axes.bbox.x1 + _BETWEEN - 8
    # From above, and of points as high as a name from the right, where there is least room.
    for model, (x, y) in sorted(at.items(), key=lambda one: (-round(one[1][1] / _LINE), -one[1][0])):
        wide = style.text_width(model, _NAMES)
        beside = [(_MARK + 2, 0), (-_MARK - 2 - wide, 0)]
        below = range(1, _HEIGHT // _LINE)
        moves = [*beside, *((across, -_LINE * down) for across in (2 * _MARK, -2 * _MARK - wide) for down in below)]
        found = (_Box(x + a, x + a + wide, y + d - _LINE / 2, y + d + _LINE / 2) for a, d in moves)
        free = (
            (box, move)
            for box, move in zip(found, moves, strict=True)
            if left < box.left and box.right < right and low < box.low and not any(box.meets(one) for one in taken)
        )
        box, (across, down) = next(free, (_Box(x, x, y, y), moves[0]))
        taken.append(box)
        axes.annotate(
            model,
            points[model][:2],
            (across * 72 / style.DPI, down * 72 / style.DPI),
            textcoords="offset points",
            va="center",
            fontsize=_NAMES,
            arrowprops=_LEADER if down else None,
        )
