"""Pictures of many runs: learning by setting, scores by length, errors by task."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.base.curves import Curve
from experiments.figures.curves import settings_figure
from experiments.figures.lengths import length_figure
from experiments.figures.style import Figure, Measure
from experiments.figures.tasks import task_error_figure
from experiments.report.settings import about_of, groups_at, setting_name, shown_scores
from experiments.runs.about import published_curve
from experiments.runs.groups import alike, lengths_of
from experiments.runs.reading import Run
from experiments.runs.restarts import settings_of_restarts
from experiments.runs.tests import conditions


def report_figures(runs: Sequence[Run], places: Sequence[int]) -> Iterator[tuple[str, Figure]]:
    """For every subject how its settings learned, and their scores by length; for tasks with names their errors.

    places: those of the ended runs. Yields what a figure shows in words, and the figure.
    """
    groups = groups_at(runs, places)
    for group in groups:
        # Tasks of one family that have names are drawn together.
        group["drawn"] = group["family"] if group["named"] else group["subject"]
    for same in alike(groups, "drawn", "unit"):
        named: dict[str, list[Run]] = {}
        for group in same:
            named.setdefault(setting_name(group, same), []).extend(runs[place] for place in group["runs"])
        subject = same[0]["drawn"]
        if any(run.curves["valid"][1] for members in named.values() for run in members):
            yield f"{subject}: learning", _learning(named, subject)
        lengths = _over_length(named)
        if len({row["length"] for row in lengths}) > 1:
            yield f"{subject}: scores by length", _lengths(named, lengths, subject)
    for one in settings_of_restarts(runs, places):
        about, names = one["about"], one["about"]["tests"]["names"]
        if names and len(one["rows"]) > 1 and about["tests"]["failed_above"] is not None:
            told = ", ".join(filter(None, (about["model_words"], about["recipe"], about["differences"])))
            words = f"{told}, tested on {one['tested_on']}"
            rows = [{"task": task, **row, "error": row["chosen"]} for task, row in one["rows"].items()]
            paper = one["published"]["name"] if one["published"] else "published"
            yield f"{about['task']}: errors by task, {words}", task_error_figure(rows, names, words, paper)


def _learning(named: Mapping[str, Sequence[Run]], subject: str) -> Figure:
    about = about_of(next(iter(named.values()))[0])
    published: dict[str, Curve] = {}
    for members in named.values():
        published |= published_curve(about_of(members[0]))
    return settings_figure(
        {name: [run.curves["valid"][1] for run in members] for name, members in named.items()},
        published,
        f"{subject}: validation while learning",
        measure=Measure.of_learning(about),
        seen=about["examples"],
    )


def _over_length(named: Mapping[str, Sequence[Run]]) -> list[dict[str, Any]]:
    """The median of the seeds at every length, and what is published, as figures take it."""
    found: dict[tuple[str, int], list[Any]] = {}
    for name, members in named.items():
        for run in members:
            for length, row in lengths_of(run):
                line = ", ".join(filter(None, [name, conditions(row, about_of(run)["tests"])]))
                found.setdefault((line, length), []).append(row)
    rows = []
    for (line, length), tests in found.items():
        scores = [name for name in tests[0]["scores"] if all(name in row["scores"] for row in tests)]
        middle = {name: statistics.median(row["scores"][name] for row in tests) for name in scores}
        baselines = {f"baseline_{name}": value for name, value in tests[0]["baselines"].items()}
        rows.append({"length": length, "line": line, "count": tests[0]["count"], **middle, **baselines})
    abouts = [about_of(members[0]) for members in named.values()]
    papers = {about["model_words"]: one for about in abouts for one in about["references"]}
    for words, one in papers.items() if rows else ():
        known = [(int(place), value) for place, value in one["tests"].items() if place.isdecimal()]
        rows += [{"length": place, "line": f"published, {words}", one["score"]: value} for place, value in known]
    return rows


def _lengths(named: Mapping[str, Sequence[Run]], rows: Sequence[Mapping[str, Any]], subject: str) -> Figure:
    about = about_of(next(iter(named.values()))[0])
    tested, measures = about["tests"], [Measure.of(score) for score in shown_scores(about)]
    return length_figure(rows, tested["trained"], tested["unit"], f"{subject}: median of the seeds", measures)
