"""The sparse differentiable neural computer as slow loops over single numbers, written from the equations.

It shares nothing with memnet. No batch axis: one sequence, one step at a time; everything is dense, with zeros.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.slow_equations import Array
from tests.slow_sam import nearest


@dataclasses.dataclass
class SlowLinks:
    """What is carried: M (slot, width), ages, last weightings of reading, p, N and P (slot, slot)."""

    memory: Array
    age: Array
    reads: Array
    precedence: Array
    before: Array
    after: Array


def largest(row: Array, count: int) -> Array:
    """The row with zeros where it has more than `count` larger numbers."""
    chosen = sorted(range(len(row)), key=lambda i: (-row[i], i))[:count]
    return np.array([row[i] if i in chosen else 0.0 for i in range(len(row))])


def step(state: SlowLinks, told: dict[str, Array], count: int, links: int, threshold: float) -> tuple[SlowLinks, Array]:
    """One step from what the controller told, arrays by the names of Told: the next state, and where was written."""
    slots = range(len(state.memory))
    heads = range(len(told["key"]))
    alpha, gamma = told["gate"][0, 0], told["again"][0, 0]
    unused = min(slots, key=lambda i: (-state.age[i], i))
    last = [sum(state.reads[h, i] for h in heads) / len(heads) for i in slots]
    w = np.array([alpha * (gamma * last[i] + (1 - gamma) * (i == unused)) for i in slots])
    memory = np.array([state.memory[i] * (i != unused) + w[i] * told["add"][0] for i in slots])
    p, before, after = state.precedence, np.zeros_like(state.before), np.zeros_like(state.after)
    for i in slots:
        for j in slots:
            if i != j:
                before[i, j] = (1 - w[i]) * state.before[i, j] + w[i] * p[j]
                after[i, j] = (1 - w[j]) * state.after[i, j] + w[j] * p[i]
        before[i], after[i] = largest(before[i], links), largest(after[i], links)
    reads = np.zeros_like(state.reads)
    for h in heads:
        content = nearest(memory, told["key"][h], count, told["strength"][h, 0])
        back, by_content, on = told["modes"][h]
        for i in slots:
            backward = sum(state.reads[h, j] * before[j, i] for j in slots)
            forward = sum(state.reads[h, j] * after[j, i] for j in slots)
            reads[h, i] = back * backward + by_content * content[i] + on * forward
        reads[h] = largest(reads[h], count)
    precedence = largest(np.array([(1 - sum(w)) * p[i] + w[i] for i in slots]), links)
    used = [sum(reads[:, i]) + w[i] > threshold for i in slots]
    age = np.array([0.0 if used[i] else state.age[i] + 1 for i in slots])
    return SlowLinks(memory, age, reads, precedence, before, after), w
