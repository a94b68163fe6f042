"""Training a sequence model on a task: steps, validation, weight noise, and the cooldown once it is solved."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NotRequired

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm

from experiments.base.progress import Progress
from experiments.base.seeds import generator_for
from experiments.config.parts import TrainConfig
from experiments.domains.sequences.about import about
from experiments.domains.sequences.curriculum import Curriculum, CurriculumState
from experiments.domains.sequences.evaluation import evaluate, validation_batches
from experiments.domains.sequences.models import backend_line, make_model, training_lengths
from experiments.domains.sequences.pictures import pictured_sequence
from experiments.gradients.training import gradient_row
from experiments.runs.about import About
from experiments.runs.folder import RunFolder
from experiments.training.looks import Look, look_at_sequence
from experiments.training.optimizers import GravesRMSProp
from experiments.training.ranks import ranks
from experiments.training.solving import SolvingKept, SolvingLoop
from memnet import SequenceModule
from memnet.state import detach_state
from tasks import Batch, Task


class TrainerKept(SolvingKept):
    """The curriculum, and scores since the last row."""

    curriculum: CurriculumState
    losses: list[float]
    # Checkpoints of earlier versions have none: all tasks were scored in bits.
    scores: NotRequired[list[float]]
    norms: list[float]
    # Nor these: there was one beginning, and the last weights were kept.
    begun: NotRequired[list[int]]
    lowest_loss: NotRequired[float | None]


class Trainer(SolvingLoop[TrainConfig, SequenceModule]):
    """One run's training of a sequence model.

    config, task, folder: what to train, and where it is kept.
    """

    kept = TrainerKept

    def __init__(self, config: TrainConfig, task: Task, folder: RunFolder, run_id: str) -> None:
        """UserError for sizes that cannot be, or a device that is not there."""
        self._rows = ranks().share(config.batch_size)
        model = _new_model(config, task)
        model.backend, model.checkpoint_steps = config.backend, config.checkpoint_steps
        super().__init__(config, folder, run_id, model, _make_optimizer(config, model))
        self.task = task
        self.curriculum = Curriculum(config, training_lengths(config, task))
        self.validation = validation_batches(task, training_lengths(config, task), config.valid_sequences, config.seed)
        self._watched = pictured_sequence(task, training_lengths(config, task)[1])
        self._weights: list[Tensor] = list(model.parameters())
        self._clean = [torch.empty_like(weight) for weight in self._weights]
        self._noise = [torch.empty(weight.shape) for weight in self._weights]
        self._losses: list[float] = []
        self._scores: list[float] = []
        self._norms: list[float] = []
        self._told_backend: str | None = None
        self.begun = [0]
        self._lowest_loss: float | None = None
        self._best: list[Tensor] = []

    def about(self) -> About:
        """What is to be told of the run."""
        return about(self.config, self.task, parameters=self.parameters, last_step=self.last_step)

    def changing(self) -> dict[str, Any]:
        return super().changing() | {
            "curriculum": self.curriculum.state(),
            "losses": self._losses,
            "scores": self._scores,
            "norms": self._norms,
            "begun": self.begun,
            "lowest_loss": self._lowest_loss,
        }

    def carried(self) -> list[Tensor]:
        return self._best

    def carried_forms(self) -> list[Tensor]:
        return self._weights

    def carry_on(self, carried: Sequence[Tensor]) -> None:
        self._best = [tensor.to(self.device) for tensor in carried]

    def refusal(self, progress: dict[str, Any]) -> str | None:
        if self.curriculum.fits(progress["curriculum"]):
            return None
        return f"is of another training: its curriculum is at length {progress['curriculum']['limit']}"

    def put_back(self, progress: dict[str, Any]) -> None:
        super().put_back(progress)
        self.curriculum.restore(progress["curriculum"])
        self._losses, self._norms = progress["losses"], progress["norms"]
        self._scores = progress.get("scores", [loss / math.log(2) for loss in self._losses])
        self.begun, self._lowest_loss = progress.get("begun", [0]), progress.get("lowest_loss")

    def settle(self) -> None:
        """Give the model the weights that are to be tested."""
        if self._best:
            self._set_weights(self._best)

    @torch.no_grad()
    def _set_weights(self, weights: Iterable[Tensor]) -> None:
        for weight, new in zip(self._weights, weights, strict=True):
            weight.copy_(new)

    def _go_on_from(self, weights: Iterable[Tensor]) -> None:
        """Go on with other weights, of which the optimizer knows nothing."""
        self._set_weights(weights)
        for kept in self.optimizer.state.values():
            for tensor in kept.values():
                tensor.zero_()

    def _is_stuck(self) -> bool:
        """Whether these weights had their time and were not solved, and as much time is left."""
        after = self.config.restart_after
        if after is None or self.solved_step is not None:
            return False
        return self.step >= self.begun[-1] + after and self.step + after <= self.config.steps

    def _begin_anew(self) -> None:
        """Go on with weights that were never trained, drawn from the seed and the number of the beginning."""
        self._go_on_from(_new_model(self.config, self.task, len(self.begun)).parameters())
        self.begun.append(self.step)
        self.curriculum = Curriculum(self.config, training_lengths(self.config, self.task))
        self._lowest_loss, self._best = None, []

    def _train_step(self, progress: Progress) -> None:
        batch = self.begin_step()
        with self.weight_noise():
            loss = self._backpropagate(batch)
        if self._told_backend != self.model.backend_used:
            self._told_backend = self.model.backend_used
            progress.message(backend_line(self.model))
        self.end_step(batch, loss)

    def begin_step(self) -> Batch:
        """Make ready for the gradient of the next batch, and return this process's share of it."""
        length = self.curriculum.draw(self.generator)
        whole = self.task.sample(self.config.batch_size, length=length, generator=self.generator)
        batch = Batch(*(tensor[self._rows] for tensor in whole)).to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        return batch

    def end_step(self, batch: Batch, loss: float) -> None:
        """Update the weights by their gradients; NotFinite where that cannot be."""
        loss, scored = self._together(loss, float(batch.mask.sum()))
        self._note_gradients()
        norm = self._clip()
        self._losses.append(loss)
        self._scores.append(self.task.training_score(loss, scored / self.config.batch_size))
        self._norms.append(norm)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise self._not_finite(loss, norm)
        self.optimizer.step()
        self.step += 1
        if not self.curriculum.complete:
            self.curriculum.report(self.task.curriculum_score(loss, scored / self.config.batch_size))

    def _together(self, loss: float, scored: float) -> tuple[float, float]:
        """The batch's loss and scored steps from those of the shares; gives every weight the batch's gradient, too."""
        count = self.ranks.count
        if count > 1:
            gradients = [weight.grad for weight in self._weights if weight.grad is not None]
            self.ranks.add_up(gradients)
            torch._foreach_div_(gradients, count)
        losses, scored = self.ranks.sums([loss, scored], self.device)
        return losses / count, scored

    def _backpropagate(self, batch: Batch) -> float:
        """Give every weight its gradient, chunk by chunk where it is truncated; returns the loss."""
        loss, state = 0.0, None
        for chunk in _chunks(batch, self.config.truncate):
            logits, state = self.model(chunk.input, None if state is None else detach_state(state))
            part = self.task.loss(logits, chunk)
            part.backward()
            loss += part.item()
        return loss

    @contextmanager
    def weight_noise(self) -> Iterator[None]:
        """Move every weight by Gaussian noise; afterwards each is as before, with the gradient of the moved one."""
        if not self.config.weight_noise:
            yield
            return
        with torch.no_grad():
            for weight, clean, noise in zip(self._weights, self._clean, self._noise, strict=True):
                clean.copy_(weight)
                weight.add_(noise.normal_(generator=self.generator).to(self.device), alpha=self.config.weight_noise)
        try:
            yield
        finally:
            with torch.no_grad():
                for weight, clean in zip(self._weights, self._clean, strict=True):
                    weight.copy_(clean)

    def _clip(self) -> float:
        """Clip the gradient as configured; returns its norm before."""
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        norm = left = get_total_norm(gradients)
        if self.config.clip_value is not None:
            clip_grad_value_(self._weights, self.config.clip_value)
            left = get_total_norm(gradients)
        if self.config.clip_norm is not None:
            clip_grads_with_norm_(self._weights, self.config.clip_norm, left)
        return float(norm)

    def _due_row(self, progress: Progress) -> dict[str, Any]:
        row = super()._due_row(progress)
        every = self.config.gradient_flow_every
        if every is not None and self._due(every):
            row |= gradient_row(self.model, self.task, training_lengths(self.config, self.task)[1], self.config.seed)
        return row

    def _training_scores(self) -> dict[str, Any]:
        """Means since the last row, and what drove the last step."""
        losses, scores, norms = self._losses, self._scores, self._norms
        self._losses, self._scores, self._norms = [], [], []
        curve = self.task.curve.name
        return {
            "train/loss": sum(losses) / len(losses),
            f"train/{curve}": sum(scores) / len(scores),
            f"train/largest_{curve}": max(scores),
            "train/gradient_norm": sum(norms) / len(norms),
            "train/largest_gradient_norm": max(norms),
            "train/learning_rate": self.optimizer.param_groups[0]["lr"],
            "train/longest_length": self.curriculum.limit,
            **self._gradients,
        }

    def _look(self) -> Look:
        return look_at_sequence(self.model, self.task, self._watched)

    def _note_best(self, loss: float) -> None:
        if self.config.keep_best and (self._lowest_loss is None or loss < self._lowest_loss):
            self._lowest_loss, self._best = loss, [weight.detach().clone() for weight in self._weights]

    def _validate(self, progress: Progress) -> dict[str, Any]:
        scores = self.ranks.agree(lambda: evaluate(self.model, self.task, self.validation))
        criterion = self.task.criterion
        reached = scores[criterion.name]
        self._note_best(scores[self.task.curve.name])
        self._note_solved(reached, f"{reached:.3g} {criterion.unit} in validation", progress)
        if self._best and self.solved_step is not None and not self._solves(reached):
            progress.message(f"no longer solved, {reached:.3g} {criterion.unit}: back to the best weights")
            self._go_on_from(self._best)
        if self._is_stuck():
            progress.message(f"not solved after {self.step - self.begun[-1]:,} steps: begins again with new weights")
            self._begin_anew()
        return {f"valid/{name}": value for name, value in scores.items() if name != "sequences"}


