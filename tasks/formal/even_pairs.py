"""Even pairs (Deletang et al. 2022)."""

import torch
from torch import Tensor

from .strings import StringTask


class EvenPairs(StringTask):
    """Is the number of neighbours that differ odd? (Deletang et al. 2022, arXiv 2207.02098)

        0 1 1 0 0 1   ->   1

    Which is so where the first symbol and the last are not the same. Guessing has half of the answers right.
    """

    name = "even-pairs"
    alphabet = "01"
    answers = "01"

    def answered(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        string = self.uniform(rows, length, generator)
        return string, (string[:, :1] != string[:, -1:]).long()

    def shares(self, length: int) -> Tensor:
        return torch.tensor([1.0, 0.0] if length == 1 else [0.5, 0.5])
