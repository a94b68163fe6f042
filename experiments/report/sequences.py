"""Tables of runs on algorithmic tasks: how many seeds solved, after how many sequences, and errors by length."""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from experiments.base.statistics import Interval, bootstrap, deviation, medians, quantile, success_interval
from experiments.base.tables import Cell, Table
from experiments.config.parts import TrainConfig
from experiments.dashboard.curves import is_number
from experiments.dashboard.groups import alike, group_runs, lengths_of
from experiments.dashboard.look import MODELS
from experiments.dashboard.runs import Run
from experiments.runs.papers import paper_tests
from tasks import TASKS, Task

_NEVER = "not reached"


class Shown(NamedTuple):
    """name: in the test table. words: its heading. scale: to what is shown. best: of several."""

    name: str
    words: str
    scale: float
    best: Callable[[Sequence[float]], float]


def sequence_tables(runs: Sequence[Run], places: Sequence[int]) -> list[Table]:
    """For every task the seeds that solved it, and their scores by length.

    places: those of the ended runs on algorithmic tasks.
    """
    groups = group_runs([runs[place] for place in places])
    for group in groups:
        group["runs"] = [places[member] for member in group["runs"]]
    tables = []
    for same in alike(groups, "subject"):
        named = [(_name(group, same), group) for group in same]
        judged = [(name, group) for name, group in named if group["solved"] is not None]
        if judged:
            tables.append(_solving(runs, judged, same[0]["subject"]))
        shown = _shown_scores(TASKS[same[0]["subject"]])
        tables += [table for score in shown if (table := _by_length(runs, named, score, same[0]["subject"]))]
    return tables


def _shown_scores(task: type[Task]) -> list[Shown]:
    """Exact sequences, and the score of the learning curve."""
    exact = Shown(task.exact.name, task.exact.words[0].lower() + task.exact.words[1:], 100, max)
    return [exact, Shown(task.curve.name, task.curve.words.removeprefix("cross-entropy, "), 1, min)]


def _name(group: dict[str, Any], same: Sequence[dict[str, Any]]) -> str:
    """The model, and what tells it from others on the same task."""
    words = MODELS[group["model"]][0]
    more = [group["recipe"]] if len({one["recipe"] for one in same}) > 1 else []
    more += [group["setting"]] if group["setting"] else []
    return f"{words} ({', '.join(more)})" if more else words


def _solving(runs: Sequence[Run], groups: Sequence[tuple[str, dict[str, Any]]], subject: str) -> Table:
    head = ["model", "seeds", "solved", "success rate, 95 %", "sequences to solve, median [quartiles]"]
    head += ["95 % of the median", "mean ± sd of those that solved", "best seed"]
    rows, limits = [], set()
    for name, group in groups:
        members = tuple(group["runs"])
        config = runs[members[0]].config
        assert isinstance(config, TrainConfig)
        limits.add(config.solved_at)
        after = {str(_seed(runs[place])): runs[place].to_solve for place in members}
        values = [math.inf if value is None else value for value in after.values()]
        solved = sorted(value for value in values if value < math.inf)
        rate = success_interval(len(solved), len(values))
        cells = [
            Cell(str(len(values)), len(values), members),
            Cell(f"{len(solved)} of {len(values)}", len(solved), members),
            Cell(f"{100 * rate.low:.0f} to {100 * rate.high:.0f} %", rate, members),
            Cell(_quartiles(values, _count), after, members),
            Cell(_interval(bootstrap(values, medians), _count), None, members),
            Cell(_spread(solved, _count), None, members),
            Cell(_count(solved[0]) if solved else _NEVER, None, members),
        ]
        rows.append([Cell(name), *cells])
    under = " or ".join(f"{one:g}" for one in sorted(filter(None, limits)))
    notes = [
        f"Solved: validation under {under} {TASKS[subject].criterion.unit}. A seed that never solved counts as "
        "infinitely many sequences in the median, the quartiles and the bootstrap of the median (10,000 samples); the "
        "interval of the success rate is Wilson's."
    ]
    return Table(f"{subject}: seeds that solved it", head, rows, notes)