def _new_model(config: TrainConfig, task: Task, beginning: int = 0) -> SequenceModule:
    """A model with weights drawn from the seed and the number of the beginning."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator_for("weights", config.seed, beginning).get_state())
        return make_model(config, task).to(config.device)


def _chunks(batch: Batch, steps: int | None) -> Iterator[Batch]:
    """The batch cut in time; the losses of the chunks sum to the loss of the whole."""
    time = batch.input.size(1)
    if steps is None or steps >= time:
        yield batch
        return
    for first in range(0, time, steps):
        end = min(first + steps, time)
        input, target, mask = (tensor[:, first:end] for tensor in (batch.input, batch.target, batch.mask))
        yield Batch(input, target, mask, (batch.lengths - first).clamp(0, end - first))


def _make_optimizer(config: TrainConfig, model: torch.nn.Module) -> torch.optim.Optimizer:
    if config.optimizer == "rmsprop":
        return GravesRMSProp(model.parameters(), lr=config.learning_rate, momentum=config.momentum)
    if config.optimizer == "plain-rmsprop":
        return torch.optim.RMSprop(model.parameters(), lr=config.learning_rate, alpha=0.9, momentum=config.momentum)
    if config.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), lr=config.learning_rate, momentum=config.momentum)
    return torch.optim.Adam(model.parameters(), lr=config.learning_rate, betas=(config.momentum, 0.999))
