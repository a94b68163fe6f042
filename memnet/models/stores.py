"""Memories without time: written at once or by training, read by any number of queries."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.checks import check_sizes
from memnet.functional.product_keys import best_products
from memnet.functional.pseudo_inverse import pseudo_inverse
from memnet.pretrained import Pretrained


class ProductKeyMemory(Pretrained):
    """A table of values that each input reads a few of, found among n^2 in time that grows with n.

        o = sum over heads and their best keys of softmax(score) value(key)

    (Lample et al. 2019, arXiv 1907.05242, section 3). Only the values that are read get a gradient; the authors train
    them at a fixed rate of 1e-3. Their normalisation of queries over the batch is left out.

    input_size:  features of the input. output_size: features of a value.
    num_keys:    n, halves of keys; there are n^2 values.
    key_size:    features of a key, an even number.
    num_heads:   queries of each input, with keys of their own.
    num_read:    values that each head reads.
    Raises ValueError for sizes that cannot be.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        num_keys: int = 64,
        key_size: int = 64,
        num_heads: int = 4,
        num_read: int = 16,
    ) -> None:
        super().__init__()
        check_sizes(input_size=input_size, output_size=output_size, num_keys=num_keys)
        check_sizes(key_size=key_size, num_heads=num_heads, num_read=num_read)
        if key_size % 2:
            raise ValueError(f"key_size must be even, not {key_size}")
        if num_read > num_keys:
            raise ValueError(f"num_read must be at most num_keys {num_keys}, not {num_read}")
        self.input_size, self.output_size, self.num_heads, self.num_read = input_size, output_size, num_heads, num_read
        self.query = nn.Linear(input_size, num_heads * key_size)
        bound = key_size**-0.5
        self.keys = nn.Parameter(torch.empty(num_heads, 2, num_keys, key_size // 2).uniform_(-bound, bound))
        self.values = nn.Parameter(output_size**-0.5 * torch.randn(num_keys**2, output_size))

    def forward(self, input: Tensor) -> Tensor:
        """(..., output_size) of (..., input_size); ValueError for other features."""
        if input.size(-1) != self.input_size:
            raise ValueError(f"input must be (..., {self.input_size}), not {tuple(input.shape)}")
        query = self.query(input).unflatten(-1, (self.num_heads, -1))
        scores, places = best_products(query, self.keys, self.num_read)
        weights = torch.softmax(scores, -1).flatten(-2).flatten(0, -2)
        bags = places.flatten(-2).flatten(0, -2)
        read = functional.embedding_bag(bags, self.values, per_sample_weights=weights, mode="sum")
        return read.view(*input.shape[:-1], self.output_size)


class EpisodicMemory(Pretrained):
    """A memory that an episode is written to in one solution of least squares, and read in another.

        write: W = Z M^+, M' = W^+ Z        read: w = z M'^+, z' = w M'

    with M a learned matrix, shared by all, and Z the encodings of an episode: Larimar's (Das et al. 2024, arXiv
    2403.11901, section 3). What was written is read exactly while there are no more encodings than slots. The noise
    that the authors add to Z and w is left to who trains it.

    num_slots: rows of the memory. width: features of an encoding, and columns of the memory.
    num_steps: by which pseudo-inverses are found, see memnet.functional.pseudo_inverse; None for exact ones.
    """

    def __init__(self, num_slots: int, width: int, *, num_steps: int | None = None) -> None:
        super().__init__()
        check_sizes(num_slots=num_slots, width=width)
        if num_steps is not None:
            check_sizes(num_steps=num_steps)
        self.num_slots, self.width, self.num_steps = num_slots, width, num_steps
        self.memory = nn.Parameter(torch.randn(num_slots, width))

    def write(self, encodings: Tensor, memory: Tensor | None = None) -> Tensor:
        """The memory (batch, slot, width) after an episode (batch, step, width).

        memory: by which the episode is addressed, (slot, width) or (batch, slot, width); None for the learned one.
        """
        if encodings.dim() != 3 or encodings.size(-1) != self.width:
            raise ValueError(f"encodings must be (batch, step, {self.width}), not {tuple(encodings.shape)}")
        weights = encodings @ self._inverse(self.memory if memory is None else memory)
        written: Tensor = self._inverse(weights) @ encodings
        return written

    def read(self, queries: Tensor, memory: Tensor) -> Tensor:
        """What a memory (batch, slot, width) has for queries (batch, query, width): of their shape."""
        if queries.dim() != 3 or queries.size(-1) != self.width:
            raise ValueError(f"queries must be (batch, query, {self.width}), not {tuple(queries.shape)}")
        found: Tensor = queries @ self._inverse(memory) @ memory
        return found

    def forward(self, encodings: Tensor, queries: Tensor) -> Tensor:
        """Write an episode and read it."""
        return self.read(queries, self.write(encodings))

    def _inverse(self, matrix: Tensor) -> Tensor:
        return pseudo_inverse(matrix, self.num_steps)
