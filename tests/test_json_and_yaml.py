"""JSON and YAML of any origin: one line that names the file, and nothing that costs more than the limits."""

import json
import os
import re
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import pytest
import yaml

from experiments.__main__ import main
from experiments.base.files import UserError
from experiments.base.reading import MOST_YAML, misfit, parse_json, read_json, read_own_yaml, read_yaml
from experiments.config.form import from_yaml
from experiments.runs.outcomes import check_result
from tests.made_up_runs import copy_run

Capture = pytest.CaptureFixture[str]

MULTIPLIED = "a: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join(9 * [f'*a{n}'])}]\n" for n in range(9))
LAUGHS = {
    "task: [copy]": "task: it is a list, expected a mapping",
    "task: {copy: 1}": "task lacks its name",
    "task: copy\nsteps: " + "9" * 5000: "line 2, column 8: '9999.* is no whole number of at most 64 bits",
    "task: copy\nsteps: 0x" + "f" * 40: "line 2, column 8: .*64 bits",
    "task: copy\nlearning_rate: " + "1:" * 3000 + "1.5": "line 2, column 16: .* is no number",
    "task: copy\nsteps: !!int ''": "line 2, column 8: '' is no whole number",
    "task: copy\nsteps: !!bool maybe": "line 2, column 8: 'maybe' is no truth value",
    "task: copy\ntask: adding": "line 2, column 1: there are two values of 'task'",
    "task: copy\n1: 2": "line 2, column 1: expected a text as a key, not '1'",
    "task: copy\n? [a]\n: 2": "line 2, column 3: expected a text as a key, not a list",
    "task: copy\na: &a {b: 1}\nc: {<<: *a}": "line 3, column 5: .*merge key",
    "task: copy\na: &a [*a]": "line 2, column 8: the alias .* within what it stands for",
    "task: copy\na: *b": "line 2, column 4: found undefined alias",
    "task: copy\na: !!set {b}": "line 2, column 4: .*set",
    "task: " + 20_000 * "[": "line 1, column 57: expected at most 50 lists",
    "task: " + 60 * "[" + 60 * "]": "line 1, column 57: expected at most 50 lists",
    "task: copy\n" + MULTIPLIED: r"line \d+, column \d+: .*what an alias stands for counts each time",
    "task: " + "a" * MOST_YAML: "expected at most 256 KiB",
    "task: \x01": "special characters",
    "task: copy\n--- 2": "line 2, column 1: .*another document",
    "task: {name: copy}\nmodel: {name: lstm}\ntraining: {clip_norm: .inf}": "--clip-norm must be a finite number",
}
JSONS = {
    20_000 * "[": "at most 50 lists",
    51 * "[" + 51 * "]": "at most 50 lists",
    "[" + 5000 * "9" + "]": "64 bits",
    str(2**63): "64 bits",
    '{"a": 1, "a": 2}': "two values of 'a'",
    "[" + 2_000_001 * "0,": "at most 2,000,000 values",
    '{"a": ': r"line 1 column 7",
    "": "line 1 column 1",
}


@pytest.mark.parametrize("text", LAUGHS, ids=lambda text: text[11:30])
def test_yaml_is_read_within_limits(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=LAUGHS[text]) as error:
        from_yaml(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("text", JSONS, ids=lambda text: text[:12])
def test_json_is_read_within_limits(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UserError, match=JSONS[text]) as error:
        read_json(path)
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 300


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bytes").write_bytes(b"\xff")
    for name, words in (("pipe", "not a folder, pipe"), (".", "cannot read"), ("bytes", "UTF-8"), ("zero", "device")):
        path = Path("/dev/zero") if name == "zero" else tmp_path / name
        for read in (read_json, lambda path: read_yaml(path, "a suite")):
            with pytest.raises(UserError, match=words):
                read(path)


def test_values_come_back_as_they_were(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, True, "é"], "b": {"c": -(2**63), "d": 2**63 - 1}, "e": "2020-01-01"}
    assert parse_json(json.dumps(value).encode(), "it") == value
    (tmp_path / "a.yaml").write_text(
        "\ufeff" + yaml.safe_dump(value, allow_unicode=True) + "f: &x [1]\ng: *x\nh: 2020-01-01\n"
    )
    assert read_yaml(tmp_path / "a.yaml", "it") == value | {"f": [1], "g": [1], "h": "2020-01-01"}
    assert parse_json(50 * b"[" + 50 * b"]", "it")


class Row(TypedDict):
    a: int
    b: NotRequired[list[float]]
    c: NotRequired[dict[str, int | None]]
    d: NotRequired[Literal["x", "y"]]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": 1, "b": [1, 2.5], "c": {"z": None}, "d": "x", "other": []}, None),
        ({"a": True}, "[0].a is True, expected a whole number"),
        ({}, "[0] lacks 'a'"),
        ([], "[0] is a list, expected a mapping"),
        ({"a": 1, "b": [1, "x"]}, "[0].b[1] is 'x', expected a number"),
        ({"a": 1, "c": {"z": "q"}}, "[0].c.z is 'q', expected a whole number"),
        ({"a": 1, "d": [1]}, "[0].d is a list, expected 'x' or 'y'"),
    ],
)
def test_what_is_not_of_a_kind_is_told_with_its_place(value: Any, words: str | None) -> None:
    assert misfit([value], list[Row]) == words


@pytest.mark.parametrize(
    ("name", "content", "command", "words"),
    [
        ("suite.json", {"jobs": [{"name": 1, "args": []}]}, "report", r"jobs\[0\].name is 1"),
        ("suite.json", [], "report", "it is a list"),
        ("group.json", {"args": [], "seeds": ["x"]}, "train --resume", r"seeds\[0\] is 'x'"),
        ("group.json", {"args": []}, "train --resume", "lacks 'seeds'"),
    ],
)
def test_records_of_folders(
    name: str, content: object, command: str, words: str, tmp_path: Path, capsys: Capture
) -> None:
    copy_run(tmp_path / "run")
    (tmp_path / name).write_text(json.dumps(content))
    assert main([*command.split(), str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / name) in line
    assert re.search(words, line)


@pytest.mark.parametrize(
    "result",
    [
        [],
        {"command": 1},
        {"config": []},
        {"sequences_to_solve": "x"},
        {"selection": {"chosen": 2, "restarts": [{}]}},
        {"selection": {"chosen": 0, "restarts": [{"train_error": "x"}]}},
        {"perf/seconds": None},
    ],
)
def test_a_result_that_no_run_leaves(result: Any) -> None:
    with pytest.raises(UserError, match=r"^result\.json: "):
        check_result(result, Path("result.json"))


def test_our_own_files_are_read_to_the_same(tmp_path: Path) -> None:
    ours = sorted((Path(__file__).parents[1] / "experiments").rglob("*.yaml"))
    assert {"registry.yaml", "sequences.yaml", "models.yaml"} <= {path.name for path in ours}
    for path in ours:
        assert repr(read_own_yaml(path, "it")) == repr(read_yaml(path, "it"))
    (tmp_path / "a.yaml").write_text("a: 1\nb: 2\na: 3\n")
    with pytest.raises(UserError, match="line 3, column 1: there are two values of 'a'"):
        read_own_yaml(tmp_path / "a.yaml", "it")
