"""How well models of several kinds do a task, against the size of what each keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from experiments.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEFT, _TOP, _RIGHT, _HEIGHT = 84, 48, 130, 300


class StatePoint(NamedTuple):
    """What a model reached.

    state: numbers that it carries from step to step. mean, ends: of our seeds, in per cent.
    """

    state: int
    mean: float
    ends: tuple[float, float]


def states_figure(points: Mapping[tuple[str, str], StatePoint], title: str) -> Figure:
    """A colour for every task, a point for every model, named beside it, and a line from the worst seed to the best.

    points: by task and model.
    """
    with style.styled():
        figure = style.new_figure(_TOP + _HEIGHT + 60, title, _LEFT, style.LEAST)
        axes = style.add_axes(figure, _LEFT, _TOP, style.figure_width(style.LEAST) - _LEFT - _RIGHT, _HEIGHT)
        sizes = [point.state for point in points.values()]
        style.numbered_log_scale(axes, sorted(set(sizes)), (min(sizes), max(sizes)))
        handles = []
        for number, task in enumerate(dict.fromkeys(task for task, _ in points)):
            own = {model: point for (one, model), point in points.items() if one == task}
            marks = axes.errorbar(
                [point.state for point in own.values()],
                [point.mean for point in own.values()],
                [[abs(point.mean - point.ends[k]) for point in own.values()] for k in range(2)],
                fmt="o",
                color=f"C{number}",
                label=task,
            )
            handles.append(marks[0])
            marks[0].set_label(task)
            for model, point in own.items():
                place = (point.state, point.mean)
                axes.annotate(model, place, (6, 0), textcoords="offset points", va="center", fontsize=7)
        axes.set_ylim(0, 103)
        axes.set_xlabel("numbers of state")
        axes.set_ylabel("right, %")
        style.key_below(figure, handles, _LEFT)
    return figure
