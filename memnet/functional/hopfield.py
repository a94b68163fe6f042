"""Hopfield's memories: patterns as the valleys of an energy, the modern one and the classical.

Patterns are (..., slot, width), states (..., query, width).
"""

import math

import torch
from torch import Tensor


def hopfield_energy(patterns: Tensor, state: Tensor, sharpness: float) -> Tensor:
    """The energy of each state (Ramsauer et al. 2021, arXiv 2008.02217, eq. 2).

        E = -log(sum_i exp(beta x_i . xi)) / beta + xi . xi / 2 + log(N) / beta + max_i |x_i|^2 / 2

    sharpness: beta, above 0. Returns (..., query), at least 0.
    """
    alike = torch.logsumexp(sharpness * (state @ patterns.transpose(-1, -2)), -1) / sharpness
    largest = patterns.square().sum(-1).amax(-1, keepdim=True)
    own = state.square().sum(-1)
    return own / 2 - alike + math.log(patterns.size(-2)) / sharpness + largest / 2


def hopfield_step(patterns: Tensor, state: Tensor, sharpness: float) -> Tensor:
    """A step down: the patterns' mean, weighted by how like the state they are (Ramsauer et al. 2021, eq. 3).

        xi <- X^T softmax(beta X xi)

    With sharpness 1 / sqrt(width) it is attention with the patterns as keys and values. Returns the next states.
    """
    alike = torch.softmax(sharpness * (state @ patterns.transpose(-1, -2)), -1)
    after: Tensor = alike @ patterns
    return after


def hopfield_retrieved(patterns: Tensor, state: Tensor, sharpness: float, num_steps: int) -> Tensor:
    """Where so many steps lead each state: near a pattern, or, with little sharpness, near a mean of several."""
    for _ in range(num_steps):
        state = hopfield_step(patterns, state, sharpness)
    return state


def hebbian_weights(patterns: Tensor) -> Tensor:
    """W = sum_i x_i x_i^T - N I for patterns of -1 and 1 (Hopfield 1982): (..., width, width), of diagonal zero."""
    outer = patterns.transpose(-1, -2) @ patterns
    return outer - patterns.size(-2) * torch.eye(patterns.size(-1), dtype=patterns.dtype, device=patterns.device)


def hebbian_step(weights: Tensor, state: Tensor) -> Tensor:
    """xi <- sign(W xi), all units at once; where W xi is 0 a unit stays. Holds some 0.138 patterns a unit."""
    pull = state @ weights
    return torch.where(pull == 0, state, torch.sign(pull))
