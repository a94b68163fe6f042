"""Tables of settings side by side: how many seeds solved, after how many examples, and scores by length."""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from experiments.base.curves import is_number
from experiments.base.statistics import bootstrap, deviation, medians, quantile, success_interval
from experiments.base.tables import Cell, Table
from experiments.runs.about import About, Score
from experiments.runs.groups import alike, group_runs
from experiments.runs.reading import Run
from experiments.runs.tests import Condition, conditions, in_order

_NEVER = "not reached"


def setting_tables(runs: Sequence[Run], places: Sequence[int]) -> list[Table]:
    """For every task the seeds that solved it, and their scores by length or whatever tests differ in.

    places: those of the ended runs without restarts.
    """
    tables = []
    for same in alike(groups_at(runs, places), "subject"):
        named = [(setting_name(group, same), group) for group in same]
        judged = [(name, group) for name, group in named if group["solved"] is not None]
        if judged:
            tables.append(_solving(runs, judged, same[0]["subject"]))
        about = about_of(runs[same[0]["runs"][0]])
        tables += [table for score in shown_scores(about) if (table := _by_length(runs, named, score, about))]
    return tables


def groups_at(runs: Sequence[Run], places: Sequence[int]) -> list[dict[str, Any]]:
    """See `group_runs`, of the runs at some places, which keep these."""
    groups = group_runs([runs[place] for place in places])
    for group in groups:
        group["runs"] = [places[member] for member in group["runs"]]
    return groups


def about_of(run: Run) -> About:
    assert run.about is not None
    return run.about


def shown_scores(about: About) -> list[Score]:
    """The first score, and that of the learning curve."""
    first, *others = about["tests"]["scores"]
    return [first, *(one for one in others if one["name"] == about["curve"]["metric"])]


def setting_name(group: dict[str, Any], same: Sequence[dict[str, Any]]) -> str:
    """The model, and what tells it from others on the same task."""
    more = [group["recipe"]] if len({one["recipe"] for one in same}) > 1 else []
    more += [group["setting"]] if group["setting"] else []
    return f"{group['model_words']} ({', '.join(more)})" if more else str(group["model_words"])


def _solving(runs: Sequence[Run], groups: Sequence[tuple[str, dict[str, Any]]], subject: str) -> Table:
    examples = about_of(runs[groups[0][1]["runs"][0]])["examples"]
    head = ["model", "seeds", "solved", "success rate, 95 %", f"{examples} to solve, median [quartiles]"]
    head += ["95 % of the median", "mean ± sd of those that solved", "best seed"]
    rows, solved_by = [], [about_of(runs[group["runs"][0]])["solved"] for _, group in groups]
    for name, group in groups:
        members = tuple(group["runs"])
        after = {str(about_of(runs[place])["seed"]): runs[place].to_solve for place in members}
        values = [math.inf if value is None else value for value in after.values()]
        solved = sorted(value for value in values if value < math.inf)
        of_median = bootstrap(values, medians)
        rate = success_interval(len(solved), len(values))
        cells = [
            Cell(str(len(values)), len(values), members),
            Cell(f"{len(solved)} of {len(values)}", len(solved), members),
            Cell(f"{100 * rate.low:.0f} to {100 * rate.high:.0f} %", rate, members),
            Cell(_quartiles(values, _count), after, members),
            Cell(f"{_count(of_median.low)} to {_count(of_median.high)}" if of_median else "-", None, members),
            Cell(_spread(solved, _count), None, members),
            Cell(_count(solved[0]) if solved else _NEVER, None, members),
        ]
        rows.append([Cell(name), *cells])
    criteria = [one for one in solved_by if one is not None]
    under = " or ".join(f"{one:g}" for one in sorted({one["under"] for one in criteria}))
    notes = [
        f"Solved: validation under {under} {criteria[0]['unit']}. A seed that never solved counts as "
        f"infinitely many {examples} in the median, the quartiles and the bootstrap of the median (10,000 samples); "
        "the interval of the success rate is Wilson's."
    ]
    return Table(f"{subject}: seeds that solved it", head, rows, notes)


