"""Training a sequence model on a task: curricula, truncation, validation."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, TypedDict

import torch
from torch import Tensor

from experiments.base.files import UserError
from experiments.base.seeds import drawing_weights
from experiments.domains.sequences.about import about
from experiments.domains.sequences.ahead import Ahead
from experiments.domains.sequences.curriculum import Curriculum, CurriculumState
from experiments.domains.sequences.evaluation import chunks_of, evaluate, validation_batches
from experiments.domains.sequences.gradient_flow import gradient_row
from experiments.domains.sequences.models import SequenceModel, backend_line, core, make_model, training_lengths
from experiments.domains.sequences.options import SequenceConfig
from experiments.domains.sequences.pictures import look_at_sequence, pictured_sequence
from experiments.runs.about import About
from experiments.training.looks import Look
from experiments.training.objective import Objective, Piece, Row, Update, mean
from experiments.training.schedules import CoolDown
from experiments.training.updates import Updates
from memnet.abilities import TrainsStraight
from memnet.state import detach_state
from memnet.straight import Straight
from tasks import Batch, Task


class _Update(Update):
    scored: float


class _State(TypedDict):
    kept: list[_Update]
    curriculum: CurriculumState


class SequenceObjective(Objective[SequenceModel, Batch]):
    """A task that draws its own sequences."""

    config: SequenceConfig
    data: Task
    form = _State
    mean_of_rows: ClassVar[bool] = True

    def __init__(self, config: SequenceConfig, data: Task) -> None:
        """UserError for lengths that cannot be."""
        super().__init__(config, data)
        self.training = training = config.training
        self.schedule = CoolDown(training.steps, training.cooldown_steps)
        self.updates = Updates(
            training.learning_rate,
            training.clip_norm,
            optimizer=training.optimizer,
            momentum=training.momentum,
            clip_value=training.clip_value,
            weight_noise=training.weight_noise,
            cooldown_noise=training.cooldown_noise,
            weight_average=training.weight_average,
        )
        curve = data.curve
        self.shown = {"train/loss": "loss", f"train/{curve.name}": curve.heading}
        self.judged_by, self.restart_after = curve.name, training.restart_after
        self.keep_best = training.keep_best
        self.lengths = training_lengths(config)
        self.validation = validation_batches(self.data, self._validated(), training.valid_sequences, config.run.seed)
        self._watched = pictured_sequence(self.data, self.lengths[1])
        self._ahead = Ahead(self._draw)
        self._straights: dict[SequenceModel, Straight | None] = {}
        self._cores: dict[SequenceModel, Any] = {}
        self.begin_anew()

    @classmethod
    def not_stacked(cls, config: SequenceConfig) -> str | None:
        for name in ("truncate", "checkpoint_steps"):
            if getattr(config.training, name) is not None:
                return f"--{name.replace('_', '-')} takes one seed at a time"
        return None

    @property
    def title(self) -> str:
        return f"{self.config.task_label}, {self.config.model_label}"

    def _validated(self) -> tuple[int, int]:
        """Shortest and longest length of a validation; UserError for one that is shorter than training's."""
        low, high = self.lengths
        longest = self.training.valid_length
        if longest is not None and longest < high:
            raise UserError(f"--valid-length {longest} is below the longest training length, {high}")
        return low, longest or high

    def new_model(self, beginning: int = 0) -> SequenceModel:
        with drawing_weights(self.config.run.seed, beginning):
            model = make_model(self.config).to(self.device)
        if self.training.checkpoint_steps is not None:
            core(model).checkpoint_steps = self.training.checkpoint_steps
        return model

    def about(self, *, parameters: int, last_step: int) -> About:
        return about(self.config, self.data, parameters=parameters, last_step=last_step)

    def begin_anew(self) -> None:
        self.curriculum = Curriculum(self.training, self.lengths)

    def draw(self, model: SequenceModel, step: int, generator: torch.Generator) -> Batch:
        return self._ahead.take(generator, several=self.curriculum.complete)

    def give_back(self, generator: torch.Generator) -> None:
        self._ahead.give_back(generator)

    def _draw(self, generator: torch.Generator) -> Batch:
        length = self.curriculum.draw(generator)
        return self.data.training_batch(self.training.batch_size, length=length, generator=generator)

    def share(self, batch: Batch, rows: slice) -> Batch:
        return Batch(*(tensor[rows] for tensor in batch))

    def pieces(self, model: SequenceModel, batch: Batch) -> Iterator[Piece]:
        """Chunks in time where it is truncated."""
        state, batch = None, batch.to(self.device)
        if (straight := self._straight(model, batch)) is not None and (
            piece := self._straight_piece(straight, batch)
        ) is not None:
            yield piece
            return
        for chunk in chunks_of(batch, self.training.truncate):
            logits, state = model(chunk.input, None if state is None else detach_state(state), **self.data.asked(chunk))
            yield self._piece(logits, chunk, batch.mask)

    def _straight(self, model: SequenceModel, batch: Batch) -> Straight | None:
        """What computes gradients of the model that need no graph."""
        if self.training.truncate is not None or self.data.asked(batch):
            return None
        if model not in self._straights:
            self._straights[model] = model.straight() if isinstance(model, TrainsStraight) else None
        return self._straights[model]

    def _straight_piece(self, straight: Straight, batch: Batch) -> Piece | None:
        """A batch without a graph of the model, nor of the loss where that is a usual one; None where it cannot be."""
        if (symbols := self.data.symbols_of_losses) is not None:
            mean = self.training.loss == "mean"
            told = straight.lose(batch.input, batch.target, batch.mask, symbols=symbols, mean=mean)
            if told is not None:
                return Piece(told.loss, {"loss": told.sums, "scored": told.scored}, straight.backward)
        logits = straight(batch.input)
        return None if logits is None else self._piece(logits, batch, batch.mask)

    def alike(self, batches: Sequence[Batch]) -> Sequence[Tensor]:
        """Shorter sequences get steps at the end that are not scored."""
        steps = max(batch.input.size(1) for batch in batches)
        parts = [[_longer(tensor, steps).to(self.device) for tensor in batch[:3]] for batch in batches]
        return [torch.stack(tensors) for tensors in zip(*parts, strict=True)]

    def piece(self, model: Callable[..., Any], *batch: Tensor) -> Piece:
        input, target, mask = batch
        return self._piece(model(input)[0], Batch(input, target, mask, mask.sum(1)), mask)

    def _piece(self, logits: Tensor, batch: Batch, whole: Tensor) -> Piece:
        """whole: the mask of the sequences that the batch is cut from."""
        losses = self.data.losses(logits, batch)
        loss = losses.mean()
        counts = {"loss": loss.detach().double(), "scored": batch.mask.sum().double()}
        if self.training.loss == "mean":
            loss = (losses / self._answers(whole)).mean()
        return Piece(loss, counts)

    def _answers(self, mask: Tensor) -> Tensor:
        """Of every sequence, of which the loss is the mean."""
        return mask.sum(1) * self.data.answers_of_a_step

    def noted(self, update: Row) -> None:
        super().noted(update)
        if not self.curriculum.complete:
            self.curriculum.report(self.data.curriculum_score(update["loss"], self._scored(update)))

    def scores(self) -> Row:
        every = [self.data.training_score(one["loss"], self._scored(one)) for one in self.kept]
        curve, norms = self.data.curve.name, [one["norm"] for one in self.kept]
        return {
            "loss": mean([one["loss"] for one in self.kept]),
            curve: mean(every),
            f"largest_{curve}": max(every),
            "gradient_norm": mean(norms),
            "largest_gradient_norm": max(norms),
            "longest_length": self.curriculum.limit,
        }

    def _scored(self, update: Row) -> float:
        """Scored steps of a sequence."""
        return float(update["scored"] / self.training.batch_size)

    def validate(self, model: SequenceModel) -> Row:
        scores = evaluate(model, self.data, self.validation)
        return {name: value for name, value in scores.items() if name != "sequences"}

    def solves(self, scores: Row) -> bool:
        limit = self.training.solved_at
        return limit is not None and scores[self.data.criterion.name] < limit

    def told(self, scores: Row) -> str:
        criterion = self.data.criterion
        return f"{scores[criterion.name]:.3g} {criterion.unit} in validation"

    def beside(self, model: SequenceModel, step: int, row: Row, due: Callable[[int], bool]) -> Row:
        every = self.training.gradient_flow_every
        if every is None or not due(every):
            return {}
        return gradient_row(model, self.data, self.lengths[1], self.config.run.seed)

    def computed(self, model: SequenceModel) -> str:
        if model not in self._cores:
            self._cores[model] = core(model)
        return backend_line(self._cores[model])

    def look(self, model: SequenceModel) -> Look:
        return look_at_sequence(model, self.data, self._watched)

    def state(self) -> Row:
        return {**super().state(), "curriculum": self.curriculum.state()}

    def refusal(self, state: Row) -> str | None:
        if self.curriculum.fits(state["curriculum"]):
            return None
        return f"is of another training: its curriculum is at length {state['curriculum']['limit']}"

    def restore(self, state: Row) -> None:
        super().restore(state)
        self.curriculum.restore(state["curriculum"])


def _longer(tensor: Tensor, steps: int) -> Tensor:
    """A tensor (batch, time, ...) with zeros at the end of time."""
    more = tensor.new_zeros(tensor.size(0), steps - tensor.size(1), *tensor.shape[2:])
    return torch.cat([tensor, more], 1)
