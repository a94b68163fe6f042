"""Weightings in numbers: how sharp they are, and how much of a memory they reach."""

import math

import torch
from torch import Tensor


def weighting_entropy(weights: Tensor) -> Tensor:
    """Shannon entropy of weightings, in bits: how widely a head or a hop spreads its attention.

        H(w) = - sum_i w(i) log2 w(i)        with 0 log2 0 = 0

    weights: (..., slot), non-negative. Where they sum to less than one, what is missing counts as nothing.
    Returns  (...), 0 for a single slot with weight one, log2(num_slots) for equal weights.
    """
    nats: Tensor = torch.special.entr(weights).sum(-1)
    return nats / math.log(2)


def slots_used(weights: Tensor) -> Tensor:
    """Over how many slots weightings are spread in all: the perplexity of their mean, in slots.

        n = 2 ** H(mean of w over time and heads)        H as in weighting_entropy

    A head that writes to k slots equally often gives k, however sharp each of its weightings is.

    weights: (..., time, head, slot), non-negative, summing to one over slots.
    Returns  (...), from 1 to num_slots.
    """
    return torch.exp2(weighting_entropy(weights.mean((-3, -2))))
