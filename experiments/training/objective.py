"""What a run's data and losses are to the trainer, whatever they are about."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypedDict, TypeVar

import torch
from torch import Tensor

from experiments.base.progress import SHOWN
from experiments.config.form import Config
from experiments.runs.about import About
from experiments.runs.folder import RunFolder
from experiments.training.looks import NOTHING, Look
from experiments.training.schedules import Schedule
from experiments.training.updates import Updates

Model = TypeVar("Model")
Drawn = TypeVar("Drawn")
Row = dict[str, Any]


class Piece(NamedTuple):
    """A part of an update: a chunk in time, stories of like length, or all of it.

    loss:   its gradient is computed before the next piece is.
    counts: by name, each () or (copy,), and "loss" among them; they add up over the pieces and the processes.
    spread: what gives the weights the loss's gradient where the loss has no graph.
    """

    loss: Tensor
    counts: Mapping[str, Tensor]
    spread: Callable[[], None] | None = None

    def backward(self) -> None:
        """Add the loss's gradient to those of the weights."""
        if self.spread is None:
            self.loss.backward()
        else:
            self.spread()


class Update(TypedDict):
    """What is kept of an update: what its pieces counted, and the norm of the gradient."""

    loss: float
    norm: float


class State(TypedDict):
    """Plain data for a checkpoint; see `Objective.state`."""

    kept: list[Update]


class Objective(ABC, Generic[Model, Drawn]):
    """One run's data and losses.

    form:         of what `state` gives, a TypedDict.
    copies:       models whose parameters are stacked along their first axis, each trained as if it were alone.
    mean_of_rows: whether a piece's loss, and the count of that name, is a mean over rows: processes then give the mean
                  of theirs. Otherwise they add up.
    digest:       tells the data from others, so that a run goes on with its own; of other data `others` tells.
    judged_by:    the score of a validation that is lowest for the best weights.
    restart_after, keep_best: see the options of these names.
    schedule, updates: when training ends, and how weights follow their gradients.
    shown:        scores that are shown while it trains, see Progress.
    kept:         an Update for each since the last training scores; of several copies lists.
    """

    form: ClassVar[Any] = State
    copies: int = 1
    mean_of_rows: ClassVar[bool] = False
    digest: str = ""
    others: str = ""
    judged_by: str = "loss"
    restart_after: int | None = None
    keep_best: bool = False
    schedule: Schedule
    updates: Updates
    shown: Mapping[str, str] = SHOWN

    def __init__(self, config: Config[Any], data: Any) -> None:
        """data: see Domain.possible_data. UserError for what cannot be trained."""
        self.config, self.data = config, data
        self.device = torch.device(config.run.device)
        self.kept: list[Any] = []

    @classmethod
    def not_stacked(cls, config: Config[Any]) -> str | None:
        """Why seeds of a configuration cannot be one stacked computation, None where they can."""
        return f"runs on {config.domain} are not stacked"

    @property
    def title(self) -> str:
        """What is trained, in words."""
        return self.config.label

    @abstractmethod
    def new_model(self, beginning: int = 0) -> Model:
        """An untrained model, where it is to be computed, drawn from the seed and the number of the beginning."""

    def begin_anew(self) -> None:
        """The model has new weights: curricula begin again, too."""

    @abstractmethod
    def draw(self, model: Model, step: int, generator: torch.Generator) -> Drawn:
        """The batch of a step. Where the model changes with time, it is made ready, too.

        The generator may be ahead of it, for nobody else draws from it; see `give_back`.
        """

    def give_back(self, generator: torch.Generator) -> None:
        """Put the generator where the last batch left it, as if nothing had been drawn ahead."""

    def share(self, batch: Drawn, rows: slice) -> Drawn:
        """Of a batch one process's rows, of every copy; only where several processes may train."""
        raise NotImplementedError

    @abstractmethod
    def pieces(self, model: Model, batch: Drawn) -> Iterator[Piece]:
        """The losses of a batch, one after the other; what a step hands to the next is taken at the end."""

    def alike(self, batches: Sequence[Drawn]) -> Sequence[Tensor]:
        """Batches of several seeds as tensors that begin with an axis for the seed; only where seeds are stacked."""
        raise NotImplementedError

    def piece(self, model: Callable[..., Any], *batch: Tensor) -> Piece:
        """All of one seed's batch, of tensors as `alike` gives them without that axis; only where seeds are stacked."""
        raise NotImplementedError

    def noted(self, update: Row) -> None:
        """Keep an update; curricula listen here."""
        self.kept.append(update)

    @abstractmethod
    def scores(self) -> Row:
        """Means over the kept updates, by name."""

    @abstractmethod
    def validate(self, model: Model) -> Row:
        """Scores by name on what is never trained on."""

    def solves(self, scores: Row) -> bool:
        """Whether by a validation the task is solved."""
        return False

    def told(self, scores: Row) -> str:
        """How good a validation is, in words; only where it may solve the task."""
        return ""

    def beside(self, model: Model, step: int, row: Row, due: Callable[[int], bool]) -> Row:
        """More for a step's row of metrics.

        row: what it has of training and validation, maybe nothing. due: whether what is done every so many steps is.
        """
        return {}

    def look(self, model: Model) -> Look:
        """What the model does with what it is always looked at with."""
        return NOTHING

    def computed(self, model: Model) -> str:
        """How the model is computed, a line that is shown where it changes; empty for none."""
        return ""

    @abstractmethod
    def about(self, *, parameters: int, last_step: int) -> About:
        """What is to be told of the run. parameters: numbers that are trained. last_step: see Trainer."""

    def keep_data(self, folder: RunFolder) -> None:
        """Keep in the run's folder what is to be known of the data besides the configuration; here nothing."""

    def state(self) -> Row:
        """Plain data for the checkpoint: whatever changes in training besides model and optimizer."""
        return {"kept": self.kept}

    def refusal(self, state: Row) -> str | None:
        """Why a state of the right form is none of this training, None where it is. Nothing is changed."""
        return None

    def restore(self, state: Row) -> None:
        """The inverse of `state`."""
        self.kept = state["kept"]

    def carried(self) -> Sequence[Tensor]:
        """Tensors for the checkpoint: what a step hands to the next."""
        return ()

    def carried_forms(self, model: Model) -> Sequence[Tensor]:
        """Tensors of the shapes and types of those carried after any step."""
        return ()

    def carry_on(self, model: Model, carried: Sequence[Tensor]) -> None:
        """The inverse of `carried`; nothing where there are none."""


def added(values: Sequence[float]) -> float:
    """The sum in this order; that of Python depends on its version in the last bit."""
    total = 0.0
    for value in values:
        total += value
    return total


def mean(values: Sequence[float]) -> float:
    """The mean, added up in this order."""
    return added(values) / len(values)
