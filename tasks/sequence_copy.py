"""The copy task (Graves et al. 2014, Neural Turing Machines, section 4.1)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .bits import BitTask
from .common import Batch, bit_channels, draw_bits, draw_range, place


class Copy(BitTask):
    """Repeat a sequence of random vectors after its end (Graves et al. 2014, arXiv 1410.5401, 4.1).

        step        0 ... n-1       n     n+1 ... 2n
        bits        the vectors     0     0
        delimiter   0               1     0
        target      -               -     the vectors

    Input channels: the bits, then the delimiter (num_bits + 1). Output channels: the bits. A sequence of
    length n has 2n + 1 steps, of which the last n are scored.

    The paper trains at 1 to 20 and shows 10, 20, 30, 50 and 120. Its parameter counts fit 10 inputs and
    9 outputs; what the further input and output were is not described, so there are none here.

    num_bits: bits of a vector.
    blanks:   share of the training sequences in which half of the vectors, at random, are all zero; in tests they are
              so by chance alone, two in a row at one of 4^num_bits places. By these a network learns to tell vectors of
              zeros from the blank steps of its answer.
    """

    name = "copy"
    length_unit = "vectors"
    length_range = (1, 20)
    test_lengths = (20, 40, 80, 120)

    def __init__(self, num_bits: int = 8, blanks: float = 0.0) -> None:
        """ValueError for num_bits below 1, and blanks outside of 0 to 1."""
        bits = bit_channels(num_bits)
        if not 0 <= blanks <= 1:
            raise ValueError(f"blanks must be between 0 and 1, not {blanks}")
        self.input_channels, self.output_channels = (*bits, "delimiter"), bits
        self.blanks = blanks

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        return self._drawn(batch_size, length, generator, 0.0)

    def training_batch(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        return self._drawn(batch_size, length, generator, self.blanks)

    def _drawn(
        self, batch_size: int, length: int | tuple[int, int], generator: torch.Generator, blanks: float
    ) -> Batch:
        counts = draw_range("length", length, batch_size, generator).unsqueeze(1)
        longest = length if isinstance(length, int) else int(counts.max())
        vectors = draw_bits(batch_size, longest, self.output_size, generator)
        if blanks:
            chosen = torch.rand(batch_size, 1, generator=generator, device=generator.device) < blanks
            zero = torch.rand(batch_size, longest, generator=generator, device=generator.device) < 0.5
            vectors = vectors.masked_fill((chosen & zero).unsqueeze(-1), 0)
        if isinstance(length, int):
            return _of_one_length(vectors)
        step = torch.arange(2 * longest + 1, device=generator.device)
        answer = (step > counts) & (step <= 2 * counts)
        delimiter = (step == counts).unsqueeze(-1).float()
        given = torch.cat([place(vectors, step, step < counts), delimiter], dim=-1)
        return Batch(given, place(vectors, step - counts - 1, answer), answer, 2 * counts.squeeze(1) + 1)


def _of_one_length(vectors: Tensor) -> Batch:
    """The batch that is to copy these, (batch, length, bit)."""
    rows, length, _ = vectors.shape
    steps = 2 * length + 1
    given = F.pad(vectors, (0, 1, 0, length + 1))
    given[:, length, -1] = 1
    scored = torch.zeros(rows, steps, dtype=torch.bool, device=vectors.device)
    scored[:, length + 1 :] = True
    return Batch(
        given, F.pad(vectors, (0, 0, length + 1, 0)), scored, torch.full_like(scored[:, 0], steps, dtype=torch.int64)
    )
