"""The priority sort task (Graves et al. 2014, Neural Turing Machines, section 4.5)."""

import torch

from .bits import BitTask
from .common import Batch, bit_channels, draw_bits, draw_range, place


class PrioritySort(BitTask):
    """Give the vectors of highest priority, highest first (Graves et al. 2014, arXiv 1410.5401, 4.5).

        step        0 ... n-1       n     n+1 ... n+k
        bits        the vectors     0     0
        priority    one for each    0     0
        delimiter   0               1     0
        target      -               -     the k best vectors, best first

    Priorities are uniform on [-1, 1]. Input channels: the bits, the priority, the delimiter (num_bits + 2).
    Output channels: the bits. A sequence of n vectors has n + k + 1 steps with k = 0.8 n rounded; the last k
    are scored. Equal priorities, one sequence in 90 000 at n = 20, keep their order.

    The paper trains and tests at 20 vectors, of which 16 are wanted; shares at other lengths, and the
    delimiter, are ours.

    num_bits: bits of a vector.
    """

    name = "priority-sort"
    length_unit = "vectors"
    length_range = (20, 20)
    test_lengths = (20,)
    scalar_channels = ("priority",)

    def __init__(self, num_bits: int = 8) -> None:
        """ValueError for num_bits below 1."""
        bits = bit_channels(num_bits)
        self.input_channels, self.output_channels = (*bits, "priority", "delimiter"), bits

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        counts = draw_range("length", length, batch_size, generator).unsqueeze(1)
        longest, device = int(counts.max()), generator.device
        vectors = draw_bits(batch_size, longest, self.output_size, generator)
        priority = 2 * torch.rand(batch_size, longest, generator=generator, device=device) - 1
        wanted = (8 * counts + 5) // 10
        lengths = counts + wanted + 1
        step = torch.arange(int(lengths.max()), device=device)
        given, answer = step < counts, (step > counts) & (step < lengths)
        rows = torch.cat([vectors, priority.unsqueeze(-1)], dim=-1)
        real = given[:, :longest]
        order = priority.masked_fill(~real, -torch.inf).argsort(dim=1, descending=True, stable=True)
        best = place(vectors, order, torch.ones_like(real))
        delimiter = (step == counts).unsqueeze(-1).float()
        return Batch(
            torch.cat([place(rows, step, given), delimiter], dim=-1),
            place(best, step - counts - 1, answer),
            answer,
            lengths.squeeze(1),
        )
