"""Tables of runs on stories: errors by task or length, sentence by sentence and word by word never in one."""

import statistics
from collections.abc import Sequence
from typing import Any

from experiments.base.names import model_label
from experiments.base.statistics import bootstrap
from experiments.base.tables import Cell, Table
from experiments.config.settings import differences, setting_of
from experiments.dashboard.look import MODELS
from experiments.dashboard.runs import Row, Run
from experiments.dashboard.stories import pooled_errors, whole_test
from experiments.domains.stories.config import READERS, StoryConfig
from experiments.domains.stories.published import published_for
from experiments.domains.stories.tables import FAILED, PARTS, name_of, number_of

_LEVELS = {False: "sentence by sentence", True: "word by word"}


def story_tables(runs: Sequence[Run], places: Sequence[int]) -> list[Table]:
    """For every way of reading and every set of test questions the settings side by side, then each by task or length.

    places: those of the ended runs on stories.
    """
    settings = _settings(runs, places)
    compared: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for one in settings:
        compared.setdefault((one["family"], one["tested_on"], one["words"]), []).append(one)
    tables = []
    for same in compared.values():
        for one in same:
            more = [one["recipe"], *([one["setting"]] if one["setting"] else [])]
            one["name"] = f"{MODELS[one['model']][0]} ({', '.join(more)})"
        if same[0]["family"] == "babi":
            tables.append(_overview(same))
        tables += map(_by_task, same)
    return tables


def _settings(runs: Sequence[Run], places: Sequence[int]) -> list[dict[str, Any]]:
    """Each setting, trained and tested on some stories: its restarts and seeds by task or length."""
    found: dict[str, dict[str, Any]] = {}
    for place in places:
        run = runs[place]
        assert isinstance(run.config, StoryConfig)
        for row in run.tests:
            if not whole_test(row, run):
                continue
            key = repr((setting_of(run.config), row["trained_on"], row["tested_on"]))
            facts = {
                "family": run.config.task,
                "model": model_label(run.config),
                "recipe": run.config.recipe,
                "setting": differences(run.config),
                "select": run.config.select,
                "words": run.config.model in READERS,
                "trained_on": row["trained_on"],
                "tested_on": row["tested_on"],
                "published": published_for(run.config, row["trained_on"], row["tested_on"]),
                "tests": {},
            }
            tests = found.setdefault(key, facts)["tests"]
            tests.setdefault(int(number_of(row)), []).append((place, run, row))
    for facts in found.values():
        facts["rows"] = {number: _row(facts["tests"][number], facts) for number in sorted(facts["tests"])}
    return list(found.values())


def _row(tests: Sequence[tuple[int, Run, Row]], facts: dict[str, Any]) -> dict[str, Any]:
    """One task or length: what is told of its restarts and seeds, and the published error."""
    config = tests[0][1].config
    assert isinstance(config, StoryConfig)
    published = facts["published"]["errors"].get(number_of(tests[0][2])) if facts["published"] else None
    return pooled_errors(tests, config) | {
        "name": name_of(tests[0][2]),
        "published": published,
        "runs": tuple(sorted({place for place, _, _ in tests})),
    }


def _overview(same: Sequence[dict[str, Any]]) -> Table:
    head = ["model (recipe)", "trained on", "tasks", "mean error %, chosen", "95 % over tasks", "mean of restarts"]
    head += ["failed", "published: mean", "published: failed"]
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
                Cell(one["trained_on"]),
                Cell(str(len(cells)), sorted(one["rows"]), runs),
                Cell(f"{statistics.fmean(chosen):.1f}", statistics.fmean(chosen), runs),
                Cell("-" if interval is None else f"{interval.low:.1f} to {interval.high:.1f}", interval, runs),
                Cell(f"{means:.1f}", means, runs),
                Cell(*_failed(chosen), runs),
                Cell(f"{statistics.fmean(papers):.1f}", statistics.fmean(papers)) if whole else Cell("-"),
                Cell(*_failed(papers)) if whole else Cell("-"),
            ]
        )
    notes = [
        f"Failed: tasks with more than {FAILED:.0f} % wrong. Published means are of the same tasks. Settings with "
        "other tasks are not comparable by their means. The interval is a bootstrap over the tasks (10,000 samples)."
    ]
    return Table(f"{same[0]['tested_on']}, read {_LEVELS[same[0]['words']]}", head, rows, notes)


def _failed(errors: Sequence[float]) -> tuple[str, int]:
    failed = sum(error > FAILED for error in errors)
    return f"{failed} of {len(errors)}", failed


def _by_task(one: dict[str, Any]) -> Table:
    published = one["published"]
    kind = "task" if one["family"] == "babi" else "sentences"
    head = [kind, "restarts and seeds", "error %, chosen", "mean ± sd", "95 % of the mean", "best"]
    head += [f"published: {published['name']}"] if published else []
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
        if published:
            cells.append(Cell("-" if row["published"] is None else f"{row['published']:.1f}", row["published"]))
        rows.append(cells)
    notes = [
        f"Read {_LEVELS[one['words']]}, trained on {one['trained_on']}, tested on {one['tested_on']}. Chosen: the "
        f"lowest error on the {PARTS[one['select']]} questions, ties by loss; test questions choose nothing. Best: the "
        "lowest test error, which nobody could have chosen."
    ]
    if published:
        notes.append(f"Published: {published['source']}; {published['protocol']}.")
    return Table(f"{one['name']}, {one['tested_on']}", head, rows, notes)
