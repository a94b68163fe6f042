"""Binary multiplication (Deletang et al. 2022)."""

import torch
from torch import Tensor

from .binary import BinaryTask


class BinaryMultiplication(BinaryTask):
    """What is the product of two binary numbers, the lowest bit first? (Deletang et al. 2022, arXiv 2207.02098)

        0 0 1 * 0 1 1 0 1   ->   0 0 0 1 1 0 1 .        4 * 22 = 88

    Numbers and answer are those of `BinaryTask`; the answer has n steps.
    """

    name = "binary-multiplication"
    alphabet = "01*"
    carries = 0

    def places(self, one: Tensor, other: Tensor) -> Tensor:
        # The ones of a place are counted by a convolution, exact in double precision at any length that fits memory.
        size = 2 * one.size(1)
        transformed = torch.fft.rfft(one.double(), size) * torch.fft.rfft(other.double(), size)
        counts: Tensor = torch.fft.irfft(transformed, size).round().long()
        return counts
