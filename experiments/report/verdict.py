"""What a number of ours says of a published one: one rule, which RULE tells in words.

Everything is computed from the numbers. Nobody writes a verdict by hand.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from experiments.base.statistics import RESAMPLES, Interval, deviation, percentiles, student_quantile
from experiments.runs.outcomes import choose

Verdict = Literal[
    "beaten",
    "reproduced",
    "better, with other settings",
    "as good, with other settings",
    "not reached",
    "other protocol: not compared",
    "no published number",
    "not measured",
    "not run",
]
# Seeds or restarts that it takes to beat a number: of fewer nobody knows how they scatter.
LEAST = 3
RULE = (
    "Ours is the same statistic as the published number: beside one run the mean of our seeds; beside the best of n "
    "the one of our first n restarts that the same criterion chooses, which is never the test. It is **reproduced** "
    "where it is no worse than the published number by more than the margin of its table. It is **beaten** where it "
    "is better by more than the margin with 95 % confidence in a repetition, too: Student's interval of one more "
    f"seed, of at least {LEAST} seeds that are not all alike; or, where there are n restarts, the bootstrap of "
    "choosing again among them, which knows of nothing that it has not seen. Where task, test and kind of model are "
    "the published ones, but the model's settings or its training are not, it is **as good** or **better, with other "
    "settings** in their place. Everything else, and what is no finite number, is **not reached**; one run can "
    "reproduce, but never beat, and intervals are over seeds, not over test examples."
)


class Published(NamedTuple):
    """A number of others.

    margin:  a difference that says nothing: of reading a figure, of rounding, or what a table grants.
    best_of: of how many restarts it is the chosen one; None for one run.
    """

    value: float
    margin: float = 0.0
    best_of: int | None = None


class Ours(NamedTuple):
    """Numbers of ours.

    values:   of every run.
    value:    the same statistic as what is published.
    interval: where it would lie if it were measured again, beside one run where one more seed would; None where that is
              not known.
    runs:     of which there are so many: seeds, or restarts of each task.
    ends:     the lowest and the highest, of several tasks the mean of each task's.
    """

    values: tuple[float, ...]
    value: float
    interval: Interval | None
    runs: int
    ends: tuple[float, float]


def verdict(
    ours: Ours, published: Published | None, *, best: Literal["low", "high"], same: bool, as_there: bool = True
) -> Verdict:
    """The rule.

    best:          whether low or high numbers are good.
    same:          whether both were measured by the same protocol.
    as_there:      whether the settings of model and training, too, are the published ones.
    """
    if published is None:
        return "no published number"
    if not same:
        return "other protocol: not compared"
    sign = 1 if best == "low" else -1
    # A number that is none is worse than any.
    if not sign * (ours.value - published.value) <= published.margin:
        return "not reached"
    beaten = False
    if ours.interval is not None and ours.runs >= LEAST:
        worst = ours.interval.high if best == "low" else ours.interval.low
        beaten = sign * (worst - published.value) < -published.margin
    if as_there:
        return "beaten" if beaten else "reproduced"
    return "better, with other settings" if beaten else "as good, with other settings"


def of_runs(values: Sequence[float]) -> Ours:
    """Seeds beside one run. What is not finite makes their mean not finite, too."""
    middle, spread = mean(values), deviation(values)
    ends = float(np.min(values)), float(np.max(values))
    # Seeds that are all alike, as at 100 %, do not tell how others would scatter.
    if not spread:
        return Ours(tuple(values), middle, None, len(values), ends)
    half = student_quantile(len(values) - 1) * spread * math.sqrt(1 + 1 / len(values))
    return Ours(tuple(values), middle, Interval(middle - half, middle + half), len(values), ends)


def of_restarts(tests: Sequence[Sequence[Mapping[str, Any]]], by: str, best_of: int) -> Ours:
    """Restarts beside the best of some: the mean over all tests of the error of those that are chosen.

    tests:   for every task or length its restarts, with their seed, test_error, and by_error and by_loss of `by`.
    by:      what chooses: "train" or "valid".
    best_of: restarts that count, the first ones.
    """
    models = [restarts[:best_of] for restarts in _models(tests)]
    chosen = [restarts[choose(restarts, by)]["test_error"] for restarts in models]
    weights = [restarts[0]["tests"] for restarts in models]
    runs = min(map(len, models))
    interval = None
    # Of fewer than were published it would never miss the one that is chosen.
    if runs >= best_of:
        drawing = np.random.default_rng(0)
        again = [_chosen_again(restarts, by, best_of, drawing) for restarts in models]
        interval = percentiles(np.average(again, axis=0, weights=weights))
    errors = [[one["test_error"] for one in restarts] for restarts in models]
    low, high = (float(np.average([*map(end, errors)], weights=weights)) for end in (np.min, np.max))
    return Ours(each_restart(tests), float(np.average(chosen, weights=weights)), interval, runs, (low, high))


def _models(tests: Sequence[Sequence[Mapping[str, Any]]]) -> list[list[dict[str, Any]]]:
    """The restarts of every model, each with its mean over the tests that it took: all tasks of a joint one."""
    together: dict[str, list[Sequence[Mapping[str, Any]]]] = {}
    for restarts in tests:
        learned = [{name: value for name, value in one.items() if name != "test_error"} for one in restarts]
        together.setdefault(repr(learned), []).append(restarts)
    return [
        [
            {**of[0], "test_error": mean([one["test_error"] for one in of]), "tests": len(of)}
            for of in zip(*same, strict=True)
        ]
        for same in together.values()
    ]


def _chosen_again(restarts: Sequence[Mapping[str, Any]], by: str, best_of: int, drawing: np.random.Generator) -> Any:
    """Test errors of who is chosen among as many restarts as were published, drawn with replacement each time."""
    left, ranked = list(restarts), []
    while left:
        ranked.append(left.pop(choose(left, by))["test_error"])
    drawn = drawing.integers(len(ranked), size=(RESAMPLES, best_of))
    return np.asarray(ranked)[drawn.min(axis=1)]


def each_restart(tests: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[float, ...]:
    """The mean over all tests of every restart, where all have the same; else the mean of their means."""
    named = [{(one["seed"], one["restart"]): one["test_error"] for one in restarts} for restarts in tests]
    if all(one.keys() == named[0].keys() for one in named):
        return tuple(mean([one[name] for one in named]) for name in named[0])
    return (mean([mean([*one.values()]) for one in named]),)


def mean(values: Sequence[float]) -> float:
    """Not a number where one is none, or infinite ones cancel."""
    return sum(values) / len(values)
