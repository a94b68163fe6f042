"""Odds first (Deletang et al. 2022)."""

import torch
from torch import Tensor

from .strings import StringTask


class OddsFirst(StringTask):
    """Say every second symbol, then the others. (Deletang et al. 2022, arXiv 2207.02098)

        a b c d e   ->   b d a c e

    Counted from 0 the symbols at odd places come first, as in the paper's code. Guessing has half of them right.
    """

    name = "odds-first"
    alphabet = "01"
    answers = "01"
    alike = True

    def answered(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        string = self.uniform(rows, length, generator)
        return string, torch.cat([string[:, 1::2], string[:, ::2]], 1)
