"""How models of sequences are trained."""

import dataclasses
from typing import Annotated, ClassVar, Literal

from experiments.base.files import UserError
from experiments.config.fields import Aside, Changeable, Needs, check_least, check_positive
from experiments.config.form import Config
from experiments.config.parts import Training


@dataclasses.dataclass(frozen=True)
class SequenceTraining(Training):
    """Until the task is solved, then tested beyond the lengths that it was trained on."""

    steps: Changeable[int] = 6000
    """Optimiser steps at the most."""
    batch_size: int = 16
    """Sequences a step."""
    loss: Literal["sum", "mean"] = "sum"
    """What of a sequence is made small: the sum over its scored answers, or their mean, by which a long sequence weighs
    no more than a short one. Metrics tell the sum."""
    optimizer: Literal["adam", "rmsprop", "plain-rmsprop", "sgd"] = "adam"
    """Adam; RMSProp in the form of Graves 2013 as the NTM paper used it, or plain with decay 0.9; or SGD."""
    learning_rate: float = 1e-3
    """Step size before the cooldown."""
    momentum: float = 0.9
    """Adam's first decay rate; the momentum of the others."""
    clip_norm: float | None = 10.0
    """Largest norm of the whole gradient; None for no limit."""
    clip_value: float | None = None
    """Largest size of a gradient's element; None for no limit."""
    weight_noise: float = 0.0
    """Standard deviation of Gaussian noise on every weight, drawn anew for each step (Graves et al. 2013)."""
    cooldown_noise: float | None = None
    """Its standard deviation while the learning rate falls, in the last --cooldown-steps: Graves, Mohamed & Hinton 2013
    add theirs to a network that is trained already. None for that of before."""
    weight_average: float | None = None
    """Validate, keep and test a running mean of the weights (Polyak and Juditsky 1992), of which so much stays at each
    update of a weight: 0.99 for some hundred. None for the weights themselves."""
    truncate: int | None = None
    """Backpropagate through so many steps at most; the state is carried on. None for the whole sequence."""
    checkpoint_steps: Annotated[int | None, Needs("checkpoint_steps")] = None
    """Keep the state every so many steps and compute the others again, for less memory; None keeps everything."""
    curriculum: Literal["uniform", "fixed", "growing"] = "uniform"
    """Length of each batch: uniform over the range, always the longest, or uniform up to a limit that grows."""
    min_length: int | None = None
    """Shortest training length; None for the task's own."""
    max_length: int | None = None
    """Longest training length; None for the task's own."""
    growing_start: int = 5
    """Growing curriculum: the first limit on the length."""
    growing_threshold: float = 0.1
    """Growing curriculum: bits per scored bit (on other tasks nats or squared error), averaged over 20 steps, below
    which the limit grows by one."""
    solved_at: float | None = 0.01
    """The task's own validation score (wrong bits per sequence, squared error, nats, percent) under which it counts as
    solved; None never stops early."""
    cooldown_steps: int = 1500
    """The learning rate falls linearly to zero over so many last steps, which begin when the task is solved."""
    restart_after: int | None = None
    """Begin again with new weights at a validation after so many steps without being solved; None never does."""
    keep_best: bool = False
    """Test the weights of the validation with the lowest loss, and go back to them where the cooldown loses what was
    solved; else the last weights are tested, whatever they have become."""
    valid_every: int = 100
    """Steps between validations."""
    valid_sequences: int = 640
    """Sequences of a validation, spread evenly over its lengths, never trained on."""
    valid_length: int | None = None
    """Longest sequences of a validation; None for the training's. The shortest are the training's."""
    test_sequences: Changeable[int] = 200
    """Sequences at each test length after training."""
    gradient_flow_every: Aside[Changeable[int | None]] = None
    """Steps between looks at how far gradients reach back through time, in metrics under gradients/ and a figure."""

    examples: ClassVar[str] = "sequences"

    @property
    def may_end_early(self) -> bool:
        return self.solved_at is not None

    def check(self) -> None:
        super().check()
        check_least(self, 1, "steps", "valid_sequences", "test_sequences", "gradient_flow_every", "growing_start")
        check_least(
            self, 1, "min_length", "max_length", "truncate", "checkpoint_steps", "restart_after", "valid_length"
        )
        if self.min_length and self.max_length and self.min_length > self.max_length:
            raise UserError(f"--min-length {self.min_length} is above --max-length {self.max_length}")
        check_least(self, 0, "cooldown_steps", "weight_noise", "cooldown_noise")
        if self.cooldown_noise is not None and not self.cooldown_steps:
            raise UserError(f"--cooldown-noise {self.cooldown_noise} needs --cooldown-steps of at least 1, not 0")
        check_positive(self, "clip_value", "solved_at", "growing_threshold")
        if self.weight_average is not None and not 0 < self.weight_average < 1:
            raise UserError(f"--weight-average must be above 0 and below 1, not {self.weight_average}")
        if not 0 <= self.momentum < 1:
            raise UserError(f"--momentum must be in [0, 1), not {self.momentum}")


SequenceConfig = Config[SequenceTraining]
