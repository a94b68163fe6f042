"""What a layer remembers of past segments: the associative memory of Rodkin et al. 2024 (arXiv 2407.04841).

As its authors' code has it. A is bound to keys phi by the delta rule, z counts how often a direction was a key:

    read    A^T phi / (z . phi + 1e-5)
    write   A <- A + sum_i beta_i phi_i (v_i - read of phi_i)^T        z <- z + sum_i gamma_i phi_i
            gamma_i = clamp(1 - z . phi_i, 0, 1), by which a key that is known already is not counted again

where all of a segment's writes read the memory of before. (In the code 1e-5 is taken off gamma, too.) So it is no delta
rule where several tokens of a segment have keys that lie close together: n of one key that is known change what it is
bound to by n beta, which overshoots, and grows from segment to segment, for n beta above 2. A few tokens are safe.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Associations(NamedTuple):
    """memory: (batch, key, value), A. known: (batch, key), z."""

    memory: Tensor
    known: Tensor


def dpfp(vectors: Tensor, order: int = 3) -> Tensor:
    """The deterministic parameter-free projection of Schlag et al. 2021 (arXiv 2102.11174), at length one.

        r = [relu(x), relu(-x)]        phi = [r_i r_(i-1), ..., r_i r_(i-order)] of all i, places counted in a circle

    vectors: (..., size). Returns (..., 2 * size * order).
    """
    halves = torch.cat([vectors, -vectors], -1).relu()
    products = [halves * halves.roll(shift, -1) for shift in range(1, order + 1)]
    return functional.normalize(torch.cat(products, -1), dim=-1)


def read_segments(past: Associations, keys: Tensor) -> Tensor:
    """What keys (batch, time, key), of length one, find: (batch, time, value)."""
    return keys @ past.memory / ((keys @ past.known.unsqueeze(-1)) + 1e-5)


def write_segment(past: Associations, keys: Tensor, values: Tensor, strengths: Tensor) -> Associations:
    """The memory after a segment's tokens.

    keys: (batch, token, key), of length one. values: (batch, token, value). strengths: (batch, token, 1), beta.
    """
    changes = strengths * (values - read_segments(past, keys))
    # As in the code, no gradient comes by gamma.
    new = (1 - keys @ past.known.unsqueeze(-1)).clamp(0, 1).detach()
    return Associations(past.memory + keys.transpose(-1, -2) @ changes, past.known + (new * keys).sum(-2))
