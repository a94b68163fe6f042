"""The repeat copy task (Graves et al. 2014, Neural Turing Machines, section 4.2)."""

import math

import torch

from .bits import BitTask
from .common import Batch, bit_channels, check_range, draw_bits, draw_range, place


class RepeatCopy(BitTask):
    """Repeat a sequence as often as asked, then say so (Graves et al. 2014, arXiv 1410.5401, 4.2).

        step        0 ... n-1       n      n+1 ... n+nr               n+nr+1
        bits        the vectors     0      0                          0
        delimiter   0               1      0                          0
        repeats     0               r'     0                          0
        target      -               -      the vectors, r times over  all bits 0
        target end  -               -      0                          1

    Input channels: the bits, the delimiter, the repeat count (num_bits + 2). Output channels: the bits, the
    end marker (num_bits + 1). A sequence of length n with r repeats has n + nr + 2 steps; the last nr + 1
    are scored, on every output channel.

    r' is r with mean 0 and variance 1 over the training range `repeats`, low to high with k = high - low + 1
    values: r' = (r - (low + high) / 2) / sqrt((k^2 - 1) / 12), and 0 throughout where k is 1. The same
    numbers hold for counts beyond that range.

    The paper trains at 1 to 10 vectors and 1 to 10 repeats, then doubles either. Its text says eight bits;
    its parameter counts fit num_bits = 6.

    num_bits: bits of a vector.
    repeats:  the training range of the count, both ends included.
    """

    name = "repeat-copy"
    length_unit = "vectors"
    length_range = (1, 10)
    test_lengths = (10, 20)
    scalar_channels = ("repeats",)

    def __init__(self, num_bits: int = 8, repeats: tuple[int, int] = (1, 10)) -> None:
        """ValueError for values below 1."""
        bits = bit_channels(num_bits)
        self.input_channels, self.output_channels = (*bits, "delimiter", "repeats"), (*bits, "end")
        self.repeats = check_range("repeats", repeats)

    def sample(
        self,
        batch_size: int,
        *,
        length: int | tuple[int, int],
        generator: torch.Generator,
        repeats: int | tuple[int, int] | None = None,
    ) -> Batch:
        """As `Task.sample`; repeats: a count, a pair to draw each row's from, or None: the training range."""
        counts = draw_range("length", length, batch_size, generator).unsqueeze(1)
        repeats = self.repeats if repeats is None else repeats
        times = draw_range("repeats", repeats, batch_size, generator).unsqueeze(1)
        vectors = draw_bits(batch_size, int(counts.max()), self.output_size - 1, generator)
        lengths = counts + counts * times + 2
        step = torch.arange(int(lengths.max()), device=generator.device)
        answer, end = (step > counts) & (step < lengths - 1), step == lengths - 1
        delimiter = (step == counts).float()
        signals = torch.stack([delimiter, delimiter * self._normalise(times)], dim=-1)
        given = torch.cat([place(vectors, step, step < counts), signals], dim=-1)
        copies = place(vectors, (step - counts - 1) % counts, answer)
        target = torch.cat([copies, end.unsqueeze(-1).float()], dim=-1)
        return Batch(given, target, answer | end, lengths.squeeze(1))

    def _normalise(self, times: torch.Tensor) -> torch.Tensor:
        low, high = self.repeats
        deviation = math.sqrt(((high - low + 1) ** 2 - 1) / 12)
        return (times - (low + high) / 2) / deviation if deviation else torch.zeros_like(times)
