"""Least recently used access as slow loops over single numbers, written from the paper, sharing nothing with memnet.

No batch axis: one sequence, one step at a time.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.slow_equations import Array, by_content


@dataclasses.dataclass
class SlowUse:
    """What is carried: M (slot, width), u, last weightings of reading and of writing (head, slot)."""

    memory: Array
    usage: Array
    reads: Array
    writes: Array


def step(state: SlowUse, keys: Array, gates: Array, strengths: Array, decay: float) -> SlowUse:
    """One step from what the controller told: keys (head, width), gates and strengths (head,)."""
    slots, width = state.memory.shape
    order = sorted(range(slots), key=lambda i: (state.usage[i], i))
    writes = np.zeros((len(keys), slots))
    memory = np.array(state.memory)
    for h, gate in enumerate(gates):
        for i in range(slots):
            writes[h, i] = gate * state.reads[h, i] + (1 - gate) * (order[h] == i)
        memory[order[h]] = 0
    for h, key in enumerate(keys):
        for i in range(slots):
            for k in range(width):
                memory[i, k] += writes[h, i] * key[k]
    reads = np.array([by_content(memory, key, strengths[h]) for h, key in enumerate(keys)])
    usage = np.array([decay * state.usage[i] + sum(reads[:, i]) + sum(writes[:, i]) for i in range(slots)])
    return SlowUse(memory, usage, reads, writes)