def _by_length(
    runs: Sequence[Run], groups: Sequence[tuple[str, dict[str, Any]]], score: Shown, subject: str
) -> Table | None:
    """Quartiles, mean and best seed at every length; None where no run was tested."""
    lengths = sorted(
        {length for _, group in groups for place in group["runs"] for length, _ in lengths_of(runs[place])}
    )
    rows: list[list[Cell]] = []
    for name, group in groups:
        tests = _tests(runs, group["runs"], score.name)
        for (slots, repeats), by_length in tests.items():
            which = name + (f", {slots} slots" if slots and len(tests) > 1 else "")
            which += f", {repeats} repeats" if repeats and len(tests) > 1 else ""
            rows += _score_rows(which, by_length, lengths, score)
        rows += _published(name, runs[group["runs"][0]].config, lengths) if score.name == "bits_per_sequence" else []
    if not lengths or not rows:
        return None
    return Table(f"{subject}: {score.words}, by length", ["model", "", *map(str, lengths)], rows)


def _tests(
    runs: Sequence[Run], members: Sequence[int], name: str
) -> dict[tuple[Any, Any], dict[int, dict[int, float]]]:
    """A score by memory and repeats, by length, by run."""
    found: dict[tuple[Any, Any], dict[int, dict[int, float]]] = {}
    for place in members:
        for length, row in lengths_of(runs[place]):
            if is_number(row.get(name)):
                test = found.setdefault((row.get("num_slots"), row.get("repeats")), {})
                # What is no number is as bad as can be.
                test.setdefault(length, {})[place] = math.inf if math.isnan(row[name]) else row[name]
    return found


def _score_rows(
    name: str, by_length: dict[int, dict[int, float]], lengths: Sequence[int], score: Shown
) -> list[list[Cell]]:
    """Three rows: quartiles, mean and deviation, best seed."""
    ways: list[tuple[str, Callable[[Sequence[float]], str]]] = [
        ("median [quartiles]", lambda values: _quartiles(values, _digits)),
        ("mean ± sd", lambda values: _spread(values, _digits)),
        ("best seed", lambda values: _digits(score.best(values))),
    ]
    seeds = max(len(values) for values in by_length.values())
    rows = []
    for words, text in ways if seeds > 1 else [("one seed", ways[2][1])]:
        cells = []
        for length in lengths:
            values = {place: score.scale * value for place, value in by_length.get(length, {}).items()}
            cells.append(
                Cell(text(list(values.values())), list(values.values()), tuple(values)) if values else Cell("-")
            )
        rows.append([Cell(name), Cell(words), *cells])
    return rows


def _published(name: str, config: Any, lengths: Sequence[int]) -> list[list[Cell]]:
    known = paper_tests(config)
    if not known:
        return []
    cells = [
        Cell(_digits(known[str(length)]), known[str(length)]) if str(length) in known else Cell("-")
        for length in lengths
    ]
    return [[Cell(name), Cell("published (Graves et al. 2014)"), *cells]]


def _seed(run: Run) -> int:
    assert run.config is not None
    return run.config.seed


def _quartiles(values: Sequence[float], text: Callable[[float], str]) -> str:
    middle = text(quantile(values, 0.5))
    if len(values) < 2:
        return middle
    return f"{middle} [{text(quantile(values, 0.25))} to {text(quantile(values, 0.75))}]"


def _interval(interval: Interval | None, text: Callable[[float], str]) -> str:
    return "-" if interval is None else f"{text(interval.low)} to {text(interval.high)}"


def _spread(values: Sequence[float], text: Callable[[float], str]) -> str:
    if not values:
        return "-"
    spread = deviation(values)
    return text(statistics.fmean(values)) + ("" if spread is None else f" ± {text(spread)}")


def _count(value: float) -> str:
    return _NEVER if math.isinf(value) else f"{value:,.0f}"


def _digits(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}".removesuffix(".0")
