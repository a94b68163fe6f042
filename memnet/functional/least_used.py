"""Which slots to write where the least used ones make room: least recently used access.

Santoro et al. 2016 (arXiv 1605.06065). The slot that is emptied before a write is the least used one of the step
before. Weightings are (batch, head, slot), what is said of slots (batch, slot).
"""

import math

import torch
from torch import Tensor


def decayed_usage(usage: Tensor, read_weights: Tensor, write_weights: Tensor, decay: float) -> Tensor:
    """How much, and how lately, every slot was read and written, by all heads; without gradients.

        u_t = gamma u_{t-1} + sum_h [w_h^r + w_h^w]

    usage:                       (batch, slot), u_{t-1}, at least 0.
    read_weights, write_weights: (batch, head, slot), those of this step.
    decay:                       gamma, in [0, 1).
    Returns                      (batch, slot).
    """
    return decay * usage.detach() + (read_weights + write_weights).detach().sum(1)


def least_used(usage: Tensor, count: int) -> Tensor:
    """The least used slots, one for each head: a weighting of one slot each, without gradients.

        w_h^lu(i) = 1 where slot i is the h-th in the order of usage, else 0

    The paper marks all `count` least used slots for every head, w^lu(i) = 1 where u(i) is at most the count-th smallest
    usage: the sum of what is returned here. Of slots with the same usage the first comes first.

    usage:  (batch, slot), that of the step before.
    count:  heads, at most as many as slots.
    Returns (batch, count, slot), in the dtype of usage.
    """
    left, slots, marks = usage.detach(), torch.arange(usage.size(-1), device=usage.device), []
    for _ in range(count):  # no sort, which ONNX has not in an order that keeps the first of equals
        marks.append(left.argmin(-1, keepdim=True) == slots)
        left = left.masked_fill(marks[-1], math.inf)
    return torch.stack(marks, 1).to(usage.dtype)


def write_by_use(read_weights: Tensor, least: Tensor, gate: Tensor) -> Tensor:
    """Where to write: where the head has just read, or where nobody has for long.

        w_h^w = g_h w_h^r + (1 - g_h) w_h^lu        g = sigmoid(alpha)

    read_weights: (batch, head, slot), those of the step before.
    least:        (batch, head, slot), see least_used.
    gate:         (batch, head, 1), in [0, 1].
    Returns       (batch, head, slot), of sums up to one.
    """
    return torch.lerp(least, read_weights, gate)
