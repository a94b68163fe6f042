"""Bucket sort (Deletang et al. 2022)."""

import torch
from torch import Tensor

from .strings import StringTask


class BucketSort(StringTask):
    """Say the symbols of a string in order. (Deletang et al. 2022, arXiv 2207.02098)

        3 0 4 0 1   ->   0 0 1 3 4

    Five symbols. Guessing has a fifth of them right.
    """

    name = "bucket-sort"
    alphabet = "01234"
    answers = "01234"
    alike = True

    def answered(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        string = self.uniform(rows, length, generator)
        return string, string.sort(1).values
