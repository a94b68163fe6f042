"""Cycle navigation (Deletang et al. 2022)."""

import math

import torch
from torch import Tensor

from ..common import Batch
from .strings import StringTask


class CycleNavigation(StringTask):
    """Where is who walks on a circle of five places? (Deletang et al. 2022, arXiv 2207.02098)

        + 0 - - -   ->   3

    From place 0, a step on or back, or none, all alike. Guessing has a fifth of the answers right.

    uneven: share of the training strings in which each way has a frequency of its own, drawn anew for each string from
            all that there are alike. Else few of 40 steps go once around, and who counts how far it went, not where it
            is, has nearly all answers right. In tests there are none.
    """

    name = "cycle-navigation"
    alphabet = "-0+"
    answers = "01234"

    def __init__(self, uneven: float = 0.0) -> None:
        """ValueError for a share outside of 0 to 1."""
        super().__init__()
        if not 0 <= uneven <= 1:
            raise ValueError(f"uneven must be between 0 and 1, not {uneven}")
        self.uneven = uneven

    def training_batch(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        return self.sample(batch_size, length=length, generator=generator, uneven=self.uneven)

    def answered(
        self, rows: int, length: int, generator: torch.Generator, uneven: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        string = self.uniform(rows, length, generator)
        if uneven:
            device, ways = generator.device, len(self.alphabet)
            chosen = torch.rand(rows, 1, generator=generator, device=device) < uneven
            shares = torch.empty(rows, ways, device=device).exponential_(generator=generator)
            string = string.where(~chosen, shares.multinomial(length, replacement=True, generator=generator))
        return string, (string - 1).sum(1, keepdim=True) % len(self.answers)

    def shares(self, length: int) -> Tensor:
        """Of a random walk on a circle: the transform of a step's to the power of the length."""
        angles = 2 * math.pi * torch.arange(len(self.answers)).double() / len(self.answers)
        found: Tensor = torch.fft.fft(((1 + 2 * angles.cos()) / 3) ** length).real / len(self.answers)
        return found
