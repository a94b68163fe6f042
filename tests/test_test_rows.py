"""Tests of every domain have one form: merged by one rule, told in one table, and those of earlier versions named."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.base.files import UserError
from experiments.report.summary_seeds import test_lines as lines_of
from experiments.runs.about import read_about
from experiments.runs.folder import RunFolder
from experiments.runs.tests import conditions, headline, interval_words, merged, name_of, table
from tests.made_up_runs import copy_run, length_test, made_up_about, restart_test

Row = dict[str, Any]


def row(count: int, score: float, on: str = "copy", **at: Any) -> Any:
    return length_test(20, 0, on=on, at=at, count=count, scores={"lost": score})


def scores(rows: list[Any]) -> list[float]:
    return [one["scores"]["lost"] for one in rows]


def test_of_the_same_test_that_with_more_examples_stays() -> None:
    kept = [row(10, 1, length=5), row(10, 2, length=7)]
    assert scores(merged(kept, [row(9, 3, length=5), row(11, 4, length=7)])) == [1, 4]
    assert scores(merged(kept, [row(10, 3, length=5)])) == [3, 2]  # the new one among equals


def test_what_is_not_set_comes_before_numbers_and_these_before_texts() -> None:
    lengths = ["all", 20, 3, None]
    rows = merged([], [row(1, place, length=length) for place, length in enumerate(lengths)])
    assert [one["at"]["length"] for one in rows] == [None, 3, 20, "all"]
    rows = merged([], [row(1, 0, "b", length=1), row(1, 1, "a", length=2), row(1, 2, "a", length=1)])
    assert [(one["on"], one["at"]["length"]) for one in rows] == [("a", 1), ("a", 2), ("b", 1)]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([{"length": 20, "num_slots": 128, "sequences": 200, "exact_share": 1.0}], "as memnet 0.1 wrote it"),
        ([{"task": 1, "tested_on": "bAbI 1k", "errors": [1.0]}], "as memnet 0.1 wrote it"),
        ({}, "expected a list"),
        ([length_test(20, 0, at={"length": [1]})], r"\[0\].at.length is a list"),
        ([{"at": {}, "on": "copy", "as_trained": True, "count": 1}], r"\[0\] lacks 'scores'"),
    ],
)
def test_what_is_no_table_of_tests_is_one_line(content: Any, told: str, tmp_path: Path) -> None:
    run = copy_run(tmp_path / "run")
    (run / "evaluation.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=told):
        RunFolder(run).read_tests()


def test_shares_of_sequences_have_an_interval_of_those_that_were_drawn(tmp_path: Path) -> None:
    """Wilson's, z^2 = 3.8415: 1 / (1 + z^2 / n) for all of n, and for half of them .5 +- z / 2 / sqrt(n + z^2)."""
    assert (interval_words(1.0, 100), interval_words(0.0, 100)) == ("96.3-100", "0-3.699")
    about = read_about(copy_run(tmp_path / "run"))
    test = length_test(20, 0)
    assert " 96.3-100 " in table([test], about["tests"])
    spread = {"by_seed": {"0": 1.0, "1": 0.0}, "mean": 0.5, "deviation": None, "best": 1.0, "worst": 0.0}
    head, _, line = lines_of([test | {"scores": dict.fromkeys(test["scores"], spread)}], about)
    at = head.split("|").index(" 95 % ")
    assert line.split("|")[at] == " 40.38-59.62 "  # both seeds were tested on the same 100


def test_the_table_of_tests_by_length_has_what_some_test_has() -> None:
    tests = made_up_about()["tests"] | {"by": "length", "names": {}, "failed_above": None}
    first = row(20, 12.5, length=5, num_slots=64, seed=0) | {"baselines": {"lost": 50.0}, "of": 12345}
    made: list[Any] = [first, row(20, 3.25, length=10, num_slots=64, seed=0)]
    told = [line.split() for line in table(made, tests, more=[("extra", "none", ".1f")]).splitlines()]
    assert told == [
        ["length", "slots", "mazes", "the", "first", "of", "lost", "%", "baseline"],
        ["5", "64", "20", "12,345", "12.5", "50.0"],
        ["10", "64", "20", "-", "3.2", "-"],
    ]


def test_the_table_of_named_tests_ends_with_mean_and_failures() -> None:
    reference: Any = {"kind": "published", "name": "Them", "score": "error_percent", "tests": {"1": 7.0}}
    score = made_up_about()["tests"]["scores"][0] | {"name": "error_percent"}
    tests: Any = made_up_about()["tests"] | {"by": "task", "names": {"1": "easy", "2": "hard"}, "scores": [score]}
    made: list[Any] = [restart_test("q", {"task": 1}, [2.0, 6.0], 10), restart_test("q", {"task": 2}, [8.0, 9.0], 10)]
    told = table(made, tests, references=[reference]).splitlines()
    assert told[0].split("  ")[0] == "task"
    assert [line.split() for line in told[1:]] == [
        ["1", "easy", "10", "2.0", "2.0", "4.0", "±", "2.8", "7.0"],
        ["2", "hard", "10", "8.0", "8.0", "8.5", "±", "0.7", "-"],
        ["mean", "of", "2", "5.0"],
        ["failed", "(>", "5", "%)", "1"],
    ]
    assert [name_of(value, tests) for value in (1, 3)] == ["1 easy", "3"]


@pytest.mark.parametrize(
    ("together", "told"), [("mean", "4.0 % lost"), ("first", "6.0 % lost, 20"), ("longest", "2.0 % lost at 40")]
)
def test_one_number_stands_for_all_tests(together: str, told: str) -> None:
    tests: Any = made_up_about()["tests"] | {"by": "length", "together": together}
    rows = [row(1, 6.0, length=20), row(1, 2.0, length=40), row(1, 99.0, length="all") | {"as_trained": False}]
    assert str(headline(rows, tests)) == told
    assert headline([], tests) is None


def test_conditions_are_told_as_far_as_they_are_set() -> None:
    tests: Any = made_up_about()["tests"] | {"by": "length"}
    asked = row(1, 0, num_slots=64, repeats=None, length=5, seed=3, normalization="none")
    assert conditions(asked, tests) == "64 slots"
    other: Any = asked | {"as_trained": False}
    assert conditions(other, tests) == "64 slots, normalization none"
