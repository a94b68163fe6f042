"""What the tests of the tracker share: a clean environment, one run to start, its curve."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.runs.tracking import Names, Tracker, start_tracker
from tests.forked import Forked
from tests.wandb_log import RunLog

ROOT = Path(__file__).parents[1]
KEY = "a" * 40
CONFIG = {"model": {"name": "ntm", "num_slots": 128}, "optimizer": {"rate": 1e-3}, "seed": 0}

# Starts a tracker in the folder sys.argv[1].
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from experiments.runs import tracking
from experiments.runs.wandb_environment import resolve_mode

folder = Path(sys.argv[1])
tracker = tracking.start_tracker(
    "wandb", run_folder=folder / "run", run_id="run", names=tracking.Names("run", "", ()), config={},
    mode=resolve_mode(None, os.environ),
)
def row(step):
    return {"step": step, "sequences": 16 * step, "train/loss": 1 / (step + 1)}
"""


def clean_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the settings and keys of the machine's owner, and write nothing outside `folder`."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    for name in ("HOME", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(folder / name.lower()))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()


def start(folder: Path, mode: str = "offline", **changed: Any) -> Tracker:
    """Start the run copy-ntm-s0 among the runs in `folder`."""
    chosen: dict[str, Any] = {
        "run_id": "copy-ntm-s0",
        "names": Names("copy-ntm-s0", "copy-ntm", ["copy", "ntm"]),
        "config": CONFIG,
    }
    return start_tracker("wandb", run_folder=folder / "copy-ntm-s0", mode=mode, **(chosen | changed))


def row(step: int) -> dict[str, Any]:
    return {"step": step, "sequences": 16 * step, "train/loss": 1 / (step + 1)}


def run_folders(folder: Path) -> list[Path]:
    """The folders of W&B's runs, oldest first."""
    return sorted((folder / "wandb").glob("*run-2*"))


def curve(log: RunLog) -> list[tuple[int, float]]:
    return [(each["sequences"], each["train/loss"]) for each in log.history if "train/loss" in each]


def python(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, for which it has half a minute."""
    process = Forked("-c", program, *arguments)
    told, errors = process.communicate(timeout=30)
    return subprocess.CompletedProcess(process.args, process.wait(), told, errors)
