"""Languages of which a model is to foretell, after every symbol, which may follow (Gers and Schmidhuber 2001)."""

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from ..bits import BitTask
from ..common import Batch, draw_range, drawn_by_length, one_hot
from ..tokens import most_rows


class LanguageTask(BitTask):
    """Words of a language are read, and at every step each symbol that may be the next is answered by a 1.

    A word is right where all answers are, at every step. Input channels: a symbol each; output channels: what may
    follow, the word's end included. To bring are those, and `draw`.
    """

    shortest: ClassVar[int] = 1

    @abstractmethod
    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Symbols of words of one length (row, time), and what may follow each: the sum of 2^k of the channels k."""

    def sample(
        self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator, **options: float
    ) -> Batch:
        """As `Task.sample`; words of one length are drawn together. options: of `draw`, where it has more."""
        counts = draw_range("length", length, batch_size, generator, self.shortest)
        given, follow, steps = drawn_by_length(lambda rows, one: self.draw(rows, one, generator, **options), counts)
        real = follow >= 0
        bits = follow.clamp(min=0).unsqueeze(-1) >> torch.arange(self.output_size, device=follow.device) & 1
        return Batch(one_hot(given.masked_fill(~real, -1), self.input_size), bits.float(), real, steps)

    def baselines(self, length: int) -> dict[str, float]:
        """Who answers each bit by what it is most often, and knows how often; estimated from words of a fixed seed."""
        batch = self.sample(most_rows(length), length=length, generator=torch.Generator())
        shares = batch.target[batch.mask].double().mean(0)
        bits = (torch.special.entr(shares) + torch.special.entr(1 - shares)).sum() / math.log(2)
        wrong, steps = torch.minimum(shares, 1 - shares), float(batch.mask.sum(1).double().mean())
        return {
            "baseline_bit_error_rate": float(wrong.mean()),
            "baseline_wrong_bits_per_sequence": steps * float(wrong.sum()),
            "baseline_bits_per_sequence": steps * float(bits),
        }
