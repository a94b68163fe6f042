"""Batches that are drawn before they are wanted, several at a time, which takes half as long as one by one."""

from collections.abc import Callable

import torch

from tasks import Batch

# Batches at a time, and numbers that they may have together.
_MOST, _NUMBERS = 32, 1 << 18


class Ahead:
    """Batches as `draw` gives them one after the other, whose generator may be ahead of them.

    Nobody else draws from it, until it is given back.
    """

    def __init__(self, draw: Callable[[torch.Generator], Batch]) -> None:
        self._draw = draw
        self._left: list[Batch] = []
        self._taken = 0
        self._before = torch.empty(0)

    def take(self, generator: torch.Generator, *, several: bool) -> Batch:
        """The next batch. several: whether those after it, too, may be drawn now."""
        if not self._left:
            self._before, self._taken = generator.get_state(), 0
            first = self._draw(generator)
            numbers = sum(tensor.numel() for tensor in first)
            more = min(_MOST, _NUMBERS // numbers) - 1 if several else 0
            # The next comes last.
            self._left = [first, *(self._draw(generator) for _ in range(more))][::-1]
        self._taken += 1
        return self._left.pop()

    def give_back(self, generator: torch.Generator) -> None:
        """Forget what was not taken: the generator is as if it had not been drawn."""
        if self._left:
            generator.set_state(self._before)
            for _ in range(self._taken):
                self._draw(generator)
            self._left = []
