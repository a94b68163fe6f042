"""Parity (Deletang et al. 2022)."""

import torch
from torch import Tensor

from .strings import StringTask


class Parity(StringTask):
    """Is the number of ones odd? (Deletang et al. 2022, arXiv 2207.02098)

        0 1 1 0 1   ->   1

    Guessing has half of the answers right.
    """

    name = "parity"
    alphabet = "01"
    answers = "01"
    alike = True

    def answered(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        string = self.uniform(rows, length, generator)
        return string, string.sum(1, keepdim=True) % 2
