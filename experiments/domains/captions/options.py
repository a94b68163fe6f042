"""How models that put pictures into words are trained."""

import dataclasses
from typing import ClassVar

from experiments.config.fields import Changeable, check_least
from experiments.config.form import Config
from experiments.config.parts import Training


@dataclasses.dataclass(frozen=True)
class CaptionTraining(Training):
    """On scenes that are drawn anew at every step; a judge who knows the scenes reads what is said of new ones.

    Which are for tests is told by a hash of what is in them, so that no model has ever seen one.
    """

    steps: Changeable[int] = 8000
    """Optimiser steps."""
    batch_size: int = 64
    """Scenes a step."""
    learning_rate: float = 3e-3
    """Step size of Adam between warm-up and cooldown, on the mean loss of a word."""
    warmup_steps: int = 200
    """The learning rate rises linearly over so many first steps."""
    curriculum_steps: int = 0
    """Scenes have one thing at first; the most that they have grows evenly to all over so many steps."""
    cooldown_steps: int = 4000
    """The learning rate falls linearly to zero over so many last steps."""
    clip_norm: float | None = 1.0
    """Largest norm of the whole gradient; None for no limit."""
    valid_every: int = 500
    """Steps between validations."""
    valid_scenes: int = 200
    """Scenes of a validation, always the same."""
    test_scenes: Changeable[int] = 1000
    """Scenes of the tests."""

    examples: ClassVar[str] = "scenes"

    def check(self) -> None:
        super().check()
        check_least(self, 1, "steps", "valid_scenes", "test_scenes")
        check_least(self, 0, "curriculum_steps", "warmup_steps", "cooldown_steps")


CaptionConfig = Config[CaptionTraining]
