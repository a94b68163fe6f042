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


class SlowStructure:
    """Grefenstette et al. 2015: rows V and strengths s from bottom to top, one more of each with every push."""

    def __init__(self) -> None:
        self.rows: list[Array] = []
        self.strengths: list[float] = []

    def pop(self, amount: float, *, top: bool) -> None:
        before, size = list(self.strengths), len(self.strengths)
        for i in range(size):
            between = before[i + 1 :] if top else before[:i]
            self.strengths[i] = max(0.0, before[i] - max(0.0, amount - sum(between)))

    def push(self, row: Array, strength: float, *, top: bool) -> None:
        place = len(self.rows) if top else 0
        self.rows.insert(place, row)
        self.strengths.insert(place, strength)

    def read(self, *, top: bool) -> Array:
        found = np.zeros_like(self.rows[0])
        for i, row in enumerate(self.rows):
            between = self.strengths[i + 1 :] if top else self.strengths[:i]
            found = found + min(self.strengths[i], max(0.0, 1 - sum(between))) * row
        return found


def tape_step(tape: Array, shares: Sequence[float], value: Array, rule: str, length: int) -> Array:
    """Deletang et al. 2022 (stay, on, back, jumps on and back by the length), or the Baby-NTM of Suzgun et al. 2019."""
    slots, width = tape.shape
    written = np.array(tape)
    if rule == "write-and-move":
        written[0] = value
        offsets, lost = [0, 1, -1, length, -length][: len(shares)], [False] * 5
    else:
        offsets, lost = [1, -1, 0, 1, -1], [False, False, False, True, True]
    after = np.zeros_like(tape)
    for share, offset, loses in zip(shares, offsets, lost, strict=False):
        for i in range(slots):
            for k in range(width):
                inside = 0 <= i + offset < slots
                after[i, k] += share * (written[(i + offset) % slots, k] if inside or not loses else 0.0)
    if rule != "write-and-move":
        after[0] = after[0] + value
    return after
