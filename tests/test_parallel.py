"""Several processes train one model: what they reach is what one process reaches with the same batches."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from experiments.__main__ import main
from experiments.base.files import UserError
from experiments.training import ranks as parallel
from experiments.training.ranks import Ranks
from tests.running import ROOT

COPY = [
    *("copy", "--hidden-size", "8", "--num-slots", "8", "--steps", "12", "--log-every", "4", "--valid-every", "6"),
    *("--cooldown-steps", "4", "--valid-sequences", "20", "--test-sequences", "2", "--max-length", "6"),
    *("--curriculum", "growing", "--growing-start", "2", "--growing-threshold", "2"),
]
STORIES = [
    *("babi", "--task", "1", "--questions", "40", "--test-questions", "10", "--restarts", "2", "--batch-size", "8"),
    *("--linear-start-epochs", "1", "--epochs", "2", "--log-every", "3", "--valid-every", "6", "--length-groups", "2"),
]


def started(processes: int, folder: Path, *args: str) -> subprocess.Popen[str]:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launch if processes > 1 else []), "-m", "experiments", "train", *args]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        environment.pop(name, None)
    return subprocess.Popen(
        [*command, "--tracker", "none"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_same_training(one: Path, other: Path) -> None:
    first, second = load_file(one / "weights.safetensors"), load_file(other / "weights.safetensors")
    for name, weight in first.items():
        torch.testing.assert_close(second[name], weight, rtol=1e-4, atol=1e-6)
    assert len(rows(one)) == len(rows(other)) > 2
    for left, right in zip(rows(one), rows(other), strict=True):
        shared = {key: value for key, value in left.items() if not key.startswith("perf/")}
        assert shared == pytest.approx({key: right[key] for key in shared}, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("args", [COPY, STORIES], ids=["copy", "stories"])
def test_two_processes_are_one_with_the_same_batches(tmp_path: Path, args: list[str]) -> None:
    trainings = [started(count, tmp_path, *args, "--out", str(tmp_path / str(count))) for count in (1, 2)]
    for training in trainings:
        output, errors = training.communicate(timeout=300)
        assert training.returncode == 0, errors
        assert output.count("next\n") == 1
    assert_same_training(tmp_path / "1", tmp_path / "2")
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2"}


@pytest.mark.slow
def test_a_stop_ends_all_processes_after_the_same_step(tmp_path: Path) -> None:
    args = [*COPY, "--steps", "100000", "--checkpoint-every", "100000", "--valid-every", "100000"]
    training = started(2, tmp_path, *args, "--out", "run")
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "metrics.jsonl").exists() or not rows(tmp_path / "run"):
        assert training.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    training.send_signal(signal.SIGTERM)
    _, errors = training.communicate(timeout=60)
    stopped = int(errors.partition("stopped after step ")[2].partition(";")[0])
    assert stopped >= rows(tmp_path / "run")[-1]["step"]
    resumed = started(1, tmp_path, "--resume", "run", "--steps", str(stopped + 4))
    _, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, errors
    assert rows(tmp_path / "run")[-1]["step"] == stopped + 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["copy", "--batch-size", "3"], "--batch-size 3 cannot be shared equally by 2 processes"),
        (["copy", "--seeds", "2"], "--seeds starts processes of its own"),
    ],
)
def test_mistakes_are_told_once(tmp_path: Path, args: list[str], complaint: str) -> None:
    training = started(2, tmp_path, *args)
    _, errors = training.communicate(timeout=120)
    assert training.returncode != 0
    assert errors.count("error: ") == errors.count(complaint) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_lost_process_ends_the_other(tmp_path: Path) -> None:
    training = started(2, tmp_path, *COPY, "--steps", "100000", "--out", "run")
    try:
        while not (tmp_path / "run" / "metrics.jsonl").exists() or not rows(tmp_path / "run"):
            assert training.poll() is None
            time.sleep(0.1)
        own = Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text().split()
        ranks = {int(_environment(process)["RANK"]): int(process) for process in own}
        os.kill(ranks[1], signal.SIGKILL)
        _, errors = training.communicate(timeout=60)
    finally:
        training.kill()
    assert training.returncode == 1
    assert not Path(f"/proc/{ranks[0]}").exists()
    # Whichever comes first: it misses the other one, or torchrun ends it.
    assert re.search("error: another process of the training has ended|stopped after step", errors), errors
    assert "all_reduce" not in errors


def _environment(process: str) -> dict[str, str]:
    pairs = Path(f"/proc/{process}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def test_a_mistake_that_only_a_later_process_finds_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(parallel, "FIRST_TELLS", 0.0)
    assert main(["train", "copy", "--device", "cuda:99"]) == 2
    assert "error: --device cuda:99 cannot be used" in capsys.readouterr().err


def test_shares_are_equal_and_whole() -> None:
    shares = [Ranks(number, 3).share(12) for number in range(3)]
    assert [row for share in shares for row in range(12)[share]] == list(range(12))
    with pytest.raises(UserError, match="--batch-size 10 cannot be shared equally by 3 processes"):
        Ranks(0, 3).share(10)
    assert Ranks(0, 1).share(7) == slice(0, 7)
