"""How models of stories are trained."""

import dataclasses
from typing import Annotated, ClassVar, Literal

from experiments.base.files import UserError
from experiments.config.fields import Aside, Changeable, Needs, check_least
from experiments.config.form import Config
from experiments.config.parts import Training


@dataclasses.dataclass(frozen=True)
class StoryTraining(Training):
    """Until the schedule ends; one of the restarts is then chosen, and tested."""

    restarts: int = 1
    """Independent initialisations, trained side by side; one is chosen. Not for models that read word by word."""
    select: Literal["train", "valid"] = "valid"
    """Choose the restart with the lowest error on the training or on the validation questions (ties: loss)."""
    batch_size: int = 32
    """Questions an update."""
    length_groups: int = 1
    """Compute a batch in so many groups, short stories apart from long ones: the same but for rounding, and faster
    where lengths differ much."""
    optimizer: Literal["sgd", "adam", "rmsprop"] = "adam"
    """Plain SGD, Adam, or RMSProp in the form of Graves 2013."""
    learning_rate: float = 0.001
    """Step size on the loss summed over the batch, before it is halved."""
    linear_start_epochs: Annotated[int, Needs("linear_start")] = 0
    """Epochs without the softmax of the hops, at a constant rate, before the others."""
    epochs: Changeable[int] = 100
    """Epochs of floor(training questions / batch size) updates, drawn with replacement."""
    halve_every: int | None = None
    """Epochs after which the learning rate is halved, not counting the linear start; None for never."""
    stop_when_solved: bool = False
    """Stop as soon as a restart answers every validation question; ours: the original EntNet trains all its epochs."""
    clip: Literal["matrix", "model"] = "model"
    """Clip the gradient of each weight matrix (the original MemN2N) or of the whole model."""
    clip_norm: float | None = 40.0
    """Largest norm of a gradient; None for no limit."""
    valid_every: Aside[int] = 500
    """Updates between validations."""

    examples: ClassVar[str] = "questions"

    @property
    def may_end_early(self) -> bool:
        return self.stop_when_solved

    def check(self) -> None:
        super().check()
        check_least(self, 1, "restarts", "epochs", "length_groups", "halve_every")
        check_least(self, 0, "linear_start_epochs")
        if self.length_groups > self.batch_size:
            raise UserError(f"--length-groups {self.length_groups} is above --batch-size {self.batch_size}")


StoryConfig = Config[StoryTraining]
