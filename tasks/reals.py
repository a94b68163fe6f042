"""Tasks whose answers are real numbers: squared error."""

import torch
from torch import Tensor

from .common import Batch, Score, Task, check_logits

MSE = Score("mse", "mse", "mean squared error", "mse")


class NumberTask(Task):
    """A task with a number to be told at each scored step.

    To bring are `metrics`, `wrong`, `summarize`, which has mse in it, `render`, and what else `Task` asks for.
    """

    answer = "numbers"
    curve = MSE
    criterion = MSE

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """The squared error of every sequence, summed over its scored steps: (batch,)."""
        check_logits(logits, batch)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        error = (logits - batch.target).squeeze(-1).masked_fill(~batch.mask, 0)
        return error.square().sum(dim=1)

    def predict(self, logits: Tensor) -> Tensor:
        """The logits: they are the numbers."""
        return logits

    def spell(self, answers: Tensor) -> str:
        """The numbers, to three places."""
        return " ".join(f"{number:.3f}" for number in answers.flatten().tolist())

    def training_score(self, loss: float, scored: float) -> float:
        """The mean squared error of a scored step."""
        return loss / scored
