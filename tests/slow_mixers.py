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


def mlstm(
    cell: Array, normalizer: Array, query: Array, key: Array, value: Array, gates: tuple[float, float]
) -> tuple[Array, Array, Array]:
    """A step of mLSTM (Beck et al. 2024, eqs. 19 to 21) as it stands: C (value, key), n (key,), gates i and f."""
    rows, columns = cell.shape
    i_gate, f_gate = gates
    after = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            after[i, j] = f_gate * cell[i, j] + i_gate * value[i] * key[j]
    sums = np.array([f_gate * normalizer[j] + i_gate * key[j] for j in range(columns)])
    divisor = max(abs(sum(sums[j] * query[j] for j in range(columns))), 1.0)
    read = [sum(after[i, j] * query[j] for j in range(columns)) / divisor for i in range(rows)]
    return np.array(read), after, sums


def state_space(
    state: Array, value: Array, write: Array, read: Array, interval: float, rate: float
) -> tuple[Array, Array]:
    """A step of a head of Mamba-2 without D: S (value, state)."""
    rows, columns = state.shape
    kept = math.exp(-rate * interval)
    after = np.array(
        [[kept * state[i, j] + interval * value[i] * write[j] for j in range(columns)] for i in range(rows)]
    )
    return np.array([sum(after[i, j] * read[j] for j in range(columns)) for i in range(rows)]), after


def rwkv7(
    memory: Array, receptance: Array, decay: Array, removal: Array, rate: Array, key: Array, value: Array
) -> tuple[Array, Array]:
    """A step of RWKV-7's memory, S (value, key): S (Diag(w) - kappa^T (a kappa)) + v^T k."""
    rows, columns = memory.shape
    after = np.zeros((rows, columns))
    for i in range(rows):
        found = sum(memory[i, j] * removal[j] for j in range(columns))
        for j in range(columns):
            after[i, j] = memory[i, j] * decay[j] - found * rate[j] * removal[j] + value[i] * key[j]
    return np.array([sum(after[i, j] * receptance[j] for j in range(columns)) for i in range(rows)]), after
