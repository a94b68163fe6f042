"""Tables of runs with restarts, or whose tests have names: each setting by task or length, of all restarts and seeds.

Who reads word by word and who reads sentence by sentence never stand in one table.
"""

import statistics
from collections.abc import Sequence
from typing import Any

from experiments.base.statistics import bootstrap
from experiments.base.tables import Cell, Table
from experiments.report.settings import about_of
from experiments.runs.about import Reference
from experiments.runs.outcomes import LEARNED_FROM
from experiments.runs.reading import Run
from experiments.runs.restarts import settings_of_restarts

_READ = {None: "", False: ", read sentence by sentence", True: ", read word by word"}


def has_restarts(run: Run) -> bool:
    """Whether a run is told here."""
    return bool(about_of(run)["tests"]["names"]) or any(row["each"] for row in run.tests)


def restart_tables(runs: Sequence[Run], places: Sequence[int]) -> list[Table]:
    """For every way of reading and every set of test questions the settings side by side, then each by task or length.

    places: those of the ended runs that are told here.
    """
    compared: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for one in settings_of_restarts(runs, places):
        about = one["about"]
        compared.setdefault((about["task"], one["tested_on"], about["by_word"]), []).append(one)
    tables = []
    for same in compared.values():
        for one in same:
            about = one["about"]
            one["name"] = f"{about['model_words']} ({', '.join(filter(None, (about['recipe'], about['differences'])))})"
        if same[0]["about"]["tests"]["names"]:
            tables.append(_overview(same))
        tables += map(_by_task, same)
    return tables


def _overview(same: Sequence[dict[str, Any]]) -> Table:
    tests = same[0]["about"]["tests"]
    heading, limit = tests["scores"][0]["heading"], tests["failed_above"]
    several = f"{tests['unit']}s"
    head = ["model (recipe)", "trained on", several, f"mean {heading}, chosen", f"95 % over {several}"]
    head += ["mean of restarts", "failed", "published: mean", "published: failed"]
    rows = []
    for one in same:
        cells = list(one["rows"].values())
        runs = tuple(sorted({place for cell in cells for place in cell["runs"]}))
        chosen = [cell["chosen"] for cell in cells]
        interval = bootstrap(chosen, lambda drawn: drawn.mean(-1))
        means = statistics.fmean(cell["mean"] for cell in cells)
        papers = [cell["published"] for cell in cells if cell["published"] is not None]
        whole = len(papers) == len(cells)
        rows.append(
            [
                Cell(one["name"]),
                Cell(one["about"]["data"]),
                Cell(str(len(cells)), list(one["rows"]), runs),
                Cell(f"{statistics.fmean(chosen):.1f}", statistics.fmean(chosen), runs),
                Cell("-" if interval is None else f"{interval.low:.1f} to {interval.high:.1f}", interval, runs),
                Cell(f"{means:.1f}", means, runs),
                Cell(*_failed(chosen, limit), runs),
                Cell(f"{statistics.fmean(papers):.1f}", statistics.fmean(papers)) if whole else Cell("-"),
                Cell(*_failed(papers, limit)) if whole else Cell("-"),
            ]
        )
    notes = [
        "Published means are of the same tasks. Settings with other tasks are not comparable by their means. The "
        "interval is a bootstrap over the tasks (10,000 samples)."
    ]
    if limit is not None:
        notes[0] = f"Failed: tasks with more than {limit:.0f} % wrong. {notes[0]}"
    return Table(f"{same[0]['tested_on']}{_READ[same[0]['about']['by_word']]}", head, rows, notes)


def _failed(errors: Sequence[float], limit: float | None) -> tuple[str, int | None]:
    if limit is None:
        return "-", None
    failed = sum(error > limit for error in errors)
    return f"{failed} of {len(errors)}", failed


def _by_task(one: dict[str, Any]) -> Table:
    about, paper = one["about"], one["published"]
    head = [about["tests"]["unit"], "restarts and seeds", f"{about['tests']['scores'][0]['heading']}, chosen"]
    head += ["mean ± sd", "95 % of the mean", "best"]
    head += [f"published: {paper['name']}"] if paper else []
    rows = []
    for row in one["rows"].values():
        runs = row["runs"]
        interval = bootstrap(row["errors"], lambda drawn: drawn.mean(-1))
        deviation = "" if row["deviation"] is None else f" ± {row['deviation']:.1f}"
        cells = [
            Cell(row["name"]),
            Cell(str(row["restarts"]), row["restarts"], runs),
            Cell(f"{row['chosen']:.1f}", row["chosen"], (row["run"],)),
            Cell(f"{row['mean']:.1f}{deviation}", row["errors"], runs),
            Cell("-" if interval is None else f"{interval.low:.1f} to {interval.high:.1f}", interval, runs),
            Cell(f"{row['best']:.1f}", row["best"], runs),
        ]
        if paper:
            cells.append(Cell("-" if row["published"] is None else f"{row['published']:.1f}", row["published"]))
        rows.append(cells)
    return Table(f"{one['name']}, {one['tested_on']}", head, rows, _notes(one, paper))


def _notes(one: dict[str, Any], paper: Reference | None) -> list[str]:
    about = one["about"]
    read = _READ[about["by_word"]].removeprefix(", ")
    how = f"{read}, trained on {about['data']}, tested on {one['tested_on']}".removeprefix(", ")
    notes = [
        f"{how[0].upper()}{how[1:]}. Chosen: the lowest error on the {LEARNED_FROM[one['by']]} {about['examples']}, "
        "ties by loss; test questions choose nothing. Best: the lowest test error, which nobody could have chosen."
    ]
    return [*notes, f"Published: {paper['source']}; {paper['protocol']}."] if paper else notes