def _by_length(
    runs: Sequence[Run], groups: Sequence[tuple[str, dict[str, Any]]], score: Score, about: About
) -> Table | None:
    """Quartiles, mean, best and worst seed at every length; None where no run was tested."""
    by, found = about["tests"]["by"], [(name, _tests(runs, group["runs"], score)) for name, group in groups]
    values = in_order(row["at"].get(by) for _, group in groups for place in group["runs"] for row in runs[place].tests)
    known = any("state_floats" in about_of(runs[group["runs"][0]]) for _, group in groups)
    rows: list[list[Cell]] = []
    for (name, tests), (_, group) in zip(found, groups, strict=True):
        own, first = list[list[Cell]](), about_of(runs[group["runs"][0]])
        for words, by_value in tests.items():
            which = name + (f", {words}" if words and len(tests) > 1 else "")
            own += _score_rows(which, by_value, values, score)
        state = Cell(f"{held:,}", held) if (held := first.get("state_floats")) else Cell("-")
        rows += [[model, *[state] * known, *more] for model, *more in own + _published(name, first, values, score)]
    if not values or not rows:
        return None
    words = f"{about['subject']}: {score['words']}, by {by}"
    return Table(words, ["model", *["state, numbers"] * known, "", *map(str, values)], rows)


def _tests(runs: Sequence[Run], members: Sequence[int], score: Score) -> dict[str, dict[Condition, dict[int, float]]]:
    """A score, as it is shown, by other conditions, by length, by run."""
    found: dict[str, dict[Condition, dict[int, float]]] = {}
    scale = 100 if score["format"].endswith("%") else 1
    for place in members:
        tests = about_of(runs[place])["tests"]
        for row in runs[place].tests:
            value = row["scores"].get(score["name"])
            if is_number(value) and value is not None:
                test = found.setdefault(conditions(row, tests), {})
                # What is no number is as bad as can be.
                worst = math.inf if math.isnan(value) else scale * value
                test.setdefault(row["at"].get(tests["by"]), {})[place] = worst
    return found


def _score_rows(
    name: str, by_value: dict[Condition, dict[int, float]], values: Sequence[Condition], score: Score
) -> list[list[Cell]]:
    """Four rows: quartiles, mean and deviation, best and worst seed."""
    best, worst = (max, min) if score["best"] == "high" else (min, max)
    ways: list[tuple[str, Callable[[Sequence[float]], str]]] = [
        ("median [quartiles]", lambda values: _quartiles(values, _digits)),
        ("mean ± sd", lambda values: _spread(values, _digits)),
        ("best seed", lambda values: _digits(best(values))),
        ("worst seed", lambda values: _digits(worst(values))),
    ]
    seeds = max(len(values) for values in by_value.values())
    rows = []
    for words, text in ways if seeds > 1 else [("one seed", ways[2][1])]:
        cells = []
        for value in values:
            own = by_value.get(value, {})
            cells.append(Cell(text(list(own.values())), list(own.values()), tuple(own)) if own else Cell("-"))
        rows.append([Cell(name), Cell(words), *cells])
    return rows


def _published(name: str, about: About, values: Sequence[Condition], score: Score) -> list[list[Cell]]:
    rows = []
    for one in about["references"]:
        if one["tests"] and one["kind"] == "published" and one["score"] == score["name"]:
            known = [one["tests"].get(str(value)) for value in values]
            cells = [Cell("-") if value is None else Cell(_digits(value), value) for value in known]
            rows.append([Cell(name), Cell(f"published ({one['name']})"), *cells])
    return rows


def _quartiles(values: Sequence[float], text: Callable[[float], str]) -> str:
    middle = text(quantile(values, 0.5))
    if len(values) < 2:
        return middle
    return f"{middle} [{text(quantile(values, 0.25))} to {text(quantile(values, 0.75))}]"


def _spread(values: Sequence[float], text: Callable[[float], str]) -> str:
    if not values:
        return "-"
    spread = deviation(values)
    return text(statistics.fmean(values)) + ("" if spread is None else f" ± {text(spread)}")


def _count(value: float) -> str:
    return _NEVER if math.isinf(value) else f"{value:,.0f}"


def _digits(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}".removesuffix(".0")
