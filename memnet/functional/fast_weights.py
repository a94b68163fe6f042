"""Weights that change within a sequence (Ba et al. 2016, arXiv 1610.06258): a matrix, or attention to the past."""

import torch
from torch import Tensor


def bind(fast_weights: Tensor, hidden: Tensor, decay: float, rate: float) -> Tensor:
    """The outer product of a hidden state with itself joins the fast weights (eq. 1).

        A' = lambda A + eta h h^T

    fast_weights: (batch, hidden, hidden). hidden: (batch, hidden). decay: lambda. rate: eta.
    """
    return decay * fast_weights + rate * hidden.unsqueeze(-1) * hidden.unsqueeze(-2)


def attend_to_past(past: Tensor, query: Tensor, decay: float, rate: float) -> Tensor:
    """What the fast weights make of a vector, without them: attention to all hidden states so far.

        A h = eta sum_s lambda^(t - s) h_s (h_s . h)

    which is cheaper where there are fewer steps than units.

    past:    (batch, time, hidden), the oldest first.
    query:   (batch, hidden), h.
    Returns  (batch, hidden).
    """
    ages = torch.arange(past.size(1) - 1, -1, -1, device=past.device, dtype=past.dtype)
    weights = rate * decay**ages * (past @ query.unsqueeze(-1)).squeeze(-1)
    return (weights.unsqueeze(1) @ past).squeeze(1)
