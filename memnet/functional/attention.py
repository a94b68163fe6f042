"""How a decoder's state is compared with what a memory holds: one pure function for each way.

Weights of the slots come of scores by addressing.attention_weights, what is read by memory.read_memory.
"""

from typing import Any

import torch
from torch import Tensor


def additive_scores(keys: Tensor, query: Tensor, direction: Tensor) -> Tensor:
    """A layer of tanh units over slot and state (Bahdanau et al. 2015, section 3.1 and appendix A.1.2).

        e_ij = v . tanh(W s_{i-1} + U h_j)

    keys:      (batch, slot, width), U h_j.
    query:     (batch, width), W s_{i-1}.
    direction: (width,), v.
    Returns    (batch, slot).
    """
    return torch.tanh(query.unsqueeze(1) + keys) @ direction


def recomputed_additive_scores(keys: Tensor, query: Tensor, direction: Tensor) -> Tensor:
    """The same as `additive_scores`, whose layer is computed again in the backward pass instead of being kept.

    So that reading a memory at every step keeps numbers for every pair of step and slot, but not vectors.
    """
    scores: Tensor = _AdditiveScores.apply(keys, query, direction)  # type: ignore[no-untyped-call]
    return scores


class _AdditiveScores(torch.autograd.Function):
    """(keys, query, direction) to the scores; derivatives of any order, in both modes."""

    generate_vmap_rule = True

    @staticmethod
    def forward(keys: Tensor, query: Tensor, direction: Tensor) -> Tensor:
        return additive_scores(keys, query, direction)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        keys, query, direction = ctx.saved_tensors
        units = torch.tanh(query.unsqueeze(1) + keys)
        slopes: Tensor = torch.ops.aten.tanh_backward(gradient.unsqueeze(-1) * direction, units)
        return slopes, slopes.sum(1), gradient.flatten().to(units.dtype) @ units.flatten(0, 1)

    @staticmethod
    def jvp(ctx: Any, keys: Tensor, query: Tensor, direction: Tensor) -> Tensor:
        old_keys, old_query, old_direction = ctx.saved_tensors
        units = torch.tanh(old_query.unsqueeze(1) + old_keys)
        scores: Tensor = (1 - units * units) * (query.unsqueeze(1) + keys) @ old_direction + units @ direction
        return scores


def dot_scores(keys: Tensor, query: Tensor) -> Tensor:
    """The inner product of state and slot (Sukhbaatar et al. 2015, eq. 1, before the softmax).

        e_j = u . m_j

    keys:    (batch, slot, width), m_j.
    query:   (batch, width), u.
    Returns  (batch, slot).
    """
    return (keys @ query.unsqueeze(-1)).squeeze(-1)


def reverse_sequences(values: Tensor, lengths: Tensor) -> Tensor:
    """Every row's real steps from last to first; what follows them stays (Sutskever et al. 2014, section 3.3).

    values:  (batch, time, ...).
    lengths: (batch,) real steps of each row.
    Returns  the same shape; done twice it changes nothing.
    """
    time = torch.arange(values.size(1), device=values.device)
    ends = lengths.unsqueeze(-1)
    index = torch.where(time < ends, ends - 1 - time, time)
    return values.gather(1, index.view(*index.shape, *[1] * (values.dim() - 2)).expand_as(values))
