"""The trainer with an objective that it has never heard of: a line, with something carried from step to step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from experiments.base.files import UserError
from experiments.base.progress import Progress
from experiments.base.seeds import generator_for
from experiments.config.form import Config
from experiments.runs.about import About
from experiments.runs.checkpoint import load_weights
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import MetricsFile, cut, read_metrics
from experiments.runs.tracking import Tracker
from experiments.training.objective import Objective, Piece, Row, mean
from experiments.training.optimizers import Gradients
from experiments.training.schedules import CoolDown, Halving, Schedule, WarmUpAndDown
from experiments.training.trainer import NotFinite, Trainer
from experiments.training.updates import Updates
from tests.configurations import configured
from tests.test_training import assert_same_run, die_at

CONFIG = configured("copy", steps=24, batch_size=4, log_every=3, valid_every=2, checkpoint_every=5, picture_every=None)


class Line(Objective[nn.Linear, Tensor]):
    """y = 2 x and what was seen before, in two pieces; validations say that step 14 is best."""

    restart_after, keep_best = 10, True

    def __init__(self, config: Config[Any]) -> None:
        super().__init__(config, None)
        self.schedule = CoolDown(config.training.steps, 4)
        self.updates = Updates(0.1, None, weight_noise=0.01, weight_average=config.training.weight_average)
        self.digest, self.others = "line", "another line"
        self.seen = torch.zeros(1)
        self.step = 0

    def new_model(self, beginning: int = 0) -> nn.Linear:
        model = nn.Linear(1, 1)
        for weight in model.parameters():
            weight.data.normal_(generator=generator_for("weights", 0, beginning))
        return model

    def draw(self, model: nn.Linear, step: int, generator: torch.Generator) -> Tensor:
        self.step = step + 1
        return torch.randn(4, 1, generator=generator)

    def pieces(self, model: nn.Linear, batch: Tensor) -> Iterator[Piece]:
        for input in batch.split(2):
            loss = (model(input) - 2 * input - self.seen).square().sum()
            yield Piece(loss, {"loss": loss.detach()})
            self.seen = self.seen + input.mean()

    def scores(self) -> Row:
        return {"loss": mean([one["loss"] for one in self.kept])}

    def validate(self, model: nn.Linear) -> Row:
        return {"loss": float(abs(self.step - 14)), "weight": model.weight.item()}

    def about(self, *, parameters: int, last_step: int) -> About:
        raise NotImplementedError

    def carried(self) -> Sequence[Tensor]:
        return [self.seen]

    def carried_forms(self, model: nn.Linear) -> Sequence[Tensor]:
        return [torch.zeros(1)]

    def carry_on(self, model: nn.Linear, carried: Sequence[Tensor]) -> None:
        (self.seen,) = carried or [torch.zeros(1)]


def trainer_of(folder: Path, keep_best: bool = True, average: float | None = None) -> Trainer[Line]:
    """A new run's training, or one that goes on with what is in the folder."""
    config = CONFIG.changed(out=str(folder), weight_average=average)
    objective = Line(config)
    objective.keep_best = keep_best
    return Trainer(config, objective, RunFolder(folder) if folder.exists() else RunFolder.create(config), "id")


def go_on(trainer: Trainer[Any]) -> None:
    with MetricsFile(trainer.folder.metrics) as metrics:
        trainer.train(metrics, Tracker("id"), Progress(1))


@pytest.mark.parametrize("average", [None, 0.7])
@pytest.mark.parametrize("keep_best", [True, False])
def test_any_objective_begins_again_keeps_its_best_and_goes_on_bit_for_bit(
    tmp_path: Path, keep_best: bool, average: float | None
) -> None:
    """What is validated is also what is tested: the weights, or their running mean."""
    whole, killed = (trainer_of(tmp_path / name, keep_best, average) for name in ("whole", "killed"))
    go_on(whole)
    assert (whole.model.weight.item() == whole.optimizer.averages()[0].item()) == (average is None)
    die_at(killed, 18)
    resumed = trainer_of(tmp_path / "killed", keep_best, average)
    resumed.restore()
    assert (resumed.step, resumed.begun) == (15, [0, 10])
    cut(resumed.folder.metrics, resumed.step)
    go_on(resumed)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")
    for trainer in (whole, resumed):
        step = 14 if keep_best else 24
        assert trainer.settle() == step
        rows = {row["step"]: row for row in read_metrics(trainer.folder.metrics)}
        assert trainer.model.weight.item() == rows[step]["valid/weight"]
        # Before its end a run has them, too.
        latest = nn.Linear(1, 1)
        load_weights(trainer.folder.checkpoint, latest)
        assert latest.weight.item() == rows[step]["valid/weight"]
        # What was best before it began again counts no more.
        assert rows[10]["valid/loss"] == 4


