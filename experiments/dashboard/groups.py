"""Runs of one setting together: how many solved, their learning curves, and their errors by length."""

import math
import statistics
from collections.abc import Collection, Sequence
from types import NoneType
from typing import Any

import numpy as np

from experiments.base.names import model_label
from experiments.base.statistics import quantile
from experiments.config.parts import Config, JudgedConfig, TrainConfig
from experiments.config.settings import copies_among, differences, setting_of
from experiments.dashboard.curves import band, is_number, pairs, rounded, short
from experiments.dashboard.runs import Row, Run
from experiments.runs.papers import paper_curve, paper_tests
from tasks import TASKS, BitTask
from tasks.bits import BIT_ERROR_RATE, BITS, WRONG_BITS

# Scores that are drawn over length, of which a reader chooses where answers are bits.
_BIT_SCORES = (BIT_ERROR_RATE.name, WRONG_BITS.name, BITS.name)


def family_of(config: Config) -> str:
    """The kind of task, as one can choose it on the page."""
    return "bAbI" if config.task == "babi" else config.task


def group_runs(runs: Sequence[Run], copies: Collection[int] = ()) -> list[dict[str, Any]]:
    """Every setting on every task with what its runs have in common, in the order of their first runs.

    A run is named by its place in `runs`; those without a configuration are in no group, and copies of others only in
    its number of "copies".

    copies: their places, see `copies_of`.
    """
    members: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        if run.config is not None:
            members.setdefault(repr((run.config.subject, setting_of(run.config))), []).append(place)
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
    return copies_among([(run.config, run.status) for run in runs])


def alike(facts: Sequence[dict[str, Any]], *fields: str) -> list[list[dict[str, Any]]]:
    """Those with the same values in these fields together."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for one in facts:
        found.setdefault(tuple(one[field] for field in fields), []).append(one)
    return list(found.values())


def _group(runs: Sequence[Run], places: list[int]) -> dict[str, Any]:
    config = runs[0].config
    assert config is not None
    published, papers_tests = paper_curve(config), paper_tests(config)
    judged = isinstance(config, JudgedConfig) and config.solved_at is not None
    solving = sorted(run.to_solve for run in runs if run.to_solve is not None)
    metric, unit, words = config.measured
    last = [(short(run.valid.get(f"valid/{metric}")), place) for run, place in zip(runs, places, strict=True)]
    best = min(((value, place) for value, place in last if value is not None), default=None)
    return {
        "family": family_of(config),
        "subject": config.subject,
        "model": model_label(config),
        "recipe": config.recipe,
        "setting": differences(config),
        "unit": unit,
        "words": words,
        "examples": config.examples,
        "score": _score_over_length(config),
        "runs": places,
        "solved": len(solving) if judged else None,
        "to_solve": short(statistics.median(solving)) if solving else None,
        "quartiles": rounded(np.percentile(solving, [25, 75]).tolist()) if len(solving) > 1 else None,
        "best": None if best is None else {"run": best[1], "value": best[0]},
        "curves": {part: band([run.curves[part][1] for run in runs]) for part in ("valid", "train")},
        "published": pairs(published) if published else None,
        "tests": _length_tests(runs, _score_over_length(config)),
        "published_tests": [[int(length) for length in papers_tests], list(papers_tests.values())],
    }


def _score_over_length(config: Config) -> str | None:
    """The score that is drawn over length; None where a reader chooses among those of bits."""
    if isinstance(config, TrainConfig) and issubclass(TASKS[config.task], BitTask):
        return None
    return config.measured[0]


def _length_tests(runs: Sequence[Run], score: str | None) -> list[dict[str, Any]]:
    """Scores by length over seeds: one entry for each size of memory and number of repeats.

    score: the one that is drawn; None for those of bits.
    """
    series: dict[tuple[Any, Any], dict[int, list[Row]]] = {}
    for run in runs:
        for length, row in lengths_of(run):
            key = row.get("num_slots"), row.get("repeats")
            series.setdefault(key, {}).setdefault(length, []).append(row)
    found = []
    for (slots, repeats), by_length in series.items():
        lengths = sorted(by_length)
        scores = {}
        for name in _BIT_SCORES if score is None else (score,):
            values = [_known(by_length[length], name) for length in lengths]
            if all(values):
                scores[name] = {
                    part: rounded([quantile(one, share) for one in values])
                    for part, share in (("low", 0.25), ("middle", 0.5), ("high", 0.75))
                }
        most = max(len(rows) for rows in by_length.values())
        found.append({"slots": slots, "repeats": repeats, "x": lengths, "scores": scores, "seeds": most})
    return found


def _known(rows: Sequence[Row], name: str) -> list[float]:
    """The values of a score; one that is not finite is as bad as can be."""
    known = [row[name] for row in rows if is_number(row.get(name))]
    return [math.inf if math.isnan(value) else value for value in known]


def lengths_of(run: Run) -> list[tuple[int, Row]]:
    """The tests of a run by length; of the world model with the chosen restart's error."""
    found = []
    for row in run.tests:
        kinds = {type(row.get("num_slots")), type(row.get("repeats"))}
        if type(row.get("length")) is not int or not is_number(row["length"]) or not kinds <= {int, NoneType}:
            continue
        error = chosen_error(run, row)
        found.append((row["length"], row if error is None else row | {"error_percent": error}))
    return found


def chosen_error(run: Run, row: Row) -> float | None:
    """In a test on stories, the error in percent of the restart that was chosen; None where there is none."""
    try:
        error = row["errors"][run.result["selection"]["chosen"]]
    except (KeyError, IndexError, TypeError):
        return None
    return short(error)
