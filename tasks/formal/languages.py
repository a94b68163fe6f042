"""Languages of which a model is to foretell, after every symbol, which may follow (Gers and Schmidhuber 2001)."""

import math
from abc import abstractmethod

import torch
from torch import Tensor

from ..bits import BitTask
from ..common import Batch, one_hot
from ..tokens import Drawn


class LanguageTask(Drawn, BitTask):
    """Words of a language are read, and at every step each symbol that may be the next is answered by a 1.

    A word is right where all answers are, at every step. Input channels: a symbol each; output channels: what may
    follow, the word's end included. To bring are those, and `draw`.
    """

    @abstractmethod
    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Symbols of words of one length (row, time), and what may follow each: the sum of 2^k of the channels k."""

    def laid_out(self, input: Tensor, target: Tensor, steps: Tensor) -> Batch:
        real = target >= 0
        given = one_hot(input.masked_fill(~real, -1), self.input_size)
        return Batch(given, self._bits(target.clamp(min=0)), real, steps)

    def baselines(self, length: int) -> dict[str, float]:
        """Who answers each bit by what it is most often, and knows how often; estimated from words of a fixed seed."""
        answers = self.drawn_answers(length)
        real = answers >= 0
        shares = self._bits(answers[real]).double().mean(0)
        bits = (torch.special.entr(shares) + torch.special.entr(1 - shares)).sum() / math.log(2)
        wrong, steps = torch.minimum(shares, 1 - shares), float(real.sum(1).double().mean())
        return {
            "baseline_bit_error_rate": float(wrong.mean()),
            "baseline_wrong_bits_per_sequence": steps * float(wrong.sum()),
            "baseline_bits_per_sequence": steps * float(bits),
        }

    def _bits(self, sums: Tensor) -> Tensor:
        """Sums of 2^k as bits k, (..., output_size)."""
        return (sums.unsqueeze(-1) >> torch.arange(self.output_size, device=sums.device) & 1).float()
