"""Compute sqrt (Deletang et al. 2022)."""

import math

import torch
from torch import Tensor

from .strings import StringTask


class ComputeSqrt(StringTask):
    """What is the square root of a binary number, rounded down? (Deletang et al. 2022, arXiv 2207.02098)

        1 0 0 1 0 1   ->   1 1 0        37, 6

    The highest bit first; numbers are uniform but for zero. The answer has half as many bits, rounded up.
    """

    name = "compute-sqrt"
    alphabet = "01"
    answers = "01"

    def answered(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        import numpy as np

        string = self.uniform(rows, length, generator)
        while (zero := ~string.any(1, keepdim=True)).any():
            string = torch.where(zero, self.uniform(rows, length, generator), string)
        # Whole numbers of Python have as many bits as they need, and roots far faster than any bit by bit.
        packed = np.packbits(np.pad(string.cpu().numpy().astype(np.uint8), ((0, 0), (-length % 8, 0))), axis=1)
        count = (length + 1) // 2
        size = -(-count // 8)
        roots = [math.isqrt(int.from_bytes(row.tobytes(), "big")).to_bytes(size, "big") for row in packed]
        bits = np.unpackbits(np.frombuffer(b"".join(roots), np.uint8).reshape(rows, size), axis=1)[:, -count:]
        return string, torch.from_numpy(bits.astype(np.int64)).to(string.device)
