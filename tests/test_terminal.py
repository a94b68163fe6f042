"""What a person sees in a real terminal of 80 or 120 columns, and in one that has few letters."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.__main__ import HELP, main
from experiments.files import write_whole
from tests.running import ROOT, in_terminal

PROGRAM = """
import time
from experiments.__main__ import main
from experiments.progress import Progress
for args in (["train", "copy", "--sede", "1"], ["train", "copy", "--model", "lst"], ["train", "copy", "--seed", "x"]):
    assert main(args) == 2
print("---")
with Progress(1600, title="a-long-name-of-a-run-" * 6 + "s7") as progress:
    for step in range(1, 21):
        progress.update({"step": step, "train/loss": 1 / step}, 16 * step)
        time.sleep(0.03)
"""


@pytest.mark.parametrize("columns", [80, 120])
def test_errors_are_plain_lines_and_the_time_left_is_never_cut_off(columns: int) -> None:
    shown, _, code = in_terminal(PROGRAM, columns=columns)
    assert code == 0, shown
    errors, _, progress = shown.partition("---")
    lines = errors.strip().splitlines()
    assert lines[:2] == [
        "error: train: no option is called --sede, did you mean '--seed'?",
        "error: train: --model cannot be 'lst', did you mean 'lstm'?",
    ]
    assert len(lines) == 3
    assert "'x'" in lines[2] or " x" in lines[2]
    assert not re.search("[\x1b│╭╮╰╯]", errors)
    drawn = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", progress))
    assert max(map(len, drawn)) <= columns
    assert any(re.search(r"a-long.*….*s7 .* seq/s  \d+s left", line) for line in drawn), drawn


def test_help_fits_80_columns() -> None:
    assert max(map(len, HELP.splitlines())) <= 80


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--seed", "9" * 20),
        ("--steps", "9" * 20),
        ("--forget-bias", "nan"),
        ("--clip-norm", "inf"),
        ("--weight-noise", "-inf"),
        ("--num-slots", "9" * 5000),
    ],
)
def test_a_number_that_cannot_be_is_one_line(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "copy", option, value]) == 2
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 1
    assert option in printed.err


def test_names_and_terminals_without_letters_are_escaped(tmp_path: Path) -> None:
    write_whole(tmp_path / "text", "f\udcff.txt ü")
    assert (tmp_path / "text").read_text() == "f\\udcff.txt ü"
    done = subprocess.run(
        [sys.executable, "-m", "experiments", "evaluate", b"runs/\xff-\xc3\xbc"],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert r"\udcff-\xfc" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def lacks(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name="tyro")

    monkeypatch.setattr("experiments.__main__._command", lacks)
    assert main(["train"]) == 2
    assert capsys.readouterr().err == "error: tyro is not installed; pip install -e '.[experiments]' brings it\n"
