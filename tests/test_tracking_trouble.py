"""W&B breaks, hangs, loses its server or is killed: the training goes on and says so once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.runs import tracking
from experiments.runs.metrics import read_metrics
from experiments.runs.tracking import Tracker
from experiments.runs.wandb_environment import resolve_mode
from tests.tracked import CONFIG, KEY, PROGRAM, clean_environment, curve, python, row, run_folders, start
from tests.wandb_log import read_run
from tests.wandb_server import WandbServer

# Finds the process of wandb-core.
FIND_CORE = """
children = [int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat")
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid()]
core, = [child for child in children if "wandb-core" in Path(f"/proc/{child}/cmdline").read_text()]
"""


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from clean_environment(tmp_path, monkeypatch)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    server = WandbServer()
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    yield server
    server.stop()


def test_an_online_run_reaches_the_server(
    tmp_path: Path, server: WandbServer, capfd: pytest.CaptureFixture[str]
) -> None:
    tracker = start(tmp_path, mode=resolve_mode("online", {}))
    for step in range(1, 6):
        tracker.log(row(step))
    tracker.finish(exit_code=3)
    about = server.runs[0]
    assert (about["name"], about["displayName"], about["project"]) == ("copy-ntm-s0", "copy-ntm-s0", "memnet")
    assert (about["groupName"], about["jobType"], about["tags"]) == ("copy-ntm", "train", ["copy", "ntm"])
    assert [each["sequences"] for each in server.history] == [16, 32, 48, 64, 80]
    assert server.exit_code == 3
    assert tracker.url == tracker.notice == f"{server.url}/team/memnet/runs/copy-ntm-s0"
    assert capfd.readouterr() == ("", "")


def test_a_network_lost_on_the_way_is_told_at_the_end(
    tmp_path: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "1")
    tracker = start(tmp_path, mode="online")
    tracker.log(row(1))
    server.stop()
    for step in range(2, 50):
        tracker.log(row(step))
    tracker.finish(exit_code=0)
    assert tracker.folder is not None
    log = read_run(tracker.folder)
    assert len(log.history) == 49
    assert {key: value for key, value in log.config.items() if key != "_wandb"} == CONFIG
    output, errors = capfd.readouterr()
    assert output == ""
    assert len(errors.splitlines()) == 1
    assert f"wandb sync {tracker.folder}" in errors


def test_without_a_server_the_run_goes_on_offline(
    tmp_path: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server.stop()
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    tracker = start(tmp_path, mode="online")
    tracker.log(row(1))
    tracker.finish(exit_code=0)
    assert run_folders(tmp_path) == [tracker.folder]
    assert tracker.folder is not None
    assert tracker.folder.name.startswith("offline-run-")
    assert curve(read_run(tracker.folder)) == [(16, 0.5)]
    assert tracker.run_id == "copy-ntm-s0"
    output, errors = capfd.readouterr()
    assert output == ""
    assert len(errors.splitlines()) == 1
    assert errors.endswith("going on offline\n")


@pytest.mark.parametrize("event", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds wandb-core in /proc")
def test_the_training_outlives_wandb_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event: signal.Signals
) -> None:
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "0")
    program = """
tracking.PATIENCE = 1.0
tracker.log(row(0))
time.sleep(0.2)
os.kill(core, int(sys.argv[2]))
time.sleep(0.2)
slowest = 0.0
for step in range(1, 20_000):
    before = time.monotonic()
    tracker.log(row(step))
    slowest = max(slowest, time.monotonic() - before)
tracker.image("picture", "absent.png", 16)
tracker.summary({"eval/best": 1.0})
print(f"{slowest:.3f}")
start = time.monotonic()
tracker.finish(0)
print(f"{time.monotonic() - start:.3f}")
sys.exit(7)
"""
    result = python(PROGRAM + FIND_CORE + program, tmp_path, int(event))
    assert result.returncode == 7, result.stderr
    slowest, finish = map(float, result.stdout.split())
    assert slowest < 5.0
    assert finish < 20
    assert len(result.stderr.splitlines()) == 1
    assert "the training goes on" in result.stderr


def test_kill_9_loses_no_metrics_and_a_second_of_the_tracker(tmp_path: Path) -> None:
    program = """
from experiments.runs.metrics import MetricsFile
with MetricsFile(folder / "metrics.jsonl") as file:
    for step in range(10**6):
        file.append(row(step))
        tracker.log(row(step))
        print(step, time.monotonic(), flush=True)
        time.sleep(0.08)
"""
    command = [sys.executable, "-c", PROGRAM + program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(30)]
        process.kill()
        told += process.stdout.readlines()
    steps = [(int(step), float(moment)) for step, moment in (line.split() for line in told)]
    last, end = steps[-1]
    assert len(read_metrics(tmp_path / "metrics.jsonl")) >= last + 1

    safe = max(step for step, moment in steps if moment < end - 1.0)
    (folder,) = run_folders(tmp_path)
    log = read_run(folder)
    found = curve(log)
    assert found == [(16 * step, 1 / (step + 1)) for step in range(len(found))]
    assert len(found) > safe
    assert log.exit_code is None


def test_an_error_in_a_call_is_one_warning(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tracker = start(tmp_path)
    tracker.image("picture", tmp_path / "absent.png", 16)
    tracker.image("picture", tmp_path / "absent.png", 16)
    tracker.log(row(1))
    tracker.finish(exit_code=0)
    assert tracker.folder is not None
    assert curve(read_run(tracker.folder)) == [(16, 0.5)]
    output, errors = capfd.readouterr()
    assert output == ""
    assert len(errors.splitlines()) == 1
    assert errors.startswith("warning: W&B: ")


def test_trouble_at_the_start_does_not_stop_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "INIT_TIMEOUT", "never")
    tracker = start(tmp_path)
    assert type(tracker) is Tracker
    errors = capfd.readouterr().err
    assert len(errors.splitlines()) == 1
    assert "nothing is tracked but in metrics.jsonl" in errors
