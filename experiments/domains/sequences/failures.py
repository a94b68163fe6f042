"""Test sequences that a model got wrong, answer by answer: failures.jsonl of a run."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from tasks import Batch, Task

# Sequences of each length.
MOST = 20


class Failures:
    """Gathers sequences that are not exact, as the task says, from tests as they run, at each length the first MOST.

    Attribute rows, one a sequence:
        length, sequence:  of the test, and which of its sequences, counted from 0.
        wrong_bits, scored_bits, first_wrong_step: how many, and the first step with a wrong one, None if all are
                           right; of other answers than bits wrong_symbols and so on.
        target, output:    the answers at the scored steps, as `Task.spell` has them.
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
            failed = (~self._task.metrics(logits, batch)["exact"]).nonzero().flatten().tolist()[: MOST - found]
            # Logits may be those of the scored steps alone.
            scored = logits[batch.mask] if logits.dim() > 2 else logits
            output, rows = self._task.predict(scored), batch.mask.nonzero()[:, 0]
            self.rows += [self._row(length, seen + row, batch, output[rows == row], wrong, row) for row in failed]
            seen, found = seen + len(wrong), found + len(failed)

        return see

    def _row(self, length: int, sequence: int, batch: Batch, output: Tensor, wrong: Tensor, row: int) -> dict[str, Any]:
        scored, mistakes, kind = batch.mask[row], wrong[row], self._task.answer
        return {
            "length": length,
            "sequence": sequence,
            f"wrong_{kind}": int(mistakes.sum()),
            f"scored_{kind}": int(scored.sum()) * mistakes.size(1),
            "first_wrong_step": next(iter(mistakes.any(1).nonzero().flatten().tolist()), None),
            "target": self._task.spell(batch.target[row][scored]),
            "output": self._task.spell(output),
        }
