"""Test sequences that a model got wrong, bit by bit: failures.jsonl of a run."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from tasks import Batch, Task

# Sequences of each length.
MOST = 20


class Failures:
    """Gathers sequences with wrong bits from tests as they run, at each length the first MOST.

    Attribute rows, one a sequence:
        length, sequence:  of the test, and which of its sequences, counted from 0.
        wrong_bits, scored_bits, first_wrong_step: how many, and the first step with a wrong one.
        target, output:    the scored bits, a group of digits for every step.
    """

    def __init__(self, task: Task) -> None:
        self.rows: list[dict[str, Any]] = []
        self._task = task

    def at(self, length: int) -> Callable[[Batch, Tensor], None]:
        """What to give the batches of the test at one length and their logits, in order."""
        seen = found = 0

        def see(batch: Batch, logits: Tensor) -> None:
            nonlocal seen, found
            wrong = self._task.wrong(logits, batch)
            failed = wrong.sum((1, 2)).nonzero().flatten().tolist()[: MOST - found]
            self.rows += [self._row(length, seen + row, batch, wrong, row) for row in failed]
            seen, found = seen + len(wrong), found + len(failed)

        return see

    def _row(self, length: int, sequence: int, batch: Batch, wrong: Tensor, row: int) -> dict[str, Any]:
        scored, mistakes = batch.mask[row], wrong[row]
        target = batch.target[row] > 0.5
        return {
            "length": length,
            "sequence": sequence,
            "wrong_bits": int(mistakes.sum()),
            "scored_bits": int(scored.sum()) * self._task.output_size,
            "first_wrong_step": int(mistakes.any(1).nonzero()[0]),
            "target": _digits(target[scored]),
            "output": _digits((target ^ mistakes)[scored]),
        }


def _digits(bits: Tensor) -> str:
    """Bits (step, channel) as text: 0110 1011."""
    return " ".join("".join(map(str, step)) for step in bits.int().tolist())
