"""Training on stories: all restarts as one computation, the linear start, the halving of the learning rate."""

import math
from typing import Any

import torch
from torch import Tensor

from experiments.base.files import UserError
from experiments.base.progress import Progress
from experiments.domains.stories.config import StoryConfig
from experiments.domains.stories.data import Questions, StoryData, joined
from experiments.domains.stories.loading import write_vocabulary
from experiments.domains.stories.models import make_models
from experiments.domains.stories.restarts import by_length, clip_gradients, stack, train_logits, unstack
from experiments.domains.stories.testing import losses_of, measure
from experiments.runs.checkpoint import Kept
from experiments.runs.folder import RunFolder
from experiments.training.looks import Look, look_at_questions
from experiments.training.loop import TrainingLoop
from experiments.training.optimizers import GravesRMSProp
from experiments.training.ranks import ranks
from memnet import MemN2N
from memnet.story import StoryModel

SHOWN = {"train/loss": "loss", "train/error_percent": "train error %", "valid/error_percent": "valid error %"}

# Validation questions that a look is about, and of how many of them there is a picture.
_WATCHED, _DRAWN = 32, 2


def epoch_updates(config: StoryConfig, data: StoryData) -> int:
    """Updates of an epoch; UserError where a batch holds more than all questions."""
    if data.epoch is None:
        return config.epoch_updates
    if data.epoch < config.batch_size:
        raise UserError(f"--batch-size {config.batch_size} is above the {data.epoch} training questions")
    return data.epoch // config.batch_size


class StoryKept(Kept):
    """The digest of the stories, sums since the last row over the restarts, and when it was solved."""

    stories: str
    updates: int
    losses: list[float]
    wrong: list[int]
    norms: list[float]
    solved_at: int | None


