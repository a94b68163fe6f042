"""Looking at a model in training: the numbers, the pictures, and that nothing of the training changes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.__main__ import main
from experiments.base.progress import Progress
from experiments.config.command_line import parse_train
from experiments.figures.snapshot import COLUMN, LABEL, Panel, snapshot
from experiments.runs.checkpoint import read_progress
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import MetricsFile, read_metrics
from experiments.runs.tracking import Tracker
from experiments.training.running import make_trainer, take_up
from experiments.training.stacking import train_stacked
from experiments.training.trainer import Trainer
from tests import story_runs
from tests.running import TINY, tiny


def train(folder: Path, *more: object) -> int:
    return main(["train", "copy", *tiny("--steps", 12, *more, "--out", folder)])


def trained(folder: Path, *more: object) -> Path:
    """Training alone, without tests and figures at its end."""
    config = parse_train(["copy", *tiny("--steps", 12, *more, "--out", folder)])
    run_to_the_end(make_trainer(config, RunFolder.create(config), "id"))
    return folder


def trained_on_stories(folder: Path, *more: object) -> Path:
    run_to_the_end(story_runs.trainer_of(folder, *more))
    return folder


def run_to_the_end(trainer: Trainer[Any]) -> None:
    with MetricsFile(trainer.folder.metrics) as metrics:
        trainer.train(metrics, Tracker("id"), Progress(1))


def numbers(folder: Path, *prefixes: str) -> list[dict[str, float]]:
    """Of every row with such keys those keys."""
    rows = [
        {key: row[key] for key in row if key.startswith(prefixes)} for row in read_metrics(folder / "metrics.jsonl")
    ]
    return [row for row in rows if row]


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def pixels(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("model", [[], ["--controller", "lstm", "--num-reads", "2"], ["--model", "gru"]])
def test_a_run_that_is_looked_at_is_the_run_that_is_not(tmp_path: Path, model: list[str]) -> None:
    trained(tmp_path / "with", *model, "--picture-every", 2)
    trained(tmp_path / "without", *model, "--picture-every", None)
    assert not (tmp_path / "without" / "figures" / "training").exists()
    assert numbers(tmp_path / "without", "entropy/", "memory/") == []
    drawn = sorted((tmp_path / "with" / "figures" / "training").iterdir())
    assert [path.name for path in drawn] == [f"step-{step:06d}.png" for step in (2, 4, 6, 8, 10, 12)]
    assert len({pixels(path).shape for path in drawn}) == 1
    assert len({path.read_bytes() for path in drawn}) == 6
    same_but_for_pictures(tmp_path / "with", tmp_path / "without")


@pytest.mark.parametrize("name", ["memn2n", "memn2n-restarts", "kv", "entnet-restarts", "ntm", "lstm"])
def test_so_it_is_on_stories(tmp_path: Path, name: str) -> None:
    for folder, every in (("with", 3), ("without", None)):
        trained_on_stories(tmp_path / folder, *story_runs.MODELS[name], "--picture-every", every)
    same_but_for_pictures(tmp_path / "with", tmp_path / "without")
    drawn = list((tmp_path / "with" / "figures").glob("training/*.png"))
    assert len(drawn) == read_metrics(tmp_path / "with" / "metrics.jsonl")[-1]["step"] // 3


def same_but_for_pictures(looked: Path, alone: Path) -> None:
    (one, ours), (other, theirs) = (checkpoint(folder) for folder in (looked, alone))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert ours == theirs
    seen = ("entropy/", "memory/", "gate/", "perf/")
    rows = [
        [{key: value for key, value in row.items() if not key.startswith(seen)} for row in read_metrics(path)]
        for path in (looked / "metrics.jsonl", alone / "metrics.jsonl")
    ]
    assert [row for row in rows[0] if len(row) > 2] == rows[1]


def checkpoint(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    from safetensors.torch import load_file

    progress = read_progress(folder / "checkpoint.safetensors")
    progress = {key: value for key, value in progress.items() if key not in ("config", "run_id", "seconds")}
    return load_file(folder / "checkpoint.safetensors"), progress | {"seconds_to_solve": None}


def test_the_numbers_of_an_ntm(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", "--picture-every", 6, "--num-reads", 2)
    looks = numbers(run, "entropy/", "memory/")
    assert len(looks) == 2
    for look in looks:
        assert set(look) == {"entropy/read-head-1", "entropy/read-head-2", "entropy/write-head-1", "memory/slots_used"}
        assert all(0 <= look[key] <= 4 for key in look if key.startswith("entropy/"))
        assert 1 <= look["memory/slots_used"] <= 16
    rows = numbers(run, "gradient/")
    assert len(rows) == 4
    for row in rows:
        parts = ("controller", "read-heads", "write-heads", "output")
        assert set(row) == {f"gradient/{part}" for part in parts}
        assert all(value > 0 for value in row.values())


def test_the_gradient_of_the_parts_is_the_gradient_before_clipping(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", "--log-every", 1, "--clip-norm", 0.01)
    for row in read_metrics(run / "metrics.jsonl"):
        parts = [value for key, value in row.items() if key.startswith("gradient/")]
        assert sum(value**2 for value in parts) ** 0.5 == pytest.approx(row["train/gradient_norm"], rel=1e-5)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("memn2n-restarts", {"entropy/hop-1", "entropy/hop-2", "entropy/hop-3"}),
        ("kv", {"entropy/hop-1", "entropy/hop-2"}),
        ("entnet", {"gate/mean", "gate/open_share", "entropy/attention"}),
        ("ntm", {"entropy/read-head-1", "entropy/write-head-1", "memory/slots_used"}),
    ],
)
def test_the_numbers_on_stories(tmp_path: Path, name: str, keys: set[str]) -> None:
    run = trained_on_stories(tmp_path / "run", *story_runs.MODELS[name], "--picture-every", 3)
    looks = numbers(run, "entropy/", "gate/", "memory/")
    assert looks
    assert all(set(look) == keys for look in looks)
    assert all(np.isfinite(value) and value >= 0 for look in looks for value in look.values())
    if name == "memn2n-restarts":  # The first six updates are the linear start.
        assert len(looks) == len(list(run.glob("figures/training/*.png"))) - 2
    assert numbers(run, "gradient/")


def test_a_resumed_run_has_the_pictures_of_the_whole(tmp_path: Path) -> None:
    options = ["--picture-every", 2, "--cooldown-steps", 0]
    trained(tmp_path / "whole", *options)
    trained(tmp_path / "run", *options, "--steps", 8)
    pictures = tmp_path / "run" / "figures" / "training"
    (pictures / "step-000010.png").write_bytes(b"of a step that was lost in a crash")
    resumed = parse_train(["--resume", str(tmp_path / "run"), "--steps", "12"])
    trainer = make_trainer(resumed, RunFolder(tmp_path / "run"), "id")
    take_up(trainer.folder, trainer)
    assert [path.name for path in pictures.glob("step-00001*")] == []
    run_to_the_end(trainer)
    for path in (tmp_path / "whole" / "figures" / "training").iterdir():
        assert np.array_equal(pixels(pictures / path.name)[40:], pixels(path)[40:])  # below the title, the run's name


def test_stacked_seeds_are_looked_at_too(tmp_path: Path) -> None:
    runs = [tmp_path / f"s{seed}" for seed in (0, 1)]
    options = [*TINY, "--steps", "12", "--picture-every", "6"]
    configs = [parse_train(["copy", *options, "--seed", str(k), "--out", str(run)]) for k, run in enumerate(runs)]
    assert train_stacked(configs, "two") == set()
    for run in runs:
        assert [path.stem for path in sorted(run.glob("figures/training/*"))] == ["step-000006", "step-000012"]
        assert len(numbers(run, "memory/")) == 2
        assert len(numbers(run, "gradient/")) == 4


def test_failures_are_the_wrong_bits(tmp_path: Path) -> None:
    assert train(tmp_path / "run") == 0
    rows = rows_of(tmp_path / "run" / "failures.jsonl")
    tests = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert [row["length"] for row in rows] == [20, 20, 40, 40, 80, 80, 120, 120]
    for test in tests:
        wrong = [row["wrong_bits"] for row in rows if row["length"] == test["at"]["length"]]
        assert sum(wrong) / 2 == test["scores"]["wrong_bits_per_sequence"]
    for row in rows:
        different = [one != other for one, other in zip(row["target"], row["output"], strict=True)]
        assert sum(different) == row["wrong_bits"]
        assert row["scored_bits"] == len(row["target"].replace(" ", ""))
        assert row["first_wrong_step"] == row["length"] + 1 + different.index(True) // 9


def test_answers_are_those_of_the_test(tmp_path: Path) -> None:
    assert story_runs.train(tmp_path / "run", *story_runs.MODELS["memn2n-restarts"], "--test-questions", 70) == 0
    rows = rows_of(tmp_path / "run" / "answers.jsonl")
    (test,) = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    chosen = json.loads((tmp_path / "run" / "result.json").read_text())["selection"]["chosen"]
    assert [row["question_number"] for row in rows[:50]] == list(range(50))
    assert not any(row["right"] for row in rows[50:])
    wrong = sum(not row["right"] for row in rows)
    assert 100 * wrong / 70 == pytest.approx(test["each"]["error_percent"][chosen])
    for row in rows:
        assert row["right"] == (row["given"] == row["answer"])
        assert row["question"].endswith("?")
        assert 1 <= row["looked_at"] <= row["story"].count(".")
        assert 0 < row["weight"] <= 1
        assert 0 < row["probability"] <= 1


@pytest.mark.parametrize(("name", "looks"), [("entnet", True), ("ntm", False)])
def test_answers_of_models_without_attention(tmp_path: Path, name: str, looks: bool) -> None:
    assert story_runs.train(tmp_path / "run", *story_runs.MODELS[name], "--epochs", 1) == 0
    rows = rows_of(tmp_path / "run" / "answers.jsonl")
    assert len(rows) == 20
    assert all((row["looked_at"] is not None) == looks for row in rows)


def test_a_snapshot_shows_its_values(tmp_path: Path) -> None:
    values = np.array([[0.0, 1.0], [np.nan, 2.0]])
    (tmp_path / "map.png").write_bytes(snapshot("title", [[Panel("map", values, shades="greys", height=100)]]))
    drawn = pixels(tmp_path / "map.png")
    top, left = 16 + 30 + 20, 16
    quarters = [drawn[top + row, left + column] for row in (25, 75) for column in (COLUMN // 4, 3 * COLUMN // 4)]
    assert [tuple(one) for one in quarters] == [(255, 255, 255), (0, 0, 0), (255, 194, 77), (0, 0, 0)]
    long = Panel("named", values, names=["a sentence that is far too long for its place " * 3, "b"])
    (tmp_path / "named.png").write_bytes(snapshot("title", [[long]]))
    assert pixels(tmp_path / "named.png").shape[1] == 2 * 16 + LABEL + COLUMN


def test_bad_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path / "run", "--picture-every", 0) == 2
    assert "--picture-every must be at least 1, not 0" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
