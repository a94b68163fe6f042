"""The pictures of a run that its folder alone tells, whatever it learns: learning, gradients, errors over length."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.figures.curves import learning_curve_figure
from experiments.figures.gradients import gradient_flow_figure
from experiments.figures.grids import grid_figure
from experiments.figures.lengths import length_figure
from experiments.figures.memory import memory_figure
from experiments.figures.style import Figure, Measure, Rows, figure_name, save_figure
from experiments.figures.view import View, grid_of
from experiments.runs.about import About, published_curve
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import read_metrics
from experiments.runs.tests import TestRow, best_possible, conditions, without_learning


def run_title(about: About) -> str:
    """What is learned, from which data where that is not said, and by which model."""
    data = "" if about["data"] in (about["task"], about["subject"]) else f", trained on {about['data']}"
    return f"{about['label']}{data}, seed {about['seed']}"


def draw_learning(folder: RunFolder, about: About, *, restarts: int = 1, optimum: float | None = None) -> list[Path]:
    """Draw what a run's metrics and tests tell into its folder, and return the files.

    restarts: of the run. optimum: the best possible value of what learning is measured in, where it is known.
    """
    rows, tests = read_metrics(folder.metrics) if folder.metrics.exists() else [], folder.read_tests()
    title = run_title(about)
    figures = {}
    if not folder.kept:
        figures["learning-curve"] = _learning_curve(about, rows, tests, title, restarts, optimum)
    if any("gradients/norm/lag-1" in row for row in rows):
        figures["gradient-flow"] = gradient_flow_figure(rows, title)
    if lengths := _over_length(about, tests):
        drawn = [Measure.of(score) for score in about["tests"]["scores"] if score.get("drawn", True)]
        tested = about["tests"]
        figures["error-by-length"] = length_figure(lengths, tested["trained"], tested["unit"], title, drawn)
    folder.figures.mkdir(exist_ok=True)
    files = {folder.figures / figure_name(name): figure for name, figure in figures.items()}
    for file, figure in files.items():
        save_figure(figure, file)
    return list(files)


def draw_views(figures: Path, views: Mapping[str, View], title: str) -> list[Path]:
    """Draw a figure for each view into a folder, called by its kind and the view's name, and return the files.

    What was looked at by sentence or word, or else the memory over time; a view with nothing of the kind has no figure.
    """
    files = []
    episodes = [view.episode for view in views.values() if view.episode is not None and view.episode.has_memory]
    for name, view in views.items():
        if (grid := grid_of(view)) is not None:
            kind, figure = {"read": "attention", "gate": "gates"}[grid.kind], grid_figure(view, grid, title)
        elif view.episode is not None and (view.episode.has_memory or not view.answers):
            told = f"{title}: {view.asked} {view.verdict}" if view.answers else f"{title}: {view.asked}"
            kind, figure = "memory", memory_figure(view.episode, told, episodes)
        else:
            continue
        files.append(figures / figure_name(f"{kind}-{name}"))
        figures.mkdir(parents=True, exist_ok=True)
        save_figure(figure, files[-1])
    return files


def _learning_curve(
    about: About, rows: Rows, tests: list[TestRow], title: str, restarts: int, optimum: float | None
) -> Figure:
    solved, measure = about["solved"], Measure.of_learning(about)
    criterion = Measure(solved["metric"].removeprefix("valid/"), "", solved["unit"]) if solved else measure
    # What an update has some of may be counted more exactly.
    counted = about["tests"]["examples"]
    seen = counted if any(counted in row for row in rows) else about["examples"]
    return learning_curve_figure(
        rows,
        published_curve(about),
        title,
        model=about["model"],
        measure=measure,
        criterion=criterion,
        solved_at=solved["under"] if solved else None,
        optimum=best_possible(about, tests) if optimum is None else optimum,
        baseline=without_learning(about, tests),
        seen=seen,
        restarts=restarts,
    )


def _over_length(about: About, tests: list[TestRow]) -> list[dict[str, Any]]:
    """Tests that differ in a number that has no name, as figures take them."""
    told = about["tests"]
    return [
        {
            "length": row["at"][told["by"]],
            "line": ", ".join(filter(None, [row["on"] if row["on"] != about["data"] else "", conditions(row, told)]))
            or about["model_words"],
            "count": row["count"],
            **row["scores"],
            **{f"baseline_{name}": score for name, score in row["baselines"].items()},
        }
        for row in tests
        if not told["names"] and isinstance(row["at"].get(told["by"]), int)
    ]
