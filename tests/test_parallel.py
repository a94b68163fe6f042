"""Several processes train one model: what they reach is what one process reaches with the same batches."""

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from experiments.__main__ import main
from experiments.base import processes
from experiments.base.files import UserError
from experiments.training.ranks import Ranks
from tests.forked import ROOT, Forked

COPY = [
    *("copy", "--hidden-size", "8", "--num-slots", "8", "--steps", "12", "--log-every", "4", "--valid-every", "6"),
    *("--cooldown-steps", "4", "--valid-sequences", "20", "--test-sequences", "2", "--max-length", "6"),
    *("--curriculum", "growing", "--growing-start", "2", "--growing-threshold", "2", "--solved-at", "None"),
]
STORIES = [
    *("babi", "--task", "1", "--questions", "40", "--test-questions", "10", "--restarts", "2", "--batch-size", "8"),
    *("--linear-start-epochs", "1", "--epochs", "2", "--log-every", "3", "--valid-every", "6", "--length-groups", "2"),
]


def pair(folder: Path, *args: str) -> list[Forked]:
    """Start a training in two processes, as torchrun would."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = ["experiments", "train", *args, "--tracker", "none"]
    return [
        Forked(*command, folder=folder, environment={**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]


def launched(folder: Path, *args: str) -> Forked:
    """Have torchrun start a training in two processes."""
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "experiments", "train"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return Forked(*launch, *args, "--tracker", "none", folder=folder, environment=environment)


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
    trainings = [Forked("experiments", "train", *args, "--tracker", "none", "--out", tmp_path / "1", folder=tmp_path)]
    trainings += pair(tmp_path, *args, "--out", "2")
    told = [training.communicate(timeout=300) for training in trainings]
    assert [training.returncode for training in trainings] == [0, 0, 0], told
    assert [output.count("next\n") for output, _ in told] == [1, 1, 0]
    assert_same_training(tmp_path / "1", tmp_path / "2")
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2"}


@pytest.mark.slow
def test_a_stop_ends_all_processes_after_the_same_step(tmp_path: Path) -> None:
    args = [*COPY, "--steps", "100000", "--checkpoint-every", "100000", "--valid-every", "100000"]
    training = launched(tmp_path, *args, "--out", "run")
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "metrics.jsonl").exists() or not rows(tmp_path / "run"):
        assert training.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    training.send_signal(signal.SIGTERM)
    _, errors = training.communicate(timeout=60)
    stopped = int(errors.partition("stopped after step ")[2].partition(";")[0])
    assert stopped >= rows(tmp_path / "run")[-1]["step"]
    assert main(["train", "--resume", str(tmp_path / "run"), "--steps", str(stopped + 4)]) == 0
    assert rows(tmp_path / "run")[-1]["step"] == stopped + 4


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["copy", "--batch-size", "3"], "--batch-size 3 cannot be shared equally by 2 processes"),
        (["copy", "--seeds", "2"], "--seeds starts processes of its own"),
    ],
)
def test_mistakes_are_told_once(tmp_path: Path, args: list[str], complaint: str) -> None:
    first, second = pair(tmp_path, *args)
    _, errors = first.communicate(timeout=120)
    second.terminate()  # as torchrun does when another has failed
    errors += second.communicate(timeout=120)[1]
    assert first.returncode == 2
    assert second.returncode != 0
    assert errors.count("error: ") == errors.count(complaint) == 1
    assert not list(tmp_path.iterdir())


def test_a_lost_process_ends_the_other(tmp_path: Path) -> None:
    first, second = pair(tmp_path, *COPY, "--steps", "100000", "--out", "run")
    try:
        while not (tmp_path / "run" / "metrics.jsonl").exists() or not rows(tmp_path / "run"):
            assert first.poll() is None
            time.sleep(0.1)
        second.kill()
        _, errors = first.communicate(timeout=60)
    finally:
        first.kill()
        second.communicate()
    assert first.returncode == 2
    assert "error: another process of the training has ended" in errors
    assert "all_reduce" not in errors


def test_a_mistake_that_only_a_later_process_finds_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(processes, "FIRST_TELLS", 0.0)
    assert main(["train", "copy", "--device", "cuda:99"]) == 2
    assert "error: --device cuda:99 cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["text", "captions"])
def test_what_cannot_be_shared_is_trained_by_one_process(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", task, "--tracker", "none", "--out", str(tmp_path / "run")]) == 2
    assert f"a model of {task} is trained by one process: leave torchrun out" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_shares_are_equal_and_whole() -> None:
    shares = [Ranks(number, 3).share(12) for number in range(3)]
    assert [row for share in shares for row in range(12)[share]] == list(range(12))
    with pytest.raises(UserError, match="--batch-size 10 cannot be shared equally by 3 processes"):
        Ranks(0, 3).share(10)
    assert Ranks(0, 1).share(7) == slice(0, 7)
