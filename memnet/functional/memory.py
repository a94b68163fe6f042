"""What a head does to the memory matrix: one pure function for each equation of Graves et al. 2014.

Memory is (batch, slot, width), weightings are (batch, head, slot), vectors (batch, head, width).
"""

import torch
from torch import Tensor


def read_memory(memory: Tensor, read_weights: Tensor) -> Tensor:
    """Weighted mean of the slots for every read head (Graves et al. 2014, eq. 2).

        r = sum_i w(i) M(i)

    memory:       (batch, slot, width).
    read_weights: (batch, head, slot).
    Returns       (batch, head, width).
    """
    return read_weights @ memory


def erase_memory(memory: Tensor, write_weights: Tensor, erase: Tensor) -> Tensor:
    """Erase by every write head (Graves et al. 2014, eq. 3); the order of heads does not matter.

        M~(i) = M(i) prod_h [1 - w_h(i) e_h]

    memory:        (batch, slot, width).
    write_weights: (batch, head, slot).
    erase:         (batch, head, width), in [0, 1].
    Returns        (batch, slot, width).
    """
    for weights, vector in zip(write_weights.unbind(1), erase.unbind(1), strict=True):
        outer = weights.unsqueeze(-1) * vector.unsqueeze(-2)
        memory = torch.addcmul(memory, memory, outer, value=-1)
    return memory


def add_memory(memory: Tensor, write_weights: Tensor, add: Tensor) -> Tensor:
    """Add what every write head brings (Graves et al. 2014, eq. 4), after all erasing.

        M(i) = M~(i) + sum_h w_h(i) a_h

    memory:        (batch, slot, width).
    write_weights: (batch, head, slot).
    add:           (batch, head, width).
    Returns        (batch, slot, width).
    """
    return torch.baddbmm(memory, write_weights.transpose(1, 2), add)
