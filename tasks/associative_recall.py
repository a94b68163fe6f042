"""The associative recall task (Graves et al. 2014, Neural Turing Machines, section 4.3)."""

import torch

from .bits import BitTask
from .common import Batch, bit_channels, check_count, draw_bits, draw_range, place


class AssociativeRecall(BitTask):
    """Shown one item again, give the one after it (Graves et al. 2014, arXiv 1410.5401, 4.3).

        part             each of n items     query              answer
        steps            1      v            1     v      1     v
        bits             0      the item     0     item   0     0
        item delimiter   1      0            0     0      0     0
        query delimiter  0      0            1     0      1     0
        target           -      -            -     -      -     the item after the queried one

    An item is v = vectors_per_item random vectors. Input channels: the bits, the item delimiter, the query
    delimiter (num_bits + 2). Output channels: the bits. With n items there are n(v + 1) + 2v + 2 steps
    (4n + 8 for the paper's v = 3), of which the last v are scored.

    The queried item is uniform among all but the last. Items are independent draws, so two can be equal: then
    the answer follows the one that was meant, and the query does not tell which. Among six items of 18 bits
    this happens to the queried one in fewer than 1 of 50 000 sequences.

    The paper trains at 2 to 6 items and tests up to 20.

    num_bits:         bits of a vector.
    vectors_per_item: vectors of an item.
    """

    name = "associative-recall"
    length_unit = "items"
    length_range = (2, 6)
    test_lengths = (6, 8, 10, 12, 15, 20)

    def __init__(self, num_bits: int = 6, vectors_per_item: int = 3) -> None:
        """ValueError for values below 1."""
        bits = bit_channels(num_bits)
        self.input_channels, self.output_channels = (*bits, "item delimiter", "query delimiter"), bits
        self.vectors_per_item = check_count("vectors_per_item", vectors_per_item)

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """As `Task.sample`; a length is at least 2, since the query needs a follower."""
        counts = draw_range("length", length, batch_size, generator, minimum=2).unsqueeze(1)
        size, device = self.vectors_per_item, generator.device
        vectors = draw_bits(batch_size, int(counts.max()) * size, self.output_size, generator)
        queried = torch.randint(2**62, counts.shape, generator=generator, device=device) % (counts - 1)
        query = counts * (size + 1)  # the step of the first query delimiter
        lengths = query + 2 * size + 2
        step = torch.arange(int(lengths.max()), device=device)
        item, inside = step // (size + 1), step % (size + 1)
        shown, asked = step < query, (step > query) & (step <= query + size)
        answer = (step > query + size + 1) & (step < lengths)
        given = place(vectors, item * size + inside - 1, shown & (inside > 0))
        given = given + place(vectors, queried * size + step - query - 1, asked)
        delimiters = [shown & (inside == 0), (step == query) | (step == query + size + 1)]
        target = place(vectors, (queried + 1) * size + step - query - size - 2, answer)
        return Batch(
            torch.cat([given, torch.stack(delimiters, dim=-1).float()], dim=-1),
            target,
            answer,
            lengths.squeeze(1),
        )
