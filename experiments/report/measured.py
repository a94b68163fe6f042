"""A row of tables.yaml: our number, read from a result's JSON, and the published one beside it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

from experiments.base.files import UserError
from experiments.base.reading import expect, read_json
from experiments.report.verdict import Ours, Published, Verdict, each_restart, mean, of_restarts, of_runs, verdict

PUBLISHED = Path(__file__).parents[1] / "published"
# Where numbers of others are: themselves, or the names that lead to them in a file of published/.
Place = float | list[str | int]


class Control(TypedDict):
    """What has no memory, on the same: of ours as in a row, or published."""

    what: str
    result: NotRequired[str]
    published: NotRequired[Place]


class Row(TypedDict):
    """What is compared. One of `at`, `after` and `tested_on` says where in the result our number is.

    what:      in words.
    result:    the result's name, that of its files.
    score:     which one; "sequences_to_solve" for how long learning took, in thousands.
    at:        a test's conditions.
    after:     thousand sequences at the most: the last validation until then.
    tested_on: questions, of which each task has its restarts; with `at` one task or length alone.
    published: where the result has none of its own.
    margin:    in place of the table's.
    of:        tasks of the published table, where ours may have fewer.
    differs:   how the protocol is not the published one: nothing is compared then.
    settings:  how the model's settings or the training alone are not the published ones.
    remark:    what needs words.
    """

    what: str
    result: str
    score: NotRequired[str]
    at: NotRequired[dict[str, Any]]
    after: NotRequired[float]
    tested_on: NotRequired[str]
    published: NotRequired[Place]
    margin: NotRequired[float]
    of: NotRequired[int]
    control: NotRequired[Control]
    differs: NotRequired[str]
    settings: NotRequired[str]
    remark: NotRequired[str]


class Margin(TypedDict):
    """A share of the published number, and at least so much."""

    share: NotRequired[float]
    least: NotRequired[float]


class Comparison(TypedDict):
    """A table.

    best_of, by: the published numbers are the best of so many by training or validation; else one run.
    chosen:      in words what else they are than one run, of which nothing here makes use.
    settings:    as a row's, of all of them.
    picture:     the name of a picture of all rows, each called "task, model", whose score is a share.
    states:      the name of one of such rows against the size of each one's state.
    """

    title: str
    about: str
    suite: NotRequired[str]
    score: NotRequired[str]
    best_of: NotRequired[int]
    settings: NotRequired[str]
    chosen: NotRequired[str]
    by: NotRequired[Literal["train", "valid"]]
    margin: NotRequired[Margin]
    picture: NotRequired[str]
    states: NotRequired[str]
    rows: list[Row]


class _Scores(TypedDict):
    by_seed: dict[str, float | None]


class _Test(TypedDict):
    at: NotRequired[dict[str, Any]]
    scores: NotRequired[dict[str, _Scores]]


class _Restart(TypedDict):
    seed: int
    restart: int
    test_error: float


class _Questions(TypedDict):
    restarts: list[_Restart]
    published: NotRequired[float | None]


class _Tested(TypedDict):
    tested_on: str
    rows: list[_Questions]
    failed: NotRequired[dict[str, int]]


class _Seed(TypedDict):
    sequences: NotRequired[float]
    sequences_to_solve: NotRequired[float | None]
    last_validation: NotRequired[dict[str, float | None]]


class _Chosen(TypedDict):
    by: str


class _Run(TypedDict):
    selection: NotRequired[_Chosen | None]


class Result(TypedDict):
    """Of what `summarize` writes, now or formerly, what is read here."""

    state_floats: NotRequired[int]
    tests: NotRequired[list[_Test] | dict[str, _Scores]]
    tables: NotRequired[list[_Tested]]
    runs: NotRequired[list[_Run]]
    seeds: NotRequired[list[_Seed]]
    curves: NotRequired[dict[str, list[list[float]]]]
    curve: NotRequired[list[dict[str, float]]]


class Measured(NamedTuple):
    """What there is to tell of a row.

    ours:   None where there is no number. where: what it is.
    tests:  how many tasks or lengths it is of, 0 for one.
    failed: tasks that our chosen restarts fail, and the published ones; empty where nothing says so.
    state:  numbers of one sequence's state; None where nothing says how many.
    """

    ours: Ours | None
    published: Published | None
    verdict: Verdict
    where: str
    tests: int = 0
    failed: str = ""
    state: int | None = None


def measured(row: Row, table: Comparison, results: Mapping[str, Any]) -> Measured:
    """The numbers of a row and what they say.

    results: by name.
    """
    result = results.get(row["result"])
    score = row.get("score", table.get("score", ""))
    tests = [] if result is None or "tested_on" not in row else _rows(result, row)
    found = _published(row, table, tests)
    where = _where(row, len(tests), result)
    if result is None:
        return Measured(None, found, "not run", where)
    same = "differs" not in row
    if "tested_on" in row:
        restarts = [test["restarts"] for test in tests]
        if not restarts:
            return Measured(None, found, "not measured", where)
        by = _chosen_by(result)
        if "best_of" in table and by is not None:
            same = same and by == table["by"]
            ours = of_restarts(restarts, by, table["best_of"])
        else:
            same = same and "best_of" not in table
            ours = of_runs(each_restart(restarts))
    else:
        values = _after(result, score, row["after"]) if "after" in row else _test(result, score, row.get("at", {}))
        if not values:
            return Measured(None, found, "not measured", where)
        ours = of_runs(values)
    as_there = "settings" not in row and "settings" not in table
    said = verdict(ours, found, best=best_is(score), same=same, as_there=as_there)
    failed, state = _failed(result, row) if tests else "", result.get("state_floats")
    return Measured(ours, found, said, where, len(tests), failed, state)


def best_is(score: str) -> Literal["low", "high"]:
    """Whether low or high values of a score are good."""
    return "high" if is_share(score) or "bleu" in score or score == "return" else "low"


def is_share(score: str) -> bool:
    """Whether a score is told in percent, where the result has a share."""
    return "share" in score


def control_of(row: Row, table: Comparison, results: Mapping[str, Any]) -> tuple[str, float] | None:
    """Who has no memory, and what it has on the same; None where that is not known."""
    if (control := row.get("control")) is None:
        return None
    if "published" in control:
        return control["what"], _number(control["published"], row.get("after"))
    told: Any = {**row, **control}
    own = measured(told, table, results).ours
    return None if own is None else (control["what"], own.value)


def _where(row: Row, tests: int, result: Mapping[str, Any] | None) -> str:
    """What is measured, as far as the table does not say it."""
    told = [row["score"].removeprefix("test/").replace("_", " ")] if "score" in row else []
    told = [{"sequences to solve": "thousand sequences to solve"}.get(one, one) for one in told]
    if is_share(row.get("score", "")):
        told = [f"{told[0]}, %"]
    if "after" in row:
        told.append(f"after {row['after']:,g} thousand")
        ended = max((seed.get("sequences", 0) for seed in (result or {}).get("seeds", [])), default=0) / 1000
        told[-1] += f", ended at {ended:g}" if 0 < ended < 0.99 * row["after"] else ""
    told += [f"{name.replace('num_', '')} {value}" for name, value in row.get("at", {}).items()]
    told += [f"mean of {tests}"] if tests > 1 else []
    return ", ".join(told)


def _rows(result: Mapping[str, Any], row: Row) -> list[Mapping[str, Any]]:
    """The rows of a table of restarts that a row is about."""
    at = row.get("at", {})
    return [one for one in _table_of(result, row).get("rows", []) if _fits(one, at)]


def _table_of(result: Mapping[str, Any], row: Row) -> Mapping[str, Any]:
    return next((one for one in result.get("tables", []) if one["tested_on"] == row["tested_on"]), {})


def _failed(result: Mapping[str, Any], row: Row) -> str:
    failed = {} if "at" in row else _table_of(result, row).get("failed", {})
    papers = f" ({failed['published']})" if "published" in failed else ""
    return f"{failed['error']}{papers}" if "error" in failed else ""


def _fits(conditions: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    return all(conditions.get(name) == value for name, value in asked.items())


def _chosen_by(result: Mapping[str, Any]) -> str | None:
    chosen = {run["selection"]["by"] for run in result.get("runs", []) if run.get("selection")}
    return chosen.pop() if len(chosen) == 1 else None


def _test(result: Mapping[str, Any], score: str, at: Mapping[str, Any]) -> list[float]:
    """A score of a test by seed, of those that fit the one with the fewest other conditions.

    Nothing where no test, or more than one, is what is asked for.
    """
    if score == "sequences_to_solve":
        after = [one.get(score) for one in result.get("seeds", [])]
        return [math.inf if one is None else one / 1000 for one in after]
    tests = result.get("tests", [])
    if isinstance(tests, Mapping):
        found = [tests[score]] if score in tests else []
    else:
        # Conditions and scores of a test were once side by side.
        fitting = [one for one in tests if _fits(one.get("at", one), at) and score in one.get("scores", one)]
        under = [sum(map(bool, one.get("at", one).values())) for one in fitting]
        found = [
            one.get("scores", one)[score] for one, count in zip(fitting, under, strict=True) if count == min(under)
        ]
    if len(found) != 1:
        return []
    expect(found[0], _Scores, f"{score} of a test")
    return _scaled(found[0]["by_seed"].values(), score)


def _scaled(values: Any, score: str) -> list[float]:
    """Shares in percent; what is missing is no number."""
    scale = 100 if is_share(score) else 1
    return [math.nan if value is None else scale * value for value in values]


def _after(result: Mapping[str, Any], score: str, thousand: float) -> list[float]:
    """By seed the last validation until then; the median of the seeds where no more is kept."""
    if curves := result.get("curves"):
        until = [[y for x, y in curve if x <= thousand] for curve in curves.values()]
        return _scaled([curve[-1] for curve in until], score) if all(until) else []
    seeds = result.get("seeds", [])
    if seeds and all(one.get("sequences", math.inf) <= 1000 * thousand for one in seeds):
        return _scaled([one.get("last_validation", {}).get(f"valid/{score}") for one in seeds], score)
    medians = [one["ours"] for one in result.get("curve", []) if one["thousand_sequences"] <= thousand]
    return _scaled(medians[-1:], score)


def _published(row: Row, table: Comparison, tests: Sequence[Mapping[str, Any]]) -> Published | None:
    own = [test.get("published") for test in tests]
    known = [value for value in own if value is not None]
    if own and len(known) == len(own):
        value = mean(known)
    elif "published" not in row or 0 < len(own) < row.get("of", 0):
        # A mean of all tasks says nothing of a few of them.
        return None
    else:
        value = _number(row["published"], row.get("after"))
    margin = table.get("margin", {})
    granted = row.get("margin", max(margin.get("share", 0.0) * abs(value), margin.get("least", 0.0)))
    return Published(value, granted, table.get("best_of"))


def _number(place: Place, thousand: float | None) -> float:
    """A number, or what its names lead to in published/; of a curve the last point until so many thousand sequences."""
    if not isinstance(place, list):
        return place
    file, *names = place
    try:
        found: Any = read_json(PUBLISHED / str(file))
        for name in names:
            found = found[name]
    except (FileNotFoundError, LookupError, TypeError):
        raise UserError(f"there is no published {' '.join(map(str, place))}") from None
    if isinstance(found, list) and thousand is not None:
        found = next((y for x, y in reversed(found) if x <= thousand), found[0][1])
    if not isinstance(found, int | float):
        raise UserError(f"published {' '.join(map(str, place))} is no number")
    return float(found)
