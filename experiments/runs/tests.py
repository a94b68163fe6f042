"""evaluation.json: the tests of a run in one form, whatever it learns; how they are merged, and told as a table."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypeAlias, TypedDict

from experiments.base.files import UserError
from experiments.base.reading import expect
from experiments.base.statistics import success_interval
from experiments.base.terminal import columns
from experiments.runs.about import About, Reference, Tests

Condition: TypeAlias = int | str | None

_HEADINGS = {"num_slots": "slots"}


class TestRow(TypedDict):
    """One test.

    on:         what the data are called.
    at:         its conditions by name, which tell the tests of a run apart and order them; None for what is not set.
    as_trained: whether it is on data like those of the training, under the conditions that `train` tests under.
    count:      examples; of: those that there are, where they are more.
    scores:     by name.
    baselines:  of who has not learned, by the names of scores.
    each:       scores of every restart, by name.
    """

    on: str
    at: dict[str, Condition]
    as_trained: bool
    count: int
    of: NotRequired[int]
    scores: dict[str, float]
    baselines: dict[str, float]
    each: dict[str, list[float]]


def check_tests(content: Any, path: Path) -> list[TestRow]:
    """The rows in a file; UserError for what no run leaves, or one of an earlier version did."""
    if isinstance(content, list) and content and isinstance(content[0], Mapping) and "at" not in content[0]:
        raise UserError(f"{path} is as memnet 0.1 wrote it: move it away, and `evaluate` tests the run again")
    expect(content, list[TestRow], path)
    found: list[TestRow] = content
    return found


def merged(kept: Iterable[TestRow], new: Iterable[TestRow]) -> list[TestRow]:
    """All tests in order; of the same one that with more examples, the new one among equals."""
    found: dict[tuple[Any, ...], TestRow] = {}
    for row in (*kept, *new):
        test = (row["on"], *((name, _order(value)) for name, value in row["at"].items()))
        if row["count"] >= found.get(test, row)["count"]:
            found[test] = row
    return [found[test] for test in sorted(found)]


def _order(value: Condition) -> tuple[int, int, str]:
    """A key that puts what is not set before numbers, and these before texts."""
    if value is None:
        return 0, 0, ""
    return (1, value, "") if isinstance(value, int) else (2, 0, value)


def in_order(values: Iterable[Condition]) -> list[Condition]:
    """The different ones of some values of a condition, numbers before texts."""
    return sorted({value for value in values if value is not None}, key=_order)


def name_of(value: Condition, tests: Tests) -> str:
    """A value of the condition that tests differ in, in words: "1 single-supporting-fact"."""
    name = tests["names"].get(str(value))
    return str(value) if name is None else f"{value} {name}"


def conditions(row: TestRow, tests: Tests) -> str:
    """What else than the condition that tests differ in, and the seed, a test is under: "2048 slots, 3 repeats".

    Texts are told where they are others than in training.
    """
    told = [
        f"{value} {_HEADINGS.get(name, name)}" if isinstance(value, int) else f"{name.replace('_', ' ')} {value}"
        for name, value in row["at"].items()
        if name not in (tests["by"], "seed") and value and (isinstance(value, int) or not row["as_trained"])
    ]
    return ", ".join(told)


def without_learning(about: About, tests: Sequence[TestRow]) -> float | None:
    """What has learned nothing has of it at the greatest length in training; None where that is not known."""
    trained, by = about["tests"]["trained"], about["tests"]["by"]
    longest = [row["baselines"] for row in tests if trained and row["at"].get(by) == trained[1]]
    return longest[0].get(about["curve"]["metric"]) if longest else None


def best_possible(about: About, tests: Sequence[TestRow]) -> float | None:
    """What nobody can be better at than, of what learning is measured in; None where that is not known."""
    return tests[0]["scores"].get(f"optimal_{about['curve']['metric']}") if tests else None


class Headline(NamedTuple):
    """What stands for all tests of a run: 4.2, "% wrong"; of a share in percent."""

    value: float
    words: str
    form: str

    def __str__(self) -> str:
        return f"{self.value:{self.form}} {self.words}"


def headline(rows: Sequence[TestRow], tests: Tests) -> Headline | None:
    """The first score of the tests, put together as `together` says; None where no test has it.

    Tests as in training count, or all where there are none; a greatest length among all.
    """
    score, by = tests["scores"][0], tests["by"]
    known = [
        (row["at"].get(by), row["scores"][score["name"]], row["as_trained"])
        for row in rows
        if score["name"] in row["scores"]
    ]
    if not known:
        return None
    share = score["format"].endswith("%")
    scale, form = (100, ".1f") if share else (1, score["format"])
    unit = f"% {score['heading'].partition(',')[0]}" if share else score["unit"]
    own = [one for one in known if one[2]] or known
    if tests["together"] == "mean":
        return Headline(scale * statistics.fmean(value for _, value, _ in own), unit, form)
    lengths = [one for one in known if isinstance(one[0], int)] if tests["together"] == "longest" else []
    place, value, _ = max(lengths, key=lambda one: (one[0], one[2])) if lengths else own[0]
    return Headline(scale * value, f"{unit} at {place}" if lengths else f"{unit}, {place}", form)


def interval_words(share: float, count: int) -> str:
    """Wilson's interval of a share of so many examples, in percent: "99.62-100"."""
    return "-".join(f"{100 * end:.4g}" for end in success_interval(round(share * count), count))


