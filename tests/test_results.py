"""The page of results: the rule of its verdicts on made-up numbers, what it reads, and that it is up to date."""

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from experiments.__main__ import main
from experiments.base.statistics import student_quantile
from experiments.report.results import PAGE, RESULTS, TABLES, page, pictures, read
from experiments.report.verdict import Ours, Published, of_restarts, of_runs, verdict
from experiments.suite.reading import find_suite
from tests.test_command_line import refused

Capture = pytest.CaptureFixture[str]
NAN, INF = math.nan, math.inf
PAPER, GRANTED = Published(10), Published(10, margin=2)


@pytest.mark.parametrize(("freedom", "known"), [(1, 12.706), (2, 4.303), (3, 3.182), (9, 2.262), (30, 2.042)])
def test_students_quantiles_are_those_of_tables(freedom: int, known: float) -> None:
    assert student_quantile(freedom) == pytest.approx(known, abs=5e-4)


@pytest.mark.parametrize(
    ("values", "published", "best", "expected"),
    [
        # One run may reproduce, but never beat.
        ([10], PAPER, "low", "reproduced"),
        ([0], PAPER, "low", "reproduced"),
        ([10.1], PAPER, "low", "not reached"),
        ([12], GRANTED, "low", "reproduced"),
        ([12.1], GRANTED, "low", "not reached"),
        ([5, 5], PAPER, "low", "reproduced"),
        ([5, 5.1, 4.9], PAPER, "low", "beaten"),
        # Seeds that are all alike do not tell how others would scatter.
        ([5, 5, 5], PAPER, "low", "reproduced"),
        ([10, 10, 10], PAPER, "low", "reproduced"),
        # Better by no more than the margin says nothing.
        ([8, 8, 8.01], GRANTED, "low", "reproduced"),
        ([7.9, 7.9, 7.91], GRANTED, "low", "beaten"),
        # A mean that is better, of seeds that scatter so that one more may be worse.
        ([1, 1, 9.9], PAPER, "low", "reproduced"),
        # One run of ours that fails spoils a mean, however good the best.
        ([0, 0, 100], PAPER, "low", "not reached"),
        ([7, 8, 9, 7, 8, 9], PAPER, "low", "reproduced"),
        # High is good: the same mirrored.
        ([95, 95.1, 94.9], Published(90), "high", "beaten"),
        ([85, 85, 85], Published(90), "high", "not reached"),
        ([90], Published(90), "high", "reproduced"),
        ([88], Published(90, margin=2), "high", "reproduced"),
        # What is no number is worse than any; so is what was never reached.
        ([NAN], PAPER, "low", "not reached"),
        ([0, 0, NAN], PAPER, "low", "not reached"),
        ([0, 0, NAN], PAPER, "high", "not reached"),
        ([0, 0, INF], PAPER, "low", "not reached"),
        ([5, 5, 5], None, "low", "no published number"),
    ],
)
def test_verdicts_of_seeds(
    values: list[float], published: Published | None, best: Literal["low", "high"], expected: str
) -> None:
    ours = of_runs(values)
    assert verdict(ours, published, best=best, same=True) == expected
    elsewise = {"reproduced": "as good, with other settings", "beaten": "better, with other settings"}
    trained_otherwise = verdict(ours, published, best=best, same=True, as_there=False)
    assert trained_otherwise == elsewise.get(expected, expected)
    other = "no published number" if published is None else "other protocol: not compared"
    assert verdict(ours, published, best=best, same=False) == other


def restarts(*learned_and_tested: tuple[float, float]) -> list[dict[str, Any]]:
    return [
        {"seed": 0, "restart": k, "train_error": learned, "train_loss": 0.0, "test_error": tested}
        for k, (learned, tested) in enumerate(learned_and_tested)
    ]


def told(tests: list[list[dict[str, Any]]], best_of: int, value: float) -> tuple[Ours, str]:
    ours = of_restarts(tests, "train", best_of)
    return ours, verdict(ours, Published(value, best_of=best_of), best="low", same=True)


def test_verdicts_of_the_best_of_some_restarts() -> None:
    """The one with the lowest training error counts, whatever the tests say, and as many as were published."""
    one = restarts((1, 5), (0, 7), (2, 1))
    ours, said = told([one], 3, 7)
    assert (ours.value, ours.values, ours.runs, said) == (7, (5, 7, 1), 3, "reproduced")
    assert told([one], 1, 7)[0].value == 5
    assert told([restarts((0, 1))], 10, 7)[1] == "reproduced"  # a single restart beats nothing
    assert told([restarts(*[(0, 1)] * 10)], 10, 7)[1] == "beaten"
    # Nor do fewer than were published, among which the chosen one is nearly always drawn again.
    assert told([restarts((0, 1), (1, 5), (2, 9))], 10, 2)[1] == "reproduced"
    # Chosen again, any restart that learned as well might have been it.
    ours, said = told([restarts((0, 1), *[(k, 20) for k in range(1, 10)])], 10, 7)
    assert (ours.value, said) == (1, "reproduced")
    assert ours.interval is not None
    assert ours.interval.high == 20
    assert told([restarts((1, 3), (0, NAN))], 2, 7)[1] == "not reached"


