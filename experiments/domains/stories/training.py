"""Training on stories: all restarts as one computation, the linear start, the halving of the learning rate."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypedDict

import torch
from torch import Tensor

from experiments.base.files import UserError
from experiments.domains.stories.about import about
from experiments.domains.stories.data import Questions, StoryData, joined
from experiments.domains.stories.loading import write_vocabulary
from experiments.domains.stories.looks import look_at_questions
from experiments.domains.stories.models import make_models
from experiments.domains.stories.options import StoryConfig
from experiments.domains.stories.restarts import by_length, stack, train_logits, unstack
from experiments.domains.stories.testing import losses_of, measure
from experiments.runs.about import About
from experiments.runs.folder import RunFolder
from experiments.training.looks import Look
from experiments.training.objective import Objective, Piece, Row, added, mean
from experiments.training.ranks import ranks
from experiments.training.schedules import Halving
from experiments.training.updates import UpdatesByCopy
from memnet.abilities import DrawsAges, StartsLinear
from memnet.story import StoryModel

# Validation questions that a look is about, and of how many of them there is a picture.
_WATCHED, _DRAWN = 32, 2


class _Update(TypedDict):
    """By restart."""

    loss: list[float]
    wrong: list[int]
    norm: list[float]


class _State(TypedDict):
    kept: list[_Update]


class Asked(NamedTuple):
    """A batch: questions, those of one restart after those of the other; ages of the sentences, if they are drawn."""

    questions: Questions
    times: Tensor | None


class StoryObjective(Objective[StoryModel, Asked]):
    """Questions about stories; every restart has its own. The model is a stacked one, see restarts.py."""

    config: StoryConfig
    data: StoryData
    form = _State
    schedule: Halving
    shown: Mapping[str, str] = {
        "train/loss": "loss",
        "train/error_percent": "train error %",
        "valid/error_percent": "valid error %",
    }

    def __init__(self, config: StoryConfig, data: StoryData) -> None:
        """UserError for sizes that cannot be."""
        super().__init__(config, data)
        self.training = training = config.training
        rows = ranks().share(training.batch_size)
        if training.length_groups > rows.stop - rows.start:
            told = f"--length-groups {training.length_groups}"
            raise UserError(f"{told} is above a process's share of --batch-size")
        self.schedule = Halving(
            data.epoch_updates(training.batch_size), training.linear_start_epochs, training.epochs, training.halve_every
        )
        self.updates = UpdatesByCopy(
            training.learning_rate,
            training.clip_norm,
            optimizer=training.optimizer,
            momentum=0.0 if training.optimizer == "sgd" else 0.9,
            copies=training.restarts,
            scope=training.clip,
        )
        self.copies = training.restarts
        self.digest, self.others = data.digest(), f"other stories than {data.name} now holds"
        share = -(-_WATCHED // len(data.valid))
        self._watched = joined([questions.rows(slice(share)) for questions in data.valid.values()])
        self._linear = False

    @classmethod
    def not_stacked(cls, config: StoryConfig) -> str | None:
        return f"{super().not_stacked(config)}; --restarts stacks initialisations within a run"

    @property
    def title(self) -> str:
        restarts = f", {self.copies} restarts" if self.copies > 1 else ""
        return f"{self.config.label}, {self.data.name}{restarts}"

    def keep_data(self, folder: RunFolder) -> None:
        write_vocabulary(folder, self.data)

    def new_model(self, beginning: int = 0) -> StoryModel:
        return stack(make_models(self.config, self.data.sizes, beginning)).to(self.device).train()

    def about(self, *, parameters: int, last_step: int) -> About:
        return about(self.config, self.data.name, parameters=parameters, last_step=last_step)

    def draw(self, model: StoryModel, step: int, generator: torch.Generator) -> Asked:
        """Ages of sentences are drawn here, for a model that takes them; a linear start is set, too."""
        questions = self.data.draw(self.copies * self.training.batch_size, generator)
        if isinstance(model, StartsLinear):
            self._linear = model.linear_start = step < self.schedule.first_steps
        if not isinstance(model, DrawsAges):
            return Asked(questions, None)
        return Asked(questions, model.draw_times(questions.lengths, questions.story.size(1), generator))

    def share(self, batch: Asked, rows: slice) -> Asked:
        index = torch.arange(len(batch.questions.answer)).view(self.copies, -1)[:, rows].flatten()
        questions, times = batch.questions.rows(index), batch.times
        return Asked(questions, None if times is None else times[index, : questions.story.size(1)])

    def pieces(self, model: StoryModel, batch: Asked) -> Iterator[Piece]:
        """Stories of like length."""
        questions, times = batch.questions.to(self.device), batch.times
        times = None if times is None else times.to(self.device)
        for part, ages in by_length(questions, times, self.copies, self.training.length_groups):
            logits = train_logits(model, self.copies, part, ages)
            losses = losses_of(logits, part)
            wrong = (logits.argmax(-1) != part.answer.view(self.copies, -1)).sum(1)
            yield Piece(losses.sum(), {"loss": losses.detach(), "wrong": wrong})

    def scores(self) -> Row:
        """Means over the restarts that are not lost, and the best of them."""
        questions = len(self.kept) * self.training.batch_size
        losses, wrong, norms = (self._by_restart(name) for name in ("loss", "wrong", "norm"))
        alive = [restart for restart, loss in enumerate(losses) if math.isfinite(loss)]
        errors = [100 * wrong[restart] / questions for restart in alive]
        return {
            "loss": mean([losses[restart] / questions for restart in alive]),
            "error_percent": mean(errors),
            "lowest_error_percent": min(errors),
            "gradient_norm": mean([norms[restart] / len(self.kept) for restart in alive]),
            "linear_start": self._linear,
            "restarts": len(alive),
        }

    def _by_restart(self, name: str) -> list[float]:
        """The sum over the kept updates of what each counted."""
        return [added(column) for column in zip(*(one[name] for one in self.kept), strict=True)]

    def validate(self, model: StoryModel) -> Row:
        """Means over the tasks and restarts, and the best restart."""
        found = [measure(model, self.copies, questions) for questions in self.data.valid.values()]
        errors, losses = ([mean(column) for column in zip(*part, strict=True)] for part in zip(*found, strict=True))
        return {"loss": mean(losses), "error_percent": mean(errors), "lowest_error_percent": min(errors)}

    def solves(self, scores: Row) -> bool:
        return self.training.stop_when_solved and scores["lowest_error_percent"] == 0

    def told(self, scores: Row) -> str:
        return f"{scores['lowest_error_percent']:.3g} % of the validation questions are wrong"

    def beside(self, model: StoryModel, step: int, row: Row, due: Callable[[int], bool]) -> Row:
        return {"epoch": step / self.schedule.epoch} if "train/loss" in row else {}

    def look(self, model: StoryModel) -> Look:
        """Of several restarts the first is looked at."""
        one = model if self.copies == 1 else unstack(model, self.copies, 0)
        return look_at_questions(one, self.data.vocabulary, self._watched, _DRAWN)

    def refusal(self, state: Row) -> str | None:
        if all(len(counted) == self.copies for update in state["kept"] for counted in update.values()):
            return None
        return f"is of another training: its sums are not those of {self.copies} restarts"