def spread(values: Sequence[float], form: str = ".1f") -> str:
    """Mean and standard deviation, the latter where there are several values."""
    after = f" ± {statistics.stdev(values):{form}}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):{form}}{after}"


class Column(NamedTuple):
    """A column of the table: its heading, and what it has of a row, nothing where that is None."""

    heading: str
    cell: Callable[[TestRow], str | None]


def table(
    rows: Sequence[TestRow],
    tests: Tests,
    *,
    references: Sequence[Reference] = (),
    more: Sequence[tuple[str, str, str]] = (),
) -> str:
    """Tests for reading: conditions, scores with what they are compared with; below the mean where tests have names.

    more: further scores of the rows, each with its heading, name and format.
    """
    counted = {one["name"] for one in tests["scores"] if one.get("counted")}
    scores = [*((one["heading"], one["name"], one["format"]) for one in tests["scores"]), *more]
    known = [*_conditions(rows, tests), *(one for score in scores for one in _of_score(*score, score[1] in counted))]
    known += [_published(one, tests) for one in references if one["kind"] == "published"]
    shown = [column for column in known if any(column.cell(row) is not None for row in rows)]
    lines = [[column.heading for column in shown]]
    lines += [[column.cell(row) or "-" for column in shown] for row in rows]
    score = tests["scores"][0]
    if tests["failed_above"] is not None and len(rows) > 1:
        values = [row["scores"][score["name"]] for row in rows]
        at = next(place for place, column in enumerate(shown) if column.heading == score["heading"])
        failed = str(sum(value > tests["failed_above"] for value in values))
        for words, total in (
            (f"mean of {len(rows)}", f"{statistics.fmean(values):{score['format']}}"),
            (f"failed (> {tests['failed_above']:g} %)", failed),
        ):
            lines.append([words, *("" for _ in shown[1:at]), total, *("" for _ in shown[at + 1 :])])
    return columns(lines, left=1 if tests["names"] else 0)


def _conditions(rows: Sequence[TestRow], tests: Tests) -> list[Column]:
    """What tells the tests apart. Texts and a seed are told where they are others than in training."""
    others = [row for row in rows if not row["as_trained"]]
    names = {name: None for row in rows for name in row["at"] if name != tests["by"]}

    def told(name: str, row: TestRow) -> str | None:
        value = row["at"].get(name)
        return str(value) if value and (others or isinstance(value, int)) else None

    found = [Column(tests["by"], lambda row: name_of(row["at"][tests["by"]], tests))]
    if len({row["on"] for row in rows}) > 1 or others:
        found.append(Column("tested on", lambda row: row["on"]))
    found += [Column(_HEADINGS.get(name, name.replace("_", " ")), partial(told, name)) for name in names]
    found.append(Column(tests["examples"], lambda row: _count(row["count"])))
    found.append(Column("the first of", lambda row: _count(row["of"]) if "of" in row else None))
    return found


def _count(value: int) -> str:
    return f"{value:,}" if value >= 10_000 else str(value)


def _of_score(heading: str, name: str, form: str, counted: bool) -> list[Column]:
    """A score, of a share of the examples its interval, its baseline, and what several restarts have."""

    def value(of: Mapping[str, float]) -> str | None:
        return f"{of[name]:{form}}" if name in of else None

    def restarts(row: TestRow) -> list[float]:
        own = row["each"].get(name, [])
        return own if len(own) > 1 else []

    def interval(row: TestRow) -> str | None:
        return interval_words(row["scores"][name], row["count"]) if counted and name in row["scores"] else None

    return [
        Column(heading, lambda row: value(row["scores"])),
        Column("95 %", interval),
        Column("baseline", lambda row: value(row["baselines"])),
        Column("best restart", lambda row: f"{min(own):{form}}" if (own := restarts(row)) else None),
        Column("mean ± sd of restarts", lambda row: spread(own, form) if (own := restarts(row)) else None),
    ]


def _published(reference: Reference, tests: Tests) -> Column:
    form = next(one["format"] for one in tests["scores"] if one["name"] == reference["score"])

    def cell(row: TestRow) -> str | None:
        known = reference["tests"].get(str(row["at"][tests["by"]]))
        return None if known is None or not row["as_trained"] else f"{known:{form}}"

    return Column(f"published, {reference['name']}", cell)
