"""What `train` really wrote to Weights & Biases, read back from its files."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.__main__ import main
from experiments.runs.metrics import read_metrics
from tests.forked import Forked
from tests.running import TINY
from tests.tracked import clean_environment
from tests.unpainted import drawn
from tests.wandb_log import read_run

WITH_WANDB = [*TINY[:-2], "--tracker", "wandb"]


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from clean_environment(tmp_path, monkeypatch)


def runs_in(folder: Path) -> list[Path]:
    return sorted((folder / "wandb").glob("offline-run-*"), key=os.path.getmtime)


@drawn()
def test_a_run_is_recorded_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "copy", *WITH_WANDB, "--steps", "12", "--out", str(tmp_path / "run")]) == 0
    (folder,) = runs_in(tmp_path)
    log = read_run(folder)
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    written = [row for row in log.history if "train/loss" in row or "valid/wrong_bits_per_sequence" in row]
    assert len(written) == len(rows)
    for row, record in zip(rows, written, strict=True):
        assert row.items() <= record.items()
    assert log.step_metrics == {"*": "sequences"}
    assert log.config["model"]["hidden_size"] == 12
    assert log.config["versions"]["torch"]
    assert log.config["parameters"] > 0
    pictures = {key for row in log.history for key in row if key.startswith("figures/")}
    assert {"figures/memory-3", "figures/learning-curve", "figures/error-by-length"} <= pictures
    assert any(key.startswith("test/exact_share/length-20") for key in log.summary)
    assert (log.exit_code, log.run.run_id.startswith("run-")) == (0, True)
    # One setting is one group.
    assert re.fullmatch("copy-ntm-feedforward-[0-9a-f]{8}", log.run.run_group)
    printed = capsys.readouterr().out
    assert "wandb leet" in printed
    assert "wandb sync" in printed


def test_what_takes_long_to_import_is_imported_only_when_asked_for(tmp_path: Path) -> None:
    program = """
import sys
from experiments.__main__ import main
run = sys.argv[-1]
assert main(sys.argv[1:]) == 0
assert main(["evaluate", run, "--length", "4", "--sequences", "2"]) == 0
dear = {"wandb", "torch._dynamo", "sympy", "onnx", "plotly", "pandas", "scipy", "ray"}
sys.exit(" ".join(dear & sys.modules.keys()) or 0)
"""
    process = Forked("-c", program, "train", "copy", *TINY, "--steps", "2", "--out", tmp_path / "run")
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
