"""Cycle navigation (Deletang et al. 2022)."""

import math

import torch
from torch import Tensor

from .strings import UnevenTask, make_uneven, uneven_rows


class CycleNavigation(UnevenTask):
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

    def answered(
        self, rows: int, length: int, generator: torch.Generator, uneven: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        string = self.uniform(rows, length, generator)
        string = make_uneven(string, len(self.alphabet), uneven_rows(rows, uneven, generator), generator)
        return string, (string - 1).sum(1, keepdim=True) % len(self.answers)

    def shares(self, length: int) -> Tensor:
        """Of a random walk on a circle: the transform of a step's to the power of the length."""
        angles = 2 * math.pi * torch.arange(len(self.answers)).double() / len(self.answers)
        found: Tensor = torch.fft.fft(((1 + 2 * angles.cos()) / 3) ** length).real / len(self.answers)
        return found
