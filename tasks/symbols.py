"""Tasks whose answers are symbols: categorical cross-entropy, and errors in percent."""

import math
import textwrap
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from .common import EXACT, Batch, Score, Task, check_logits, steps_of
from .drawing import characters, fold, ruler

NATS = Score("nats_per_step", "nats/step", "cross-entropy, nats per scored step", "nats")
ERROR = Score("error_percent", "wrong %", "Wrong answers, %", "% wrong")


class SymbolTask(Task):
    """A task with an answer of symbols: of all output channels one is right, or one of each group.

    Channels are named by a character or a short word, as `render` draws them.
    """

    answer = "symbols"
    # Answers of a step; the output channels are those of the one after those of the other, as many each.
    groups: int = 1
    scores: ClassVar[tuple[Score, ...]] = (EXACT, ERROR, NATS)
    panels: ClassVar[tuple[Score, ...]] = (EXACT, ERROR, NATS)
    curve = NATS
    criterion = ERROR

    @property
    def answers_of_a_step(self) -> int:
        return self.groups

    @property
    def symbols_of_losses(self) -> int | None:
        return self.groups if type(self).losses is SymbolTask.losses else None

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """Categorical cross-entropy in nats, summed over the scored steps of a sequence: (batch,)."""
        check_logits(logits, batch)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # half precision sums badly
        logs = F.log_softmax(self._grouped(logits), dim=-1)
        every = -(logs * self._grouped(batch.target.to(logits.dtype))).sum(dim=-1).sum(dim=-1)
        return every.masked_fill(~batch.mask, 0).sum(dim=1)

    def metrics(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Numbers of every sequence, each a tensor of shape (batch,), without gradients.

        nats:         cross-entropy summed over the scored steps
        scored_steps: number of scored steps, int64
        wrong:        number of questions of which some symbol is not the likeliest, int64
        questions:    number of scored steps at which the symbol depends on the input, int64
        exact:        bool, true where every scored step is right

        A tie is wrong, and so is NaN.
        """
        logits = logits.detach()
        wrong, questions = self.wrong(logits, batch).any(dim=-1), self.questions(batch)
        return {
            "nats": self.losses(logits, batch),
            "scored_steps": batch.mask.sum(dim=1),
            "wrong": (wrong & questions).sum(dim=1),
            "questions": questions.sum(dim=1),
            "exact": ~wrong.any(dim=1),
        }

    def wrong(self, logits: Tensor, batch: Batch) -> Tensor:
        """Where the right symbol is not the likeliest of its group: bool (batch, time, group). Arguments as there."""
        check_logits(logits, batch)
        logits, right = self._grouped(logits), self._grouped(batch.target) > 0.5
        own, others = (logits.masked_fill(hidden, -torch.inf).amax(dim=-1) for hidden in (~right, right))
        return ~(own > others) & batch.mask.unsqueeze(-1)

    def questions(self, batch: Batch) -> Tensor:
        """(batch, time) bool: the scored steps at which the right symbol depends on the input."""
        return batch.mask

    def summarize(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        """nats_per_step over all scored steps, error_percent of all questions, exact_share of the sequences."""
        return {
            "nats_per_step": float(metrics["nats"].sum() / metrics["scored_steps"].sum()),
            "error_percent": 100 * float(metrics["wrong"].sum() / metrics["questions"].sum()),
            "exact_share": float(metrics["exact"].double().mean()),
        }

    def predict(self, logits: Tensor) -> Tensor:
        """Probabilities of the symbols, which sum to one in every group of a step."""
        return torch.softmax(self._grouped(logits), dim=-1).flatten(-2)

    def _grouped(self, channels: Tensor) -> Tensor:
        """(..., output_size) as (..., group, symbol)."""
        grouped: Tensor = channels.unflatten(-1, (self.groups, -1))
        return grouped

    def spell(self, answers: Tensor) -> str:
        """The likeliest symbols, by their channels."""
        names = [self.output_channels[place] for place in answers.argmax(-1).tolist()]
        return ("" if all(len(name) == 1 for name in self.output_channels) else " ").join(names)

    def training_score(self, loss: float, scored: float) -> float:
        """Nats per scored step."""
        return loss / scored

    def baselines(self, length: int) -> dict[str, float]:
        """Guessing among all symbols alike."""
        guess = self.groups / self.output_size
        nats = -math.log(guess) * self.groups
        return {"baseline_error_percent": 100 * (1 - guess**self.groups), "baseline_nats_per_step": nats}

    def render(self, batch: Batch, index: int = 0, logits: Tensor | None = None, width: int = 80) -> str:
        """Draw one example as text: a column a time step, folded to `width` columns.

        Input, target and, with logits, the likeliest symbols, by the characters of their channels.
        ValueError for an index outside the batch, logits of the wrong shape or a width below 40.
        """
        steps, drawn = steps_of(batch, index), self.channels(batch)
        given, target, mask = (tensor[index, :steps] for tensor in (drawn.input, drawn.target, batch.mask))
        names, longest = self.output_channels, max(map(len, (*self.input_channels, *self.output_channels)))
        wide = 1 if longest == 1 else max(longest, len(str(steps))) + 1
        title = f"{self.name}: {steps} steps, {int(mask.sum())} scored"
        answers = [("target", target)]
        if logits is not None:
            title += f", {int(self.wrong(logits, batch)[index].sum())} predicted wrong"
            answers.append(("predicted", logits[index, :steps]))
        rows = [("step", ruler(steps, wide)), ("input", characters(given.argmax(-1), self.input_channels, wide))]
        for name, values in answers:
            spoken = values.argmax(-1).masked_fill(~mask, -1)
            rows.append((name, characters(spoken, (*names, " "), wide)))
        rows.append(("scored", characters(mask, " ^", wide)))
        drawing = fold(rows, width, wide)
        return "\n".join([textwrap.fill(title, width, break_on_hyphens=False), *drawing])
