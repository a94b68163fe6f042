"""Sparse access memory as slow loops over single numbers, written from the equations, sharing nothing with memnet.

No batch axis: one sequence, one step at a time; weightings are dense, with zeros where a head does not look.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tests.slow_equations import Array, similarity


@dataclasses.dataclass
class SlowSlots:
    """What is carried: M (slot, width), for how long each slot has not been used, last weightings of reading."""

    memory: Array
    age: Array
    reads: Array


def nearest(memory: Array, key: Array, count: int, strength: float) -> Array:
    """The softmax over the `count` slots of the largest cosine, zero elsewhere."""
    cosines = [similarity(key, row) for row in memory]
    chosen = sorted(range(len(memory)), key=lambda i: (-cosines[i], i))[:count]
    scores = {i: math.exp(strength * cosines[i]) for i in chosen}
    return np.array([scores.get(i, 0.0) / sum(scores.values()) for i in range(len(memory))])


def step(state: SlowSlots, told: dict[str, Array], count: int, threshold: float) -> tuple[SlowSlots, Array]:
    """One step from what the controller told, arrays by the names of Told: the next state, and where was written."""
    slots, width = state.memory.shape
    heads = range(len(told["key"]))
    # Of the slots that have not been used for longest, each head has one, in the order of the slots.
    unused = sorted(sorted(range(slots), key=lambda i: (-state.age[i], i))[: len(heads)])
    writes, memory = np.zeros((len(heads), slots)), np.array(state.memory)
    for h in heads:
        alpha, gamma = told["gate"][h, 0], told["again"][h, 0]
        for i in range(slots):
            writes[h, i] = alpha * (gamma * state.reads[h, i] + (1 - gamma) * (i == unused[h]))
    for i in range(slots):
        for k in range(width):
            memory[i, k] = memory[i, k] * (i not in unused) + sum(writes[h, i] * told["add"][h, k] for h in heads)
    reads = np.array([nearest(memory, told["key"][h], count, told["strength"][h, 0]) for h in heads])
    used = [sum(reads[:, i]) + sum(writes[:, i]) > threshold for i in range(slots)]
    age = np.array([0.0 if used[i] else state.age[i] + 1 for i in range(slots)])
    return SlowSlots(memory, age, reads), writes
