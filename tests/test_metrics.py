"""metrics.jsonl and the atomic files under it: nothing is lost, rounded or half written."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.base.files import UserError, write_whole
from experiments.runs.metrics import MetricsFile, cut, read_metrics

ROOT = Path(__file__).parents[1]


def row(step: int) -> dict[str, object]:
    return {"step": step, "sequences": 16 * step, "train/loss": 1 / (step + 1)}


def write_rows(path: Path, steps: range) -> None:
    with MetricsFile(path) as file:
        for step in steps:
            file.append(row(step))


def test_rows_come_back_exactly(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"step": 1, "sequences": 16, "train/loss": 0.1 + 0.2, "eval/solved": True, "note": "é"},
        {"step": 2, "sequences": 32, "train/loss": 5e-324, "perf/seconds": 1.7976931348623157e308},
        {"step": 3, "sequences": 48, "train/loss": math.inf, "train/bits": -math.inf, "none": None},
    ]
    path = tmp_path / "metrics.jsonl"
    with MetricsFile(path) as file:
        for each in rows:
            file.append(each)
    assert read_metrics(path) == rows


def test_not_a_number_is_strict_json_and_comes_back(tmp_path: Path) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    path = tmp_path / "metrics.jsonl"
    with MetricsFile(path) as file:
        file.append({"step": 1, "sequences": 16, "train/loss": math.nan})
    assert json.loads(path.read_text(), parse_constant=refuse)["train/loss"] == "NaN"
    assert math.isnan(read_metrics(path)[0]["train/loss"])


@pytest.mark.parametrize("kept", [1, 10, -1])
def test_only_a_torn_last_line_is_left_out(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "metrics.jsonl"
    write_rows(path, range(3))
    lines = path.read_bytes().splitlines(keepends=True)
    torn = lines[-1].rstrip(b"\n")[:kept]
    path.write_bytes(b"".join(lines[:-1]) + torn)
    assert read_metrics(path) == [row(0), row(1)]

    write_rows(path, range(2, 4))
    assert read_metrics(path) == [row(step) for step in range(4)]


def test_a_last_row_without_newline_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write_rows(path, range(2))
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    write_rows(path, range(2, 3))
    assert read_metrics(path) == [row(0), row(1), row(2)]


@pytest.mark.parametrize("bad", [b"{", b"", b"3", b"\xff", b'{"step": 1} {"step": 2}'])
def test_a_bad_line_is_named(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + bad + b'\n{"step": 3}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2: "):
        read_metrics(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file: .*metrics\.jsonl"):
        read_metrics(tmp_path / "metrics.jsonl")


def test_cut_keeps_the_rows_up_to_the_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write_rows(path, range(0, 100, 10))
    before = path.read_bytes()
    cut(path, 1000)
    assert path.read_bytes() == before
    cut(path, 40)
    assert [each["step"] for each in read_metrics(path)] == [0, 10, 20, 30, 40]
    assert before.startswith(path.read_bytes())


def test_kill_9_loses_no_row(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    program = """
import sys
from experiments.runs.metrics import MetricsFile
file = MetricsFile(sys.argv[1])
for step in range(10**9):
    file.append({"step": step, "sequences": 16 * step})
    print(step, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(200):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        told = 200 + len(process.stdout.readlines())
    rows = read_metrics(path)
    assert [each["step"] for each in rows] == list(range(len(rows)))
    assert len(rows) >= told - 1


def test_a_full_disk_leaves_whole_rows(tmp_path: Path) -> None:
    # The kernel's own refusal: a file size limit lets part of the line through, as a full disk does.
    path = tmp_path / "metrics.jsonl"
    program = """
import resource, signal, sys
from experiments.runs.metrics import MetricsFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
file = MetricsFile(sys.argv[1])
try:
    for step in range(1000):
        file.append({"step": step, "sequences": 16 * step})
except OSError:
    print(step)
"""
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert path.read_bytes().endswith(b"}\n")
    assert len(read_metrics(path)) == int(run.stdout)


def test_write_whole_writes_bytes_and_text(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"\x00\xff\r\n")
    assert path.read_bytes() == b"\x00\xff\r\n"
    write_whole(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    path = tmp_path / "file"
    write_whole(path, "old")
    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(type(error)):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    program = """
import resource, signal, sys
from experiments.base.files import write_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_whole(sys.argv[1], bytes(5000))
except OSError as error:
    print(type(error).__name__, error.filename)
"""
    path = tmp_path / "file"
    write_whole(path, "old")
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout == f"OSError {path}\n"
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]
