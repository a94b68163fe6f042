"""The live display in a real terminal, the plain lines elsewhere."""

from __future__ import annotations

import re
import time

import pytest

from experiments.base.progress import Progress, working
from tests.running import in_terminal

PROGRAM = """
import sys, time
from experiments.base.progress import Progress
with Progress(1600, title="copy-ntm-s0") as progress:
    progress.message("a [bold] word")
    for step in range(1, 101):
        progress.update({"step": step, "train/loss": 1 / step}, 16 * step, state="solved" if step > 50 else "")
        time.sleep(0.01)
        if step == 60 and "interrupt" in sys.argv:
            raise KeyboardInterrupt
print("result")
"""


def in_a_terminal(*arguments: str) -> tuple[str, str]:
    """Run PROGRAM with stderr a terminal and stdout a pipe, and return what each of them got."""
    shown, output, _ = in_terminal(PROGRAM, *arguments, columns=80, piped=True)
    return shown, output


def test_a_log_gets_few_plain_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    monkeypatch.setattr("time.monotonic", lambda: clock)
    with Progress(800_000) as progress:
        progress.message("hello")
        for step in range(1, 1001):
            clock = step / 100
            row = {"step": step, "train/loss": 0.31234, "train/bits_per_sequence": 2.4, "perf/seconds": clock}
            progress.update(row, 16 * step, state="best 2.1" if step == 500 else "")
    output, errors = capsys.readouterr()
    lines = errors.splitlines()
    assert output == ""
    assert lines[0] == "hello"
    assert len(lines) == 12
    assert lines[-1] == ("step 1000/50000  loss 0.312  bits/seq 2.4  best 2.1  16.0k sequences  1.6k seq/s  8m10s left")


def test_the_rate_of_a_resumed_training_is_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0
    monkeypatch.setattr("time.monotonic", lambda: clock)
    with Progress(1_100_000, start=1_000_000) as progress:
        clock = 10.0
        progress.update({}, 1_000_500)
    assert capsys.readouterr().err == "1.0M sequences  50 seq/s  33m10s left\n"


def test_a_long_step_and_long_work_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SILENT", "PATIENCE"):
        monkeypatch.setattr(f"experiments.base.progress.{name}", 0.5)
    with working("nothing"):
        pass
    with working("drawing"), Progress(160, title="r", start=96) as progress:
        progress.begin(7, 96)
        time.sleep(1.5)
    told = capsys.readouterr().err.splitlines()
    assert sorted(told) == ["drawing ... 1s", "r  step 7, 1s  96 sequences"]


def test_a_terminal_gets_a_bar_and_its_cursor_back() -> None:
    shown, output = in_a_terminal()
    assert output == "result\n"
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "a [bold] word" in plain
    assert re.search(r"copy-ntm-s0 \S+ 100%  1.6k sequences  .* seq/s  0s left", plain)
    assert "step 100/100  loss 0.01  solved" in plain
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert shown.count("100%") < 5


def test_an_interrupt_leaves_the_terminal_clean() -> None:
    shown, output = in_a_terminal("interrupt")
    assert output == ""
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert shown.rstrip().endswith("KeyboardInterrupt")
