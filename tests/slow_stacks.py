"""Stacks, queues and tapes as slow loops over single numbers, written from the papers, sharing nothing with memnet.

No batch axis: one structure, one step at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.slow_equations import Array


def stack_step(stack: Array, actions: Sequence[float], value: Array, empty: float) -> Array:
    """Joulin & Mikolov 2015: stack (slot, width), shares of push, pop and no-op."""
    push, pop, stay = actions
    slots, width = stack.shape
    after = np.zeros_like(stack)
    for i in range(slots):
        for k in range(width):
            above = value[k] if i == 0 else stack[i - 1, k]
            below = empty if i == slots - 1 else stack[i + 1, k]
            after[i, k] = push * above + pop * below + stay * stack[i, k]
    return after
