"""Recall of values by their keys (Csordas and Schmidhuber 2019, Improving Differentiable Neural Computers)."""

from typing import ClassVar

import torch

from .bits import BitTask
from .common import Batch, bit_channels, draw_bits, draw_distinct, draw_range, place


class KeyValueRecall(BitTask):
    """Shown keys and values, give the value of each key (Csordas and Schmidhuber 2019, arXiv 1904.10278).

        step        0 ... n-1     n     n+1 ... 2n
        key         the keys      0     the keys, in another order
        value       the values    0     0
        ask         0             1     0
        target      -             -     their values

    A key and its value stand at one step, so that who looks for one by the other must not look at the whole of what
    was written: what masked content addressing is for. Keys of a sequence all differ; values are independent draws.
    Input channels: the key's bits, the value's bits, and the delimiter (2 num_bits + 1). Output channels: the bits. A
    sequence of n pairs has 2n + 1 steps; the last n are scored.

    The paper's code trains at 2 to 16 pairs of 6 bits each, and ends sequences with a second delimiter.

    num_bits: bits of a key, and of a value.
    """

    name = "key-value-recall"
    length_unit = "pairs"
    length_range = (2, 16)
    test_lengths = (16, 24, 32)
    delimiters: ClassVar[tuple[str, ...]] = ("ask",)  # one for each time that all are asked for

    def __init__(self, num_bits: int = 6) -> None:
        """ValueError for num_bits below 1."""
        bits = bit_channels(num_bits)
        halves = [f"{half} {bit}" for half in ("key", "value") for bit in bits]
        self.input_channels, self.output_channels = (*halves, *self.delimiters), bits
        self.longest = 2**num_bits

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """As `Task.sample`; a length is at most 2 ** num_bits, since keys differ."""
        counts, ways = draw_range("length", length, batch_size, generator).unsqueeze(1), len(self.delimiters)
        bits, device = self.output_size, generator.device
        longest = self.longest_of(counts, f"the number of keys of {bits} bits")
        halves = [self._different(batch_size, longest, generator), draw_bits(batch_size, longest, bits, generator)]
        if ways > 1:
            halves[1] = self._different(batch_size, longest, generator)
        lengths = (ways + 1) * (counts + 1) - 1
        step = torch.arange(int(lengths.max()), device=device)
        phase, pair = step // (counts + 1), step % (counts + 1)
        real, inside = torch.arange(longest, device=device) < counts, (pair < counts) & (step < lengths)
        shown = place(torch.cat(halves, -1), pair, inside & (phase == 0))
        asked, target = shown[..., :bits], torch.zeros_like(shown[..., :bits])
        for way in range(ways):
            drawn = torch.rand(batch_size, longest, generator=generator, device=device)
            order = drawn.masked_fill(~real, 2.0).argsort(1)
            chosen, here = order.gather(1, pair.clamp(max=longest - 1)), inside & (phase == way + 1)
            asked, target = asked + place(halves[way], chosen, here), target + place(halves[1 - way], chosen, here)
        delimiters = [(pair == counts) & (phase == way) for way in range(ways)]
        given = torch.cat([asked, shown[..., bits:], torch.stack(delimiters, -1).float()], -1)
        return Batch(given, target, inside & (phase > 0), lengths.squeeze(1))

    def _different(self, batch_size: int, count: int, generator: torch.Generator) -> torch.Tensor:
        """Bits (batch, count, num_bits) of numbers that all differ."""
        numbers = draw_distinct(batch_size, count, 2**self.output_size, generator)
        return (numbers.unsqueeze(-1) >> torch.arange(self.output_size, device=numbers.device) & 1).float()