def test_tasks_of_one_model_are_chosen_together() -> None:
    alone = [restarts((0, 0), (1, 10)), restarts((1, 10), (0, 0))]
    joint = [restarts((0, 0), (1, 10)), restarts((0, 10), (1, 0))]
    apart, together = of_restarts(alone, "train", 2), of_restarts(joint, "train", 2)
    assert (apart.value, together.value) == (0, 5)
    assert (apart.ends, together.ends) == ((0, 10), (5, 5))
    assert apart.interval is not None
    assert apart.interval.high > 0
    assert (together.interval, together.values) == ((5, 5), (5, 5))


def test_the_page_is_up_to_date() -> None:
    assert page(read(RESULTS))[0] == (RESULTS / PAGE).read_text(), "python -m experiments results writes it anew"


@pytest.mark.parametrize("suite", ["formal", "mqar", "mad", "noise"])
def test_every_setting_of_a_suite_has_a_row(suite: str) -> None:
    def told(value: Any) -> list[str]:
        return value if isinstance(value, list) else [value]

    parts = yaml.safe_load(find_suite(f"published/{suite}").read_text())["parts"]
    expected = {
        "-".join(filter(None, (task, str(harder).lower(), model)))
        for part in parts
        for task in told(part["task"])
        for harder in told(part.get("level", part.get("group", part.get("pairs", ""))))
        for model in told(part["model"])
    }
    tables = yaml.safe_load((RESULTS / TABLES).read_text())["tables"]
    shown = {row["result"] for one in tables if one.get("suite") == f"published/{suite}" for row in one["rows"]}
    # One task in two suites has two results.
    assert {name.removeprefix("mad-") for name in shown} == expected


ROW = {"what": "a row", "result": "one", "score": "mse", "at": {"length": 5}, "published": 1.0}
TEST = {"at": {"length": 5, "num_slots": None}, "scores": {"mse": {"by_seed": {"0": 0.5, "1": None}}}}
OTHER = {"at": {"length": 5, "num_slots": None, "actions": "rounded"}, "scores": {"mse": {"by_seed": {"0": 3.0}}}}

ENDED = {"curves": {"a": [[1, 0.5]]}, "seeds": [{"sequences": 1000}]}
AFTER = {"what": "a row", "result": "one", "score": "mse", "after": 2, "published": 1.0}
ON = {"what": "a row", "result": "one", "tested_on": "q", "published": 1.0}


def tasks(count: int, error: float, published: float | None) -> dict[str, Any]:
    row = {"published": published, "restarts": [{"seed": 0, "restart": 0, "test_error": 4 * error}]}
    return {"tables": [{"tested_on": "q", "rows": [row] * count}]}


def folder_of(path: Path, result: object, *rows: dict[str, Any], **table: Any) -> Path:
    content = {"about": ["Words."], "tables": [{"title": "T: a", "about": "Told.", "rows": list(rows), **table}]}
    (path / TABLES).write_text(yaml.safe_dump(content))
    if result is not None:
        (path / "one.json").write_text(json.dumps(result))
    return path


def lines_of(folder: Path) -> list[str]:
    return [line for line in page(read(folder))[0].splitlines() if "a row" in line]


