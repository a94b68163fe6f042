"""Cycle navigation (Deletang et al. 2022)."""

import math

import torch
from torch import Tensor

from .strings import StringTask


class CycleNavigation(StringTask):
    """Where is who walks on a circle of five places? (Deletang et al. 2022, arXiv 2207.02098)

        + 0 - - -   ->   3

    From place 0, a step on or back, or none, all alike. Guessing has a fifth of the answers right.
    """

    name = "cycle-navigation"
    alphabet = "-0+"
    answers = "01234"

    def answered(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        string = self.uniform(rows, length, generator)
        return string, (string - 1).sum(1, keepdim=True) % len(self.answers)

    def shares(self, length: int) -> Tensor:
        """Of a random walk on a circle: the transform of a step's to the power of the length."""
        angles = 2 * math.pi * torch.arange(len(self.answers)).double() / len(self.answers)
        found: Tensor = torch.fft.fft(((1 + 2 * angles.cos()) / 3) ** length).real / len(self.answers)
        return found
