"""How models that translate are trained, and by what beam search they are tested."""

import dataclasses
from typing import ClassVar

from experiments.config.fields import Changeable, check_least, check_positive
from experiments.config.form import Config
from experiments.config.parts import Training
from memnet.decoding import Normalization


@dataclasses.dataclass(frozen=True)
class TranslationTraining(Training):
    """Until it is solved or the steps are over, then tested on sentences that it never saw."""

    steps: Changeable[int] = 6000
    """Optimiser steps at the most."""
    batch_size: int = 64
    """Sentences a step."""
    learning_rate: float = 3e-3
    """Adam's step size before the cooldown."""
    clip_norm: float | None = 5.0
    """Largest norm of the gradient of a sentence's loss; None for no limit."""
    solved_at: float | None = 0.5
    """Validation sentences with a wrong word, in percent, under which it counts as solved; None never stops early."""
    cooldown_steps: int = 1000
    """The learning rate falls linearly to zero over so many last steps, which begin when it is solved."""
    valid_every: int = 200
    """Steps between validations."""
    beam: Changeable[int] = 4
    """Width of the beam search in the tests, beside greedy decoding."""
    beam_normalization: Changeable[Normalization] = "none"
    """Order of the sentences found by the beam search: by log-probability, or by that over their length."""

    examples: ClassVar[str] = "sentences"

    @property
    def may_end_early(self) -> bool:
        return self.solved_at is not None

    def check(self) -> None:
        super().check()
        check_least(self, 1, "steps", "beam")
        check_least(self, 0, "cooldown_steps")
        check_positive(self, "solved_at")


TranslationConfig = Config[TranslationTraining]
