"""Memories that bind keys to values as slow loops over single numbers, written from the papers.

They share nothing with memnet. One sequence and one head; a memory S is as in the papers, (value, key).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tests.slow_equations import Array


def delta(
    memory: Array, query: Array, keys: Array, values: Array, strengths: Array, decay: Array, *, erases: bool = True
) -> tuple[Array, Array]:
    """A token of the (gated) delta rule, or of a sum: keys (factor, key), values (factor, value), decay (key,)."""
    memory = np.array(memory)
    rows, columns = memory.shape
    for i in range(rows):
        for j in range(columns):
            memory[i, j] *= decay[j]
    for key, value, strength in zip(keys, values, strengths, strict=True):
        for i in range(rows):
            found = sum(memory[i, j] * key[j] for j in range(columns)) if erases else 0.0
            for j in range(columns):
                memory[i, j] += strength * (value[i] - found) * key[j]
    return np.array([sum(memory[i, j] * query[j] for j in range(columns)) for i in range(rows)]), memory


def convolved(inputs: Array, weights: Array) -> Array:
    """silu of a causal convolution of every channel: inputs (time, channel), weights (channel, size)."""
    size = weights.shape[1]
    found = np.zeros_like(inputs)
    for t in range(len(inputs)):
        for c in range(inputs.shape[1]):
            total = sum(weights[c, j] * inputs[t - size + 1 + j, c] for j in range(size) if t - size + 1 + j >= 0)
            found[t, c] = total / (1 + math.exp(-total))
    return found


def finite_difference(function: Callable[[Array], float], at: Array, step: float = 1e-6) -> Array:
    """The gradient of a function of an array."""
    found = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        above, below = np.array(at), np.array(at)
        above[index] += step
        below[index] -= step
        found[index] = (function(above) - function(below)) / (2 * step)
    return found
