"""Several copies, one after the other (Csordas and Schmidhuber 2019, Improving Differentiable Neural Computers)."""

import torch

from .bits import BitTask
from .common import Batch, bit_channels, check_range, draw_bits, draw_range, place


class SuccessiveCopy(BitTask):
    """Copy several sequences, each after its end, one after the other (Csordas and Schmidhuber 2019, arXiv 1904.10278).

        step        0 ... n-1       n     n+1 ... 2n       2n+1 ...
        bits        the vectors     0     0                the next vectors
        delimiter   0               1     0                0
        target      -               -     the vectors      -

    Every copy is one of `Copy`, with a length of its own. Together they are more than a memory of a few slots holds:
    slots that are done with must be written again, and nothing old be found there. Input channels: the bits, then the
    delimiter (num_bits + 1). Output channels: the bits. A copy of n vectors has 2n + 1 steps, of which the last n are
    scored.

    The paper's code trains at lengths 2 to 14 and 1 to 8 repeats with 16 slots, and ends every copy with a second
    delimiter.

    num_bits: bits of a vector.
    repeats:  the fewest and the most copies in training.
    """

    name = "successive-copy"
    length_unit = "vectors"
    length_range = (2, 14)
    test_lengths = (14, 28)

    def __init__(self, num_bits: int = 8, repeats: tuple[int, int] = (1, 8)) -> None:
        """ValueError for values below 1."""
        bits = bit_channels(num_bits)
        self.input_channels, self.output_channels = (*bits, "delimiter"), bits
        self.repeats = check_range("repeats", repeats)

    def sample(
        self,
        batch_size: int,
        *,
        length: int | tuple[int, int],
        generator: torch.Generator,
        repeats: int | tuple[int, int] | None = None,
    ) -> Batch:
        """As `Task.sample`, but that every copy of a row draws its own length from a pair.

        repeats: a number of copies, a pair to draw each row's from, or None: the training range.
        """
        times = draw_range("repeats", self.repeats if repeats is None else repeats, batch_size, generator).unsqueeze(1)
        most, device = int(times.max()), generator.device
        counts = draw_range("length", length, batch_size * most, generator).view(batch_size, most)
        counts = counts * (torch.arange(most, device=device) < times)
        longest = int(counts.max())
        ends = (2 * counts + (counts > 0)).cumsum(1)
        vectors = draw_bits(batch_size, most * longest, self.output_size, generator)
        step = torch.arange(int(ends[:, -1].max()), device=device).expand(batch_size, -1).contiguous()
        which = torch.searchsorted(ends, step, right=True).clamp(max=most - 1)
        count, end = counts.gather(1, which), ends.gather(1, which)
        inside, real = step - end + 2 * count + 1, step < ends[:, -1:]
        answer, first = (inside > count) & real, which * longest
        delimiter = ((inside == count) & real).unsqueeze(-1).float()
        shown = place(vectors, first + inside, (inside < count) & real)
        copies = place(vectors, first + inside - count - 1, answer)
        return Batch(torch.cat([shown, delimiter], -1), copies, answer, ends[:, -1])
