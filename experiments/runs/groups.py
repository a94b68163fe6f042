"""Runs of one setting together: how many solved, their learning curves, and their scores by length."""

import math
import statistics
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from experiments.base.curves import band, is_number, pairs, rounded, short
from experiments.base.statistics import quantile
from experiments.runs.about import About, Reference, copies_among
from experiments.runs.reading import Run
from experiments.runs.tests import TestRow, conditions


def group_runs(runs: Sequence[Run], copies: Collection[int] = ()) -> list[dict[str, Any]]:
    """Every setting on every task with what its runs have in common, in the order of their first runs.

    A run is named by its place in `runs`; those that tell nothing of themselves are in no group, and copies of others
    only in its number of "copies".

    copies: their places, see `copies_of`.
    """
    members: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        if run.about is not None:
            members.setdefault(repr((run.about["subject"], run.about["setting"])), []).append(place)
    groups = []
    for places in members.values():
        counting = [place for place in places if place not in copies]
        groups.append(_group([runs[place] for place in counting], counting) | {"copies": len(places) - len(counting)})
    for same in alike(groups, "subject", "model"):
        for number, group in enumerate(same):
            group["dash"] = number
    return groups


def copies_of(runs: Sequence[Run]) -> dict[int, int]:
    """The places of runs that are copies of others, and of which; see `copies_among`."""
    return copies_among([(run.about, run.status) for run in runs])


def alike(facts: Sequence[dict[str, Any]], *fields: str) -> list[list[dict[str, Any]]]:
    """Those with the same values in these fields together."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for one in facts:
        found.setdefault(tuple(one[field] for field in fields), []).append(one)
    return list(found.values())


def told(about: About) -> dict[str, Any]:
    """What a run, and all of its setting, are called."""
    return {
        "family": about["task"],
        "subject": about["subject"],
        "model": about["model"],
        "model_words": about["model_words"],
        "by_word": about["by_word"],
        "named": bool(about["tests"]["names"]),
        "recipe": about["recipe"],
        "setting": about["differences"],
        "unit": about["curve"]["unit"],
    }


def _group(runs: Sequence[Run], places: list[int]) -> dict[str, Any]:
    about = runs[0].about
    assert about is not None
    papers = [one for one in about["references"] if one["kind"] == "published"]
    curve = next((one["curve"] for one in papers if one["curve"]), None)
    solving = sorted(run.to_solve for run in runs if run.to_solve is not None)
    last = [
        (short(run.valid.get(f"valid/{about['curve']['metric']}")), place)
        for run, place in zip(runs, places, strict=True)
    ]
    best = min(((value, place) for value, place in last if value is not None), default=None)
    return told(about) | {
        "words": about["curve"]["words"],
        "examples": about["examples"],
        "length_unit": about["tests"]["unit"],
        "score": _drawn(about),
        "runs": places,
        "solved": None if about["solved"] is None else len(solving),
        "to_solve": short(statistics.median(solving)) if solving else None,
        "quartiles": rounded(np.percentile(solving, [25, 75]).tolist()) if len(solving) > 1 else None,
        "best": None if best is None else {"run": best[1], "value": best[0]},
        "curves": {part: band([run.curves[part][1] for run in runs]) for part in ("valid", "train")},
        "published": None if curve is None else pairs([(x, y) for x, y in curve]),
        "tests": _length_tests(runs),
        "published_tests": _published_tests(papers),
    }


def _drawn(about: About) -> str:
    """The score that is drawn over length where a reader chooses none: that of learning, else the first."""
    names = [one["name"] for one in about["tests"]["scores"]]
    return about["curve"]["metric"] if about["curve"]["metric"] in names else names[0]


def _published_tests(papers: Sequence[Reference]) -> dict[str, Any] | None:
    """A paper's score by length."""
    for one in papers:
        if one["tests"] and all(length.isdecimal() for length in one["tests"]):
            return {
                "score": one["score"],
                "x": [int(length) for length in one["tests"]],
                "y": list(one["tests"].values()),
            }
    return None


def _length_tests(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Scores by length over seeds: one entry for whatever else the tests differ in."""
    series: dict[str, dict[int, list[TestRow]]] = {}
    for run in runs:
        for length, row in lengths_of(run):
            assert run.about is not None
            series.setdefault(conditions(row, run.about["tests"]), {}).setdefault(length, []).append(row)
    found = []
    for words, by_length in series.items():
        lengths = sorted(by_length)
        scores = {}
        for name in dict.fromkeys(name for rows in by_length.values() for row in rows for name in row["scores"]):
            values = [known_scores(by_length[length], name) for length in lengths]
            if all(values):
                scores[name] = {
                    part: rounded([quantile(one, share) for one in values])
                    for part, share in (("low", 0.25), ("middle", 0.5), ("high", 0.75))
                }
        most = max(len(rows) for rows in by_length.values())
        found.append({"label": words, "x": lengths, "scores": scores, "seeds": most})
    return found


def known_scores(rows: Sequence[TestRow], name: str) -> list[float]:
    """The values of a score; one that is not finite is as bad as can be."""
    known = [row["scores"][name] for row in rows if is_number(row["scores"].get(name))]
    return [math.inf if math.isnan(value) else value for value in known]


def lengths_of(run: Run) -> list[tuple[int, TestRow]]:
    """The tests of a run that differ in a number, by that, where its values have no names."""
    if run.about is None or run.about["tests"]["names"]:
        return []
    by = run.about["tests"]["by"]
    return [(length, row) for row in run.tests if isinstance(length := row["at"].get(by), int)]
