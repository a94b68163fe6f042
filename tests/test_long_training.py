"""The tasks of long dependencies from training to every place that shows them, each with its own score."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.__main__ import main
from experiments.base.curves import columns
from experiments.base.progress import Progress
from experiments.base.seeds import generator_for
from experiments.config.form import Config, started
from experiments.dashboard.collect import Collector
from experiments.domains.sequences.models import make_model
from experiments.domains.sequences.training import SequenceObjective, chunks_of
from experiments.figures.curves import learning_curve_figure
from experiments.figures.lengths import length_figure
from experiments.figures.memory import Episode, memory_figure
from experiments.figures.style import Measure
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import MetricsFile, read_metrics
from experiments.runs.tracking import Tracker
from experiments.training.optimizers import SGD, RMSProp
from experiments.training.running import NOT_SOLVED, make_trainer, take_up
from experiments.training.stacking import Stack
from experiments.training.trainer import Trainer
from memnet import LSTM, NTM, RNN
from tasks import TASKS
from tests.configurations import configured
from tests.figure_parts import crosses, panels, words
from tests.unpainted import drawn

LONG = ("adding", "copy-memory", "temporal-order", "agreement")
SHORT = {"adding": 6, "copy-memory": 2, "temporal-order": 6, "agreement": 7}
MODELS = {"adding": "rnn-relu", "copy-memory": "gru", "temporal-order": "rnn-tanh", "agreement": "lstm"}
TINY = "--hidden-size 12 --batch-size 4 --valid-sequences 4 --test-sequences 2 --log-every 2 --valid-every 2 --steps 6"
Capture = pytest.CaptureFixture[str]


def train(task: str, out: Path, *more: object) -> list[str]:
    length = SHORT[task]
    args = ["train", task, *TINY.split(), "--min-length", length, "--max-length", length, "--tracker", "none"]
    return [*map(str, [*args, "--out", out, *more])]


# Learning


@pytest.mark.parametrize("task_name", LONG)
def test_a_small_batch_is_learned(task_name: str) -> None:
    task = TASKS[task_name]()
    batch = task.sample(4, length=SHORT[task_name], generator=torch.Generator().manual_seed(0))
    baseline = task.baselines(SHORT[task_name])[f"baseline_{task.curve.name}"]
    torch.manual_seed(0)
    model = LSTM(task.input_size, task.output_size, hidden_size=32)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    scored = float(batch.mask.sum()) / len(batch.mask)
    for _ in range(300):
        optimizer.zero_grad()
        loss = task.loss(model(batch.input)[0], batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if task.training_score(loss.item(), scored) < 0.002 * baseline:
            break
    assert task.metrics(model(batch.input)[0], batch)["exact"].all()


def test_adding_at_six_steps_is_solved(tmp_path: Path, capsys: Capture) -> None:
    model = ["--model", "lstm", "--hidden-size", 32, "--batch-size", 32, "--learning-rate", 0.02]
    steps = ["--steps", 900, "--cooldown-steps", 100, "--valid-every", 50, "--valid-sequences", 200]
    assert main(train("adding", tmp_path / "run", *model, *steps)) == 0
    told = capsys.readouterr().out
    assert "adding: solved after" in told
    rows = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert [row["at"]["length"] for row in rows] == [6, 400]
    valid = [row["valid/mse"] for row in read_metrics(tmp_path / "run" / "metrics.jsonl") if "valid/mse" in row]
    assert valid[0] > 0.1
    assert min(valid) < 0.01


# Runs and what is made of them


@pytest.mark.parametrize("task_name", LONG)
@drawn()
def test_runs_are_told_in_the_tasks_own_score(task_name: str, tmp_path: Path, capsys: Capture) -> None:
    task = TASKS[task_name]()
    for seed in range(2):
        assert main(train(task_name, tmp_path / f"s{seed}", "--model", MODELS[task_name], "--seed", seed)) == NOT_SOLVED
    told = capsys.readouterr()
    assert f"  {task.curve.heading} " in told.err
    head = next(line for line in told.out.splitlines() if line.lstrip().startswith("length"))
    assert task.criterion.heading in head
    assert "baseline" in head
    tests = json.loads((tmp_path / "s0" / "evaluation.json").read_text())
    own = next(row for row in tests if row["at"]["length"] == SHORT[task_name])
    told_of = {f"baseline_{name}": score for name, score in own["baselines"].items()} | own["scores"]
    assert told_of.items() >= task.baselines(SHORT[task_name]).items()
    rows = read_metrics(tmp_path / "s0" / "metrics.jsonl")
    assert all(f"train/{task.curve.name}" in row and f"valid/{task.criterion.name}" in row for row in rows)
    assert not any("bits" in key for row in [*rows, *(test["scores"] for test in tests)] for key in row)
    pictures = {path.name for path in (tmp_path / "s0" / "figures").iterdir()}
    assert {"learning-curve.png", "error-by-length.png", f"memory-{SHORT[task_name]}.png"} <= pictures

    runs = [str(tmp_path / f"s{seed}") for seed in range(2)]
    assert main(["evaluate", runs[0], "--length", "9", "--sequences", "3"]) == 0
    assert main(["summarize", *runs, "--out", str(tmp_path / "both")]) == 0
    text = (tmp_path / "both.md").read_text()
    assert f"{task.criterion.heading}, mean ± sd | baseline |" in text
    assert f"{task.criterion.unit} in validation" in text
    assert "Published, with other settings than these: " in text
    assert json.loads((tmp_path / "both.json").read_text())["tests"][0]["scores"][task.curve.name]["mean"] >= 0
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")

    assert main(["report", str(tmp_path)]) == 0
    report = capsys.readouterr().out
    shown = task.curve.words.removeprefix("cross-entropy, ")
    assert f"### {task_name}: {shown}, by length" in report
    assert f"{task.criterion.unit}. A seed that never" in report

    data = Collector(tmp_path, tmp_path).read()
    (group,) = data["groups"]
    assert (group["score"], group["unit"], group["words"]) == (task.curve.name, task.curve.unit, shown)
    assert group["tests"][0]["scores"][task.curve.name]["middle"][0] is not None
    assert all(run["valid"] is not None and run["curves"]["train"][0] for run in data["runs"])


def test_solving_is_measured_by_the_tasks_own_score(tmp_path: Path) -> None:
    """A limit above any score is reached at the first validation, also as a run that has not ended is read."""
    args = train("temporal-order", tmp_path / "run", "--model", "lstm", "--solved-at", 101, "--cooldown-steps", 1)
    assert main(args) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["sequences_to_solve"] == 2 * 4
    (tmp_path / "run" / "result.json").unlink()
    (run,) = Collector(tmp_path, tmp_path).read()["runs"]
    assert run["to_solve"] == 2 * 4


def test_an_ntm_runs_natively_and_other_models_refuse(tmp_path: Path, capsys: Capture) -> None:
    ntm = ["--num-slots", 8, "--slot-size", 4]
    assert main(train("copy-memory", tmp_path / "native", *ntm, "--backend", "native")) == NOT_SOLVED
    assert main(train("copy-memory", tmp_path / "eager", *ntm, "--backend", "eager")) == NOT_SOLVED
    native, eager = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("native", "eager"))
    for one, other in zip(native, eager, strict=True):
        assert one["valid/nats_per_step"] == pytest.approx(other["valid/nats_per_step"], rel=1e-4)
    capsys.readouterr()
    assert main(train("adding", tmp_path / "stack", "--model", "neural-stack", "--backend", "native")) == 2
    assert capsys.readouterr().err.startswith('error: backend "native" has no operator for NeuralStack')
    assert not (tmp_path / "stack").exists()


def trained(tmp_path: Path, *more: object) -> tuple[Trainer[SequenceObjective], Config[Any]]:
    """A run stopped after three of its six steps, with a row of metrics half way."""
    from experiments.config.command_line import parse_train

    config = parse_train(train("agreement", tmp_path / "run", "--model", "gru", "--min-length", 1, *more)[1:])
    folder = RunFolder.create(config)
    trainer = make_trainer(config, folder, "id")
    take_up(folder, trainer)
    with MetricsFile(folder.metrics) as metrics, Progress(1) as progress:
        for _ in range(3):
            trainer.update(progress)
            trainer.record(metrics, Tracker("id"), progress)
    trainer.save()
    return trainer, config


def test_stopping_changes_nothing(tmp_path: Path) -> None:
    trained(tmp_path)
    run = tmp_path / "run"
    assert main(["train", "--resume", str(run)]) == NOT_SOLVED
    whole = train("agreement", tmp_path / "whole", "--model", "gru", "--min-length", 1)
    assert main(whole) == NOT_SOLVED
    first, second = (read_metrics(path / "metrics.jsonl") for path in (run, tmp_path / "whole"))
    for one, other in zip(first, second, strict=True):
        assert {key: value for key, value in one.items() if not key.startswith("perf/")} == {
            key: value for key, value in other.items() if not key.startswith("perf/")
        }


@pytest.mark.parametrize("task_name", LONG)
def test_seeds_together_and_chunks_have_the_gradient_of_the_whole(task_name: str) -> None:
    task = TASKS[task_name]()
    models = []
    for seed in range(2):
        torch.manual_seed(seed)
        models.append(LSTM(task.input_size, task.output_size, hidden_size=5).double())
    lengths = (SHORT[task_name], SHORT[task_name] + 3)
    drawn = [task.sample(3, length=length, generator=generator_for("train", length)) for length in lengths]
    batches = [one._replace(input=one.input.double(), target=one.target.double()) for one in drawn]
    expected = []
    for model, batch in zip(models, batches, strict=True):
        loss = task.loss(model(batch.input)[0], batch)
        expected.append((loss.item(), torch.autograd.grad(loss, list(model.parameters()))))
        logits = model(batch.input)[0]
        parts, first = [], 0
        for chunk in chunks_of(batch, 4):
            parts.append(task.loss(logits[:, first : first + chunk.input.size(1)], chunk).item())
            first += chunk.input.size(1)
        assert sum(parts) == pytest.approx(loss.item())
    objective = SequenceObjective(configured(task_name, valid_sequences=1), task)
    counted = Stack(models, objective).backpropagate(batches)
    for model, counts, (alone, gradients) in zip(models, counted, expected, strict=True):
        assert counts["loss"].item() == pytest.approx(alone)
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            torch.testing.assert_close(parameter.grad, gradient)


# Settings


def test_recipes_of_the_papers_hold_their_settings() -> None:
    irnn, lstm = started("adding", "paper/adding-irnn"), started("adding", "paper/adding-lstm")
    for config in (irnn, lstm):
        assert (
            config.model.options["hidden_size"],
            config.model.options["num_layers"],
            config.training.batch_size,
            config.training.optimizer,
        ) == (100, 1, 16, "sgd")
    model = make_model(irnn)
    assert isinstance(model, RNN)
    assert torch.equal(model.cell.weight_hh, torch.eye(100))
    forget = make_model(lstm).cell.bias_ih[100:200]
    assert (forget > 9.8).all()
    assert started("copy-memory", "paper/copy-memory-lstm").training.optimizer == "plain-rmsprop"
    assert isinstance(make_model(started("copy-memory")), NTM)


@pytest.mark.parametrize(("name", "kind"), [("sgd", SGD), ("plain-rmsprop", RMSProp)])
def test_optimizers_are_those_asked_for_and_resume(name: str, kind: type[SGD | RMSProp], tmp_path: Path) -> None:
    trainer, config = trained(tmp_path, "--optimizer", name, "--momentum", 0.5)
    assert isinstance(trainer.optimizer, kind)
    assert trainer.optimizer.momentum == 0.5
    other = make_trainer(config, trainer.folder, "id")
    other.restore()
    pairs = zip(trainer.optimizer.state().values(), other.optimizer.state().values(), strict=True)
    assert all(torch.equal(one["momentum_buffer"], two["momentum_buffer"]) for one, two in pairs)


def test_the_identity_is_for_plain_recurrent_networks(tmp_path: Path, capsys: Capture) -> None:
    start = started("adding").changed(hidden_size=6)
    for name in ("rnn-tanh", "rnn-relu"):
        config = start.changed(model=name).changed(recurrent_init="identity")
        assert torch.equal(make_model(config).cell.weight_hh, torch.eye(6))
    assert main(train("adding", tmp_path / "run", "--model", "gru", "--recurrent-init", "identity")) == 2
    assert capsys.readouterr().err == (
        "error: gru on adding has no option --recurrent-init: it is one of --model rnn-tanh, --model rnn-relu\n"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("task_name", "length", "least"), [("adding", 1, 2), ("temporal-order", 3, 4)])
def test_lengths_that_cannot_be_are_refused(
    task_name: str, length: int, least: int, tmp_path: Path, capsys: Capture
) -> None:
    args = train(task_name, tmp_path / "run", "--model", "lstm", "--min-length", length, "--max-length", 20)
    assert main(args) == 2
    assert f"length must be a whole number of at least {least}, got {length}" in capsys.readouterr().err


# Figures


def test_a_learning_curve_has_the_baseline_and_the_tasks_words() -> None:
    mse = Measure("mse", "mean squared error", "mse")
    rows = [{"sequences": 1000 * k, "train/mse": 0.2 / k, "valid/mse": 0.18 / k**2} for k in range(1, 9)]
    figure = learning_curve_figure(rows, measure=mse, criterion=mse, solved_at=0.01, baseline=1 / 6)
    text = words(figure)
    assert figure.axes[0].get_ylabel() == "mean squared error"
    assert "last validation: 0.00281 mse" in text
    assert "solved at 5 thousand sequences: under 0.01 mse in validation" in text
    assert "without learning, 0.1667 mse" in text
    assert any(list(line.get_ydata()) == [1 / 6, 1 / 6] for line in figure.axes[0].lines)


def test_errors_over_length_have_their_baselines() -> None:
    task = TASKS["copy-memory"]()
    rows = [
        {"length": length, "line": "lstm", "count": 10, "nats_per_step": 0.1 / length} | task.baselines(length)
        for length in (10, 100)
    ]
    figure = length_figure(rows, (10, 10), "blanks", errors=[Measure("nats_per_step", "nats", "nats")])
    dotted = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert len(figure.axes) == len(dotted) == 1
    expected = [(length, 10 * math.log(8) / (length + 20)) for length in (10, 100)]
    assert dotted[0].get_xydata() == pytest.approx(columns_of(expected))
    assert "without learning" in words(figure)


def columns_of(pairs: list[tuple[float, float]]) -> np.ndarray:
    return np.stack(columns(pairs), axis=1)


def test_wrong_symbols_are_marked_at_the_right_ones() -> None:
    task = TASKS["copy-memory"]()
    batch = task.sample(1, length=2, generator=torch.Generator().manual_seed(0))
    logits = 9 * batch.target
    logits[0, 14] = 0
    right = int(batch.target[0, 14].argmax())
    arrays = [part[0].numpy() for part in (batch.input, batch.target, task.predict(logits), batch.mask)]
    episode = Episode(*arrays, answer="symbols")
    assert episode.wrong.sum() == 1
    figure = memory_figure(episode)
    assert crosses(panels(figure)["Outputs"]) == {(14, right)}
    assert "1 of 22 scored symbols wrong" in words(figure)
    assert "wrong symbol" in words(figure)


def test_numbers_have_a_scale_of_their_own() -> None:
    task = TASKS["adding"]()
    batch = task.sample(1, length=8, generator=torch.Generator().manual_seed(0))
    outputs = batch.target + 3 * batch.mask.unsqueeze(-1) - 0.5
    arrays = [part[0].numpy() for part in (batch.input, batch.target, outputs, batch.mask)]
    figure = memory_figure(Episode(*arrays, answer="numbers"))
    assert "mean squared error 6.25" in words(figure)
    named = panels(figure)
    assert named["Targets"].images[0].get_clim() == named["Outputs"].images[0].get_clim()
    assert named["Outputs"].images[0].get_clim()[1] == pytest.approx(float(outputs.max()))
    with pytest.raises(ValueError, match="these look like logits"):
        Episode(*arrays)
