"""Tests of all restarts of all seeds of a setting together: which is chosen, their mean, the best."""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from experiments.base.curves import short
from experiments.base.statistics import deviation
from experiments.runs.about import About, Reference
from experiments.runs.outcomes import choose
from experiments.runs.reading import Run
from experiments.runs.tests import Condition, TestRow, in_order, name_of


def whole_test(row: TestRow, run: Run) -> bool:
    """Whether a test has what a table needs: a task that is known, and the score of every restart."""
    assert run.about is not None
    tests = run.about["tests"]
    value = row["at"].get(tests["by"])
    known = str(value) in tests["names"] if tests["names"] else isinstance(value, int)
    restarts = run.result["selection"]["restarts"] if "selection" in run.result else [{}]
    scores = scores_of(row, run.about)
    return known and len(scores) == len(restarts) and None not in map(short, scores)


def scores_of(row: TestRow, about: About) -> list[float]:
    """The first score of a test, of every restart."""
    name = about["tests"]["scores"][0]["name"]
    return row["each"].get(name) or [score for own, score in row["scores"].items() if own == name]


def published(about: About, row: TestRow) -> Reference | None:
    """The paper whose numbers stand beside a test; none beside one on other data."""
    papers = [one for one in about["references"] if one["kind"] == "published" and row["as_trained"]]
    return papers[0] if papers else None


def settings_of_restarts(runs: Sequence[Run], places: Iterable[int]) -> list[dict[str, Any]]:
    """Each setting, trained and tested on some data: all restarts of all its seeds by task or length.

    places: those of the runs that count.
    """
    found: dict[str, dict[str, Any]] = {}
    for place in places:
        run, about = runs[place], runs[place].about
        for row in run.tests if about is not None else ():
            assert about is not None
            if not whole_test(row, run):
                continue
            facts: dict[str, Any] = {
                "about": about,
                "tested_on": row["on"],
                "published": published(about, row),
                "by": run.result.get("selection", {}).get("by", "valid"),
                "tests": {},
            }
            tests = found.setdefault(repr((about["setting"], about["data"], row["on"])), facts)["tests"]
            tests.setdefault(row["at"][about["tests"]["by"]], []).append((place, run, row))
    for facts in found.values():
        facts["rows"] = {value: _of_value(value, facts) for value in in_order(facts["tests"])}
    return list(found.values())


def _of_value(value: Condition, facts: dict[str, Any]) -> dict[str, Any]:
    """One task or length: what is told of its restarts and seeds, and the published score."""
    tests, about, paper = facts["tests"][value], facts["about"], facts["published"]
    return pooled(tests, about) | {
        "name": name_of(value, about["tests"]),
        "published": paper["tests"].get(str(value)) if paper else None,
        "runs": tuple(sorted({place for place, _, _ in tests})),
    }


def pooled(tests: Sequence[tuple[int, Run, TestRow]], about: About) -> dict[str, Any]:
    """One task or length: score of the chosen restart, the mean of all, the best, and where they are from.

    tests: the place of each run, the run, and the row of its test.
    """
    scores, runs, learned = list[float](), list[int](), list[dict[str, float]]()
    for place, run, row in tests:
        own = scores_of(row, about)
        scores += own
        runs += [place] * len(own)
        learned += run.result["selection"]["restarts"] if "selection" in run.result else [_by_validation(run, about)]
    chosen = choose(learned, tests[0][1].result.get("selection", {}).get("by", "valid"))
    best = min if about["tests"]["scores"][0]["best"] == "low" else max
    return {
        "chosen": short(scores[chosen]),
        "mean": short(statistics.fmean(scores)),
        "deviation": short(deviation(scores)),
        "best": short(best(scores)),
        "restarts": len(scores),
        "errors": [short(score) for score in scores],
        "run": runs[chosen],
    }


def _by_validation(run: Run, about: About) -> dict[str, float]:
    """What a run without restarts is chosen by among others: its last validation."""
    value = short(run.valid.get(f"valid/{about['curve']['metric']}"))
    return {"valid_error": math.inf if value is None else float(value), "valid_loss": 0.0}