class StoryTrainer(TrainingLoop[StoryConfig, StoryModel]):
    """One run's training of the restarts of a model of stories; the model is a stacked one, see restarts.py.

    config, data, folder: what to train, on what, and where it is kept.
    """

    kept = StoryKept

    def __init__(self, config: StoryConfig, data: StoryData, folder: RunFolder, run_id: str) -> None:
        """UserError for sizes that cannot be."""
        self._rows = ranks().share(config.batch_size)
        if config.length_groups > self._rows.stop - self._rows.start:
            raise UserError(f"--length-groups {config.length_groups} is above a process's share of --batch-size")
        model = stack(make_models(config, data.sizes)).to(config.device).train()
        super().__init__(config, folder, run_id, model, _make_optimizer(config, model))
        self.data = data
        self.epoch_updates = epoch_updates(config, data)
        self._digest = data.digest()
        share = -(-_WATCHED // len(data.valid))
        self._watched = joined([questions.rows(slice(share)) for questions in data.valid.values()])
        self._lost: set[int] = set()
        self._solved_at: int | None = None
        self._forget()

    @property
    def last_step(self) -> int:
        """The step after which training ends."""
        if self._solved_at is not None:
            return self._solved_at
        return (self.config.linear_start_epochs + self.config.epochs) * self.epoch_updates

    @property
    def restarts(self) -> int:
        return self.config.restarts

    @property
    def longer(self) -> tuple[str, ...]:
        epochs = self.step // self.epoch_updates - self.config.linear_start_epochs
        return () if self._solved_at is not None else ("--epochs", str(2 * epochs))

    def keep_data(self) -> None:
        write_vocabulary(self.folder, self.data)

    @property
    def linear_start(self) -> bool:
        """Whether the next step leaves the softmax of the hops out."""
        return self.step < self.config.linear_start_epochs * self.epoch_updates

    @property
    def learning_rate(self) -> float:
        """The rate of the next step: halved at the beginning of epochs halve_every, 2 halve_every, ..., from 1."""
        if self.linear_start or self.config.halve_every is None:
            return self.config.learning_rate
        epoch = self.step // self.epoch_updates - self.config.linear_start_epochs + 1
        return float(self.config.learning_rate * 0.5 ** (epoch // self.config.halve_every))

    def _state_word(self) -> str:
        return "" if self._solved_at is None else "solved"

    def changing(self) -> dict[str, Any]:
        return {
            "stories": self._digest,
            "updates": self._updates,
            "losses": self._losses,
            "wrong": self._wrong,
            "norms": self._norms,
            "solved_at": self._solved_at,
        }

    def refusal(self, progress: dict[str, Any]) -> str | None:
        if progress["stories"] != self._digest:
            return f"was trained on other stories than {self.config.babi_data} holds"
        if {len(progress[name]) for name in ("losses", "wrong", "norms")} != {self.restarts}:
            return f"is of another training: its sums are not those of {self.restarts} restarts"
        return None

    def put_back(self, progress: dict[str, Any]) -> None:
        self._updates = progress["updates"]
        self._losses, self._wrong, self._norms = progress["losses"], progress["wrong"], progress["norms"]
        self._solved_at = progress["solved_at"]

    def _train_step(self, progress: Progress) -> None:
        config = self.config
        batch = self.data.draw(config.restarts * config.batch_size, self.generator)
        times = self._times(batch)
        batch, times = self._share(batch, times)
        batch = batch.to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        losses, wrong = torch.zeros(config.restarts), torch.zeros(config.restarts, dtype=torch.int64)
        for part, ages in by_length(batch, times, config.restarts, config.length_groups):
            logits = train_logits(self.model, config.restarts, part, ages)
            loss = losses_of(logits, part)
            loss.sum().backward()
            losses += loss.detach().cpu()
            wrong += (logits.argmax(-1) != part.answer.view(config.restarts, -1)).sum(1).cpu()
        losses, wrong = self._together(losses, wrong)
        self._note_gradients(config.restarts)
        norms = clip_gradients(list(self.model.parameters()), config.restarts, config.clip, config.clip_norm)
        self._count(losses.tolist(), wrong.tolist(), norms.tolist(), progress)
        self.optimizer.step()
        self.step += 1
        progress.update({"step": self.step}, self.sequences)

    def _share(self, batch: Questions, times: Tensor | None) -> tuple[Questions, Tensor | None]:
        """This process's questions of every restart."""
        if self.ranks.count == 1:
            return batch, times
        index = torch.arange(len(batch.answer)).view(self.config.restarts, -1)[:, self._rows].flatten()
        rows = batch.rows(index)
        return rows, None if times is None else times[index, : rows.story.size(1)]

    def _together(self, losses: Tensor, wrong: Tensor) -> tuple[Tensor, Tensor]:
        """Sums over the batch from those over the shares; gives every weight the batch's gradient, too."""
        if self.ranks.count > 1:
            parameters = [one.grad for one in self.model.parameters() if one.grad is not None]
            losses, wrong = losses.to(self.device), wrong.to(self.device)
            self.ranks.add_up([*parameters, losses, wrong])
        return losses.cpu(), wrong.cpu()

    def _times(self, batch: Questions) -> Tensor | None:
        """Ages of the sentences for a MemN2N, whose noise the trainer draws; sets its linear start too."""
        if not isinstance(self.model, MemN2N):
            return None
        self.model.linear_start = self.linear_start
        return self.model.draw_times(batch.lengths, batch.story.size(1), self.generator).to(self.device)

    def _count(self, losses: list[float], wrong: list[int], norms: list[float], progress: Progress) -> None:
        """Add an update to the sums since the last row; NotFinite once no restart is left."""
        for restart in range(self.config.restarts):
            self._losses[restart] += losses[restart]
            self._wrong[restart] += wrong[restart]
            self._norms[restart] += norms[restart]
            if restart not in self._lost and not math.isfinite(losses[restart]):
                self._lost.add(restart)
                progress.message(
                    f"step {self.step + 1}: the loss of restart {restart} is {losses[restart]}; it is lost"
                )
        self._updates += 1
        if not any(map(math.isfinite, losses)):
            raise self._not_finite(losses[0], norms[0])

    def _forget(self) -> None:
        """Begin the sums anew."""
        self._updates = 0
        self._losses, self._norms = [0.0] * self.config.restarts, [0.0] * self.config.restarts
        self._wrong = [0] * self.config.restarts

    def _due_row(self, progress: Progress) -> dict[str, Any]:
        row: dict[str, Any] = {}
        if self._due(self.config.valid_every):
            row |= self._validate(progress)
            if self.config.stop_when_solved and row["valid/lowest_error_percent"] == 0:
                self._solved_at = self.step
        if self._due(self.config.log_every):
            row = self._training_scores() | row
        return row

    def _training_scores(self) -> dict[str, Any]:
        """Means since the last row over the restarts that are not lost, the best of them, and what drove the step."""
        questions = self._updates * self.config.batch_size
        alive = [restart for restart, loss in enumerate(self._losses) if math.isfinite(loss)]
        losses = [self._losses[restart] / questions for restart in alive]
        errors = [100 * self._wrong[restart] / questions for restart in alive]
        row = {
            "epoch": self.step / self.epoch_updates,
            "train/loss": _mean(losses),
            "train/error_percent": _mean(errors),
            "train/lowest_error_percent": min(errors),
            "train/gradient_norm": _mean([self._norms[restart] / self._updates for restart in alive]),
            "train/learning_rate": self.optimizer.param_groups[0]["lr"],
            "train/linear_start": isinstance(self.model, MemN2N) and self.model.linear_start,
            "train/restarts": len(alive),
            **self._gradients,
        }
        self._forget()
        return row

    def _look(self) -> Look:
        """Of several restarts the first is looked at."""
        restarts = self.config.restarts
        model = self.model if restarts == 1 else unstack(self.model, restarts, 0)
        return look_at_questions(model, self.data.vocabulary, self._watched, _DRAWN)

    def _validate(self, progress: Progress) -> dict[str, Any]:
        """Means over the tasks and restarts, and the best restart."""
        valid = self.data.valid.values()
        scores = self.ranks.agree(lambda: [measure(self.model, self.config.restarts, one) for one in valid])
        errors = [_mean(list(column)) for column in zip(*(error for error, _ in scores), strict=True)]
        losses = [_mean(list(column)) for column in zip(*(loss for _, loss in scores), strict=True)]
        return {
            "valid/loss": _mean(losses),
            "valid/error_percent": _mean(errors),
            "valid/lowest_error_percent": min(errors),
        }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _make_optimizer(config: StoryConfig, model: StoryModel) -> torch.optim.Optimizer:
    """Each works element by element, so that restarts stay independent."""
    if config.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), lr=config.learning_rate)
    if config.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    return GravesRMSProp(model.parameters(), lr=config.learning_rate)
