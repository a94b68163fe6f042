"""How models of text are trained."""

import dataclasses
from typing import ClassVar

from experiments.config.fields import Changeable, check_least
from experiments.config.form import Config
from experiments.config.parts import Training


@dataclasses.dataclass(frozen=True)
class TextTraining(Training):
    """On streams of the text side by side, chunk after chunk; the state is carried from each chunk to the next."""

    steps: Changeable[int] = 2000
    """Optimiser steps, of a chunk of every stream each."""
    batch_size: int = 32
    """Streams side by side."""
    chunk_length: int = 64
    """Characters of a chunk: so far back goes the gradient."""
    learning_rate: float = 3e-3
    """Step size of Adam before the cooldown, on the mean loss of a character."""
    cooldown_steps: int = 1000
    """The learning rate falls linearly to zero over so many last steps."""
    clip_norm: float | None = 1.0
    """Largest norm of the whole gradient; None for no limit."""
    valid_characters: int = 10_000
    """Characters of a validation at the most, from the beginning of the part."""
    test_characters: Changeable[int | None] = 200_000
    """Characters of the tests at the most, from the beginning of validation and test part each; None for all."""

    examples: ClassVar[str] = "chunks"

    def check(self) -> None:
        super().check()
        check_least(self, 1, "steps", "chunk_length", "valid_characters")
        check_least(self, 2, "test_characters")
        check_least(self, 0, "cooldown_steps")


TextConfig = Config[TextTraining]