@pytest.mark.parametrize(
    ("result", "row", "cells"),
    [
        (None, ROW, "not run"),
        ({}, ROW, "not measured"),
        ({"tests": [TEST, TEST]}, ROW, "not measured"),  # which of them is meant?
        ({"tests": [OTHER, TEST]}, ROW, "not a number.*2.*not reached"),  # not that under one more condition
        ({"tests": [OTHER, TEST]}, ROW | {"at": OTHER["at"]}, "3 .*not reached"),
        ({"tests": [TEST]}, ROW, "not a number.*2.*not reached"),
        ({"tests": [{"length": 5, "mse": {"by_seed": {"0": 0.5}}}]}, ROW, "0.5 .*1.*reproduced"),
        ({"tests": {"mse": {"by_seed": {"0": 2}}}}, ROW, "2 .*not reached"),
        (tasks(2, 0.5, None), ON | {"of": 2}, "mean of 2 .* 1 .* 2 .*not reached"),
        (tasks(2, 0.5, None), ON | {"of": 3}, "mean of 2 .* 2 .*no published number"),
        (tasks(2, 0.5, 3.0), ON | {"of": 3}, "mean of 2 .* 3 .* 2 .*reproduced\\*\\* on 2 of 3 tasks"),
        ({"tests": [TEST]}, ROW | {"differs": "all of it"}, "other protocol: not compared"),
        ({"seeds": [{"sequences_to_solve": None}]}, ROW | {"score": "sequences_to_solve"}, "never.*not reached"),
        ({"curves": {"a": [[1, 9], [2, 0.1]], "b": [[1, 9]]}}, AFTER, "4.55 ± 6.29.*not reached"),
        (
            {"curves": {"a": [[1, 0.5]]}, "seeds": [{"sequences": 1000}]},
            AFTER,
            "after 2 .*ended at 1 .* 0.5 ",
        ),
        ({"curves": {"a": [[1, 9]], "b": []}}, AFTER, "not measured"),
    ],
)
def test_a_row_tells_what_its_result_has(result: object, row: dict[str, Any], cells: str, tmp_path: Path) -> None:
    lines = lines_of(folder_of(tmp_path, result, row))
    assert re.search(cells, lines[0]), lines
    assert any("all of it" in line for line in lines) == ("differs" in row)


def test_a_table_says_once_what_is_other_with_all_its_rows(tmp_path: Path) -> None:
    result = {"tests": {"mse": {"by_seed": {"0": 0.5}}}}
    folder = folder_of(tmp_path, result, ROW, ROW, settings="smaller than theirs")
    assert ["as good, with other settings" in line for line in lines_of(folder)] == [True, True]
    assert page(read(folder))[0].count("Ours: smaller than theirs.") == 1


def test_results_of_no_row_are_told_and_the_page_is_written(tmp_path: Path, capsys: Capture) -> None:
    folder_of(tmp_path, {"tests": [TEST]}, ROW | {"result": "other"})
    (tmp_path / "one.md").write_text("x")
    assert main(["results", str(tmp_path)]) == 0
    assert "Of 1 rows: 1 not run." in capsys.readouterr().out
    assert "- [one](one.md)" in (tmp_path / PAGE).read_text()


ONE = "about: []\ntables: [{title: t, about: a, rows: [{what: w, result: r, %s}]}]"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("about: [a", "cannot read tables of results"),
        ("about: []\n", "lacks 'tables'"),
        ("about: []\ntables: []\nabuot: 3\n", "'abuot', did you mean 'about'"),
        ("about: []\ntables: [{title: t, about: a, rows: [{what: w}]}]", "lacks 'result'"),
        ("about: []\ntables: [{title: t, about: a, best_of: 3, rows: []}]", "both best_of and by"),
        (ONE % "socre: x", "did you mean 'score'"),
        (ONE % "after: 3, tested_on: x", "both after and tested_on"),
        (ONE % "after: 3, at: {length: 5}", "both after and at"),
        (ONE % "published: [none.json, a]", "no published none.json a"),
        (ONE % "published: [ntm_curves.json, curves]", "is no number"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(content: str, words: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / TABLES).write_text(content)
    assert words in refused(capsys, "results", tmp_path)


def test_scores_are_drawn_against_the_size_of_the_state(tmp_path: Path) -> None:
    shares = {"right_share": {"by_seed": {"0": 0.5, "1": 0.75}}}
    result = {"state_floats": 300, "tests": [{"at": {"length": 5}, "scores": shares}]}
    measured_and_not = (
        {"what": f"4 pairs, {name}", "result": one, "at": {"length": 5}} for name, one in (("A", "one"), ("B", "two"))
    )
    folder = folder_of(tmp_path, result, *measured_and_not, score="right_share", states="by-state")
    ((name, figure),) = pictures(read(folder))
    (axes,) = figure.axes
    (line,) = axes.containers
    assert name == "by-state.png"
    assert "](by-state.png)" in page(read(folder))[0]
    assert line[0].get_xydata().tolist() == [[300, 62.5]]
    assert line[2][0].get_segments()[0].tolist() == [[300, 50], [300, 75]]
    assert [text.get_text() for text in axes.texts] == ["A"]


def test_a_damaged_result_is_named_and_the_old_page_stays(tmp_path: Path, capsys: Capture) -> None:
    folder_of(tmp_path, None, ROW)
    shutil.copy(RESULTS / PAGE, tmp_path)
    for damaged in ("{", "[1]", '{"tests": [{"at": 3}]}', '{"tests": 5}', '{"seeds": [1]}'):
        (tmp_path / "one.json").write_text(damaged)
        assert "one.json" in refused(capsys, "results", tmp_path)
    assert (tmp_path / PAGE).read_text() == (RESULTS / PAGE).read_text()
    assert "no folder of results" in refused(capsys, "results", tmp_path / "none")
