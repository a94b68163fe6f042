"""Where results come from: the command that began a run, those that resumed it, and commands that can be pasted."""

import json
import shlex
from pathlib import Path

import pytest

from experiments.__main__ import main
from experiments.base.provenance import command_line, without_places
from experiments.domains.sequences import commands
from tests.running import TINY

TRAIN = ["train", "copy", *TINY, "--cooldown-steps", "0", "--picture-every", "None", "--steps"]


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "draw_run", lambda *_: [])


def test_the_first_command_stays_and_resumes_are_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "x; touch INJ"
    began, more = [*TRAIN, "2", "--out", str(run)], ["train", "--resume", str(run), "--steps"]
    assert main(began) == 0
    told = capsys.readouterr().out.split("\nnext\n")[1].splitlines()
    assert command_line("evaluate", run, "--sequences", 1000) in map(str.strip, told)
    for line in told:
        start, (name, *args) = shlex.split(line, comments=True)[:3], shlex.split(line, comments=True)[3:]
        assert start == ["python", "-m", "experiments"]
        assert name == "recipes" or str(run) in args
    for steps in ("4", "6", "6"):
        assert main([*more, steps]) == 0
    result = json.loads((run / "result.json").read_text())
    assert json.loads((run / "commands.json").read_text())[0] == command_line(*began)
    # What others read does not say where files lie here.
    began, more = ([one.removeprefix(f"{tmp_path}/") for one in args] for args in (began, more))
    assert result["command"] == command_line(*began)
    assert result["resumed_by"] == [command_line(*more, "4"), command_line(*more, "6")]
    assert main(["report", str(tmp_path)]) == 0
    told = f"`{command_line(*began)}`, resumed by `{command_line(*more, '4')}`, resumed by `{command_line(*more, '6')}`"
    assert told in (tmp_path / "report.md").read_text()
    assert not any(str(tmp_path) in (tmp_path / f"report.{ending}").read_text() for ending in ("md", "json", "tex"))
    # A run of an earlier version knows its commands from its end alone.
    (run / "commands.json").unlink()
    assert main(["train", "--resume", str(run), "--steps", "8"]) == 0
    assert json.loads((run / "result.json").read_text())["resumed_by"] == [command_line(*more, "8")]


def test_of_absolute_paths_the_last_name_is_told() -> None:
    told = {
        "config": {"text": "/a/book.txt", "out": "runs/x", "size": 3},
        "commands": ["python a --b '/c d/e f' /g/ x"],
    }
    expected = {"config": {"text": "book.txt", "out": "runs/x", "size": 3}, "commands": ["python a --b 'e f' g x"]}
    assert without_places(told) == expected
    assert without_places("python a --b=/c/d && python /e; x") == "python a --b=d && python e; x"


def test_a_damaged_list_of_commands_is_told_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, "2", "--out", str(tmp_path / "run")]) == 0
    for content in ("{}", "[", "[]", "[1]"):
        (tmp_path / "run" / "commands.json").write_text(content)
        assert main(["train", "--resume", str(tmp_path / "run"), "--steps", "4"]) == 2
        assert "commands.json" in capsys.readouterr().err
