"""Reverse string (Deletang et al. 2022)."""

import torch
from torch import Tensor

from .strings import StringTask


class ReverseString(StringTask):
    """Say a string backwards. (Deletang et al. 2022, arXiv 2207.02098)

        0 1 1   ->   1 1 0

    Guessing has half of the symbols right.
    """

    name = "reverse-string"
    alphabet = "01"
    answers = "01"
    alike = True

    def answered(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        string = self.uniform(rows, length, generator)
        return string, string.flip(1)
