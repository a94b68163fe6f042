"""The dynamic N-grams task (Graves et al. 2014, Neural Turing Machines, section 4.4)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .bits import BitTask
from .common import Batch, draw_range

CONTEXT = 5  # bits of history in a 6-gram


class DynamicNGrams(BitTask):
    """Predict each next bit of a random 6-gram source (Graves et al. 2014, arXiv 1410.5401, 4.4).

        step     0       1       ...   n-2
        input    bit 1   bit 2   ...   bit n-1
        target   bit 2   bit 3   ...   bit n

    Every sequence has its own table of 2^5 = 32 probabilities of a one, each from Beta(1/2, 1/2), one for
    every five bits that can come before. The first five bits of a sequence are fair coins. One input channel,
    one output channel. A length of n bits has n - 1 steps, and all are scored: also the predictions of bits 2
    to 5, which nothing can foresee and which cost everyone a bit each.

    So counted, `optimal_probabilities` needs 132.3 bits for a sequence of 200, with a standard deviation of
    36 between sequences. The paper's figure 13 shows 131.6 on 1000 sequences, a number that another 1000
    would move by 1.1, and so agrees; it does not say which predictions it counts. Bits 6 to 200 alone would
    be 128.3, and all 200, the first predicted from nothing, 133.3.
    """

    name = "dynamic-ngrams"
    length_unit = "bits"
    length_range = (200, 200)
    test_lengths = (200,)

    def __init__(self) -> None:
        self.input_channels, self.output_channels = ("bit",), ("bit",)

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """As `Task.sample`; a length is at least 2, since one bit leaves nothing to predict."""
        steps = draw_range("length", length, batch_size, generator, minimum=2) - 1
        longest, device = int(steps.max()), generator.device
        # Beta(1/2, 1/2) is the arcsine law
        angles = torch.rand(batch_size, 2**CONTEXT, generator=generator, device=device) * (math.pi / 2)
        table = angles.sin().square()
        uniform = torch.rand(longest + 1, batch_size, 1, generator=generator, device=device)
        context = torch.zeros(batch_size, 1, dtype=torch.int64, device=device)
        bits = []
        for t, draw in enumerate(uniform.unbind()):
            bit = draw < (table.gather(1, context) if t >= CONTEXT else 0.5)
            context = (2 * context + bit) % 2**CONTEXT
            bits.append(bit)
        sequence = torch.stack(bits, dim=1).float()
        mask = torch.arange(longest, device=device) < steps.unsqueeze(1)
        real = mask.unsqueeze(-1)
        return Batch(sequence[:, :-1] * real, sequence[:, 1:] * real, mask, steps)

    def optimal_probabilities(self, batch: Batch) -> Tensor:
        """The best possible prediction: the probability that the next bit is a one (the paper's eq. 10).

            p = (N1 + 1/2) / (N0 + N1 + 1)

        N0 and N1 count the zeros and ones seen so far after the latest five bits. 1/2 before there are five,
        and in padding. Returns (batch, time, 1) float32.
        """
        bits, mask = batch.input.squeeze(-1).long(), batch.mask
        history = F.pad(bits, (CONTEXT - 1, 0)).unfold(1, CONTEXT, 1)
        context = (history * 2 ** torch.arange(CONTEXT, device=bits.device)).sum(dim=-1)
        known = mask & (torch.arange(bits.shape[1], device=bits.device) >= CONTEXT - 1)
        seen = F.one_hot(context, 2**CONTEXT) * known.unsqueeze(-1)
        ones = seen * batch.target.long()
        totals, ones = (((count.cumsum(1) - count) * seen).sum(-1, keepdim=True) for count in (seen, ones))
        return (ones + 0.5) / (totals + 1.0)

    def best_logits(self, batch: Batch) -> Tensor:
        """Those of `optimal_probabilities`."""
        return torch.logit(self.optimal_probabilities(batch))