def losing(monkeypatch: pytest.MonkeyPatch, trainer: Trainer[Line], steps: Sequence[int], value: float) -> None:
    """Have the gradients of these steps be no numbers."""
    honest = trainer.optimizer.gather

    def gather() -> Gradients:
        gradients = honest()
        if trainer.step + 1 in steps:
            gradients.vectors[0][0] = value
        return gradients

    monkeypatch.setattr(trainer.optimizer, "gather", gather)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_an_update_whose_gradient_is_no_number_is_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: float
) -> None:
    whole, killed = (trainer_of(tmp_path / name, average=0.7) for name in ("whole", "killed"))
    after = dict[int, list[float]]()
    honest = whole.update

    def update(progress: Progress) -> None:
        honest(progress)
        after[whole.step] = [one.item() for one in (*whole.model.parameters(), *whole.optimizer.averages())]

    monkeypatch.setattr(whole, "update", update)
    losing(monkeypatch, whole, (4, 16, 17), value)
    go_on(whole)
    assert capsys.readouterr().err.count(f"the gradient's norm is {value}; the weights stay as they are") == 3
    assert whole.left_out == [4, 16, 17]
    assert [step for step in range(2, 25) if after[step] == after[step - 1]] == [4, 16, 17]
    losing(monkeypatch, killed, (4, 16, 17), value)
    die_at(killed, 18)
    resumed = trainer_of(tmp_path / "killed", average=0.7)
    resumed.restore()
    assert (resumed.step, resumed.left_out) == (15, [4])
    losing(monkeypatch, resumed, (16, 17), value)
    cut(resumed.folder.metrics, resumed.step)
    go_on(resumed)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")
    rows = {row["step"]: row for row in read_metrics(whole.folder.metrics)}
    assert [rows[step].get("train/left_out") for step in (3, 6, 18)] == [None, 1, 3]


def test_gradients_that_are_no_numbers_one_after_another_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(tmp_path / "run")
    losing(monkeypatch, trainer, (2, *range(4, 24)), math.inf)
    with pytest.raises(NotFinite, match=r"step 14: .*the gradient's norm inf"):
        go_on(trainer)
    assert trainer.left_out == [2, *range(4, 14)]


def test_the_best_weights_are_some_that_solve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong and loss by validation: no number is the best, and what solves is better than what does not."""
    told = iter([(1, float("nan")), (1, 0.05), (0, 0.07), (0, 0.06), *[(1, 0.01)] * 8])
    trainer = trainer_of(tmp_path / "run")
    objective = trainer.objective
    objective.restart_after = None

    def validate(model: nn.Linear) -> Row:
        wrong, loss = next(told)
        return {"loss": loss, "wrong": wrong, "weight": model.weight.item()}

    monkeypatch.setattr(objective, "validate", validate)
    monkeypatch.setattr(objective, "solves", lambda scores: scores["wrong"] == 0)
    monkeypatch.setattr(objective, "told", lambda scores: "")
    go_on(trainer)
    assert trainer.settle() == 8
    rows = {row["step"]: row for row in read_metrics(trainer.folder.metrics)}
    assert trainer.solved_step == 6
    assert trainer.model.weight.item() == rows[8]["valid/weight"]


def test_of_other_data_nothing_is_put_back(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path / "run")
    trainer.save()
    trainer.objective.digest = "curve"
    with pytest.raises(UserError, match="was trained on another line"):
        trainer.restore()


@pytest.mark.parametrize(
    ("schedule", "rates", "longer"),
    [
        (CoolDown(8, 4), [1, 1, 1, 1, 1, 0.75, 0.5, 0.25], ("--steps", "16")),
        (CoolDown(3, 4), [1, 2 / 3, 1 / 3], ("--steps", "6")),
        (WarmUpAndDown(8, 4, 2), [0.25, 0.5, 0.75, 1, 1, 1, 1, 0.5], ("--steps", "16")),
        (WarmUpAndDown(4, 0, 8), [1, 0.75, 0.5, 0.25], ("--steps", "8")),
        (Halving(2, 1, 3, 2), [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5], ("--epochs", "6")),
        (Halving(2, 0, 2, None), [1, 1, 1, 1], ("--epochs", "4")),
    ],
    ids=str,
)
def test_schedules(schedule: Schedule, rates: list[float], longer: tuple[str, ...]) -> None:
    assert schedule.last_step(None) == len(rates)
    assert [schedule.rate(step, None) for step in range(len(rates))] == pytest.approx(rates)
    assert schedule.longer(len(rates), None) == longer


def test_schedules_of_what_is_solved() -> None:
    cooling, halving = CoolDown(20, 4), Halving(2, 0, 9, 4)
    assert [cooling.last_step(solved) for solved in (3, 16, 18)] == [7, 20, 20]
    assert [cooling.rate(step, 3) for step in (2, 3, 5, 7)] == [1, 1, 0.5, 0]
    assert [cooling.longer(20, solved) for solved in (3, 18)] == [(), ("--steps", "40")]
    assert (halving.last_step(5), halving.longer(5, 5)) == (5, ())
