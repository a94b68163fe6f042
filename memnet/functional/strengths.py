"""Stacks, queues and DeQues whose elements are there to some degree (Grefenstette et al. 2015, arXiv 1506.02516).

Strengths are (..., slot), in an order from top to bottom. A stack is used at its top alone; into a queue is pushed at
the top, from its bottom is popped and read; a DeQue is used at both ends.
"""

from typing import Literal, TypeAlias

import torch
from torch import Tensor

End: TypeAlias = Literal["top", "bottom"]


def strength_before(strengths: Tensor, end: End) -> Tensor:
    """How much there is between each element and an end of the structure, without itself: (..., slot)."""
    upto = strengths.cumsum(-1)
    return upto - strengths if end == "top" else strengths.sum(-1, keepdim=True) - upto


def pop_strength(strengths: Tensor, pop: Tensor, end: End) -> Tensor:
    """What is left after so much is taken away from an end (eq. 2 for a stack, 4 for a queue).

        s'[i] = max(0, s[i] - max(0, u - sum of s between i and the end))

    strengths: (..., slot), at least 0.
    pop:       (...,), u, at least 0.
    Returns    (..., slot), whose sum is less by u, or 0 where there was less.
    """
    return torch.relu(strengths - torch.relu(pop.unsqueeze(-1) - strength_before(strengths, end)))


def end_weights(strengths: Tensor, end: End) -> Tensor:
    """The weights by which the first unit of strength at an end is read (eq. 3 for a stack, 5 for a queue).

        w[i] = min(s[i], max(0, 1 - sum of s between i and the end))

    strengths: (..., slot), at least 0.
    Returns    (..., slot), of sums up to one.
    """
    return torch.minimum(strengths, torch.relu(1 - strength_before(strengths, end)))


def push_top(rows: Tensor, row: Tensor) -> Tensor:
    """Rows (..., slot, width) with another (..., width) at the top (eq. 1); the lowest is lost."""
    return torch.cat([row.unsqueeze(-2), rows[..., :-1, :]], -2)


def push_both(rows: Tensor, top: Tensor, bottom: Tensor) -> Tensor:
    """Rows (..., slot, width) with one more at either end; of each half the innermost is lost."""
    upper, lower = rows.tensor_split(2, -2)
    return torch.cat([push_top(upper, top), lower[..., 1:, :], bottom.unsqueeze(-2)], -2)
