"""Binary addition (Deletang et al. 2022)."""

from torch import Tensor

from .binary import BinaryTask


class BinaryAddition(BinaryTask):
    """What is the sum of two binary numbers, the lowest bit first? (Deletang et al. 2022, arXiv 2207.02098)

        0 0 1 + 0 1 1 0 1   ->   0 1 0 1 1 .        4 + 22 = 26

    Numbers and answer are those of `BinaryTask`; the answer has n + 1 steps.
    """

    name = "binary-addition"
    alphabet = "01+"
    carries = 1

    def places(self, one: Tensor, other: Tensor) -> Tensor:
        return one + other
