"""Tasks whose rows are drawn as whole numbers: as channels for small alphabets, or as tokens, for a reader to embed."""

import math
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from .common import EXACT, Batch, Score, Task, draw_range, drawn_by_length, one_hot
from .symbols import NATS, SymbolTask

RIGHT = Score("right_share", "right", "Answers right, %", "of the answers right", ".2%", best="high")
# Of how many sequences and steps baselines are estimated, of how many answers at least, and then of how many steps.
_ROWS, _STEPS, _ANSWERS, _MOST_STEPS = 1000, 1 << 18, 10_000, 1 << 22


class Drawn(Task):
    """A task of which all rows of one length are drawn together, as whole numbers.

    To bring are `draw` and `laid_out`, and what `Task` asks for.
    """

    @abstractmethod
    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Input and target of rows of one length, each (row, time) int64.

        Input is -1 after the end of a row, target where nothing is scored.
        """

    @abstractmethod
    def laid_out(self, input: Tensor, target: Tensor, steps: Tensor) -> Batch:
        """The batch of what was drawn, with so many steps a row; after them input is 0, and target -1."""

    def sample(
        self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator, **options: Any
    ) -> Batch:
        """As `Task.sample`; rows of one length are drawn together. options: of `draw`, where it has more."""
        counts = draw_range("length", length, batch_size, generator, self.shortest)
        self.longest_of(counts, "where this task ends")
        return self.laid_out(*drawn_by_length(lambda rows, one: self.draw(rows, one, generator, **options), counts))

    def drawn_answers(self, length: int) -> Tensor:
        """Answers of a fixed seed to estimate a baseline from, (row, time), -1 where there is none: 10,000 at least.

        Where a row has so few that this would be too many steps, they are of a shorter length.
        """
        generator, rows, found = torch.Generator(), max(1, min(_ROWS, _STEPS // length)), 0
        while found < _ANSWERS:
            target = self.draw(rows, length, generator)[1]
            found = int((target >= 0).sum())
            rows = math.ceil(rows * _ANSWERS / found)
            length = max(self.shortest, min(length, _MOST_STEPS // rows))
        return target


class DrawnTask(Drawn, SymbolTask):
    """A task of symbols whose rows are drawn as numbers of channels, see `Drawn`."""

    alike: ClassVar[bool] = False  # whether at every length all answers are equally frequent
    scores: ClassVar[tuple[Score, ...]] = (EXACT, RIGHT, NATS)
    panels = (EXACT, RIGHT, NATS)

    def laid_out(self, input: Tensor, target: Tensor, steps: Tensor) -> Batch:
        real = torch.arange(input.size(1), device=input.device) < steps.unsqueeze(1)
        given = one_hot(input.masked_fill(~real, -1), self.input_size)
        return Batch(given, one_hot(target, self.output_size), target >= 0, steps)

    def summarize(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        """As `SymbolTask.summarize`, and right_share, the share of all answers that are right."""
        known = super().summarize(metrics)
        return known | {"right_share": 1 - known["error_percent"] / 100}

    def baselines(self, length: int) -> dict[str, float]:
        """Who gives the most frequent answer always, and knows how frequent each is, but nothing of the input.

        Exact where `shares` is.
        """
        shares = self.shares(length)
        nats = float(torch.special.entr(shares).sum())
        return {"baseline_right_share": float(shares.max()), "baseline_nats_per_step": nats}

    def shares(self, length: int) -> Tensor:
        """How frequent each answer is, (output_size,); estimated where neither all are alike nor the task knows it."""
        if self.alike:
            return torch.full((self.output_size,), 1 / self.output_size, dtype=torch.float64)
        answers = self.drawn_answers(length)
        given = answers[answers >= 0]
        return given.bincount(minlength=self.output_size) / len(given)


class TokenTask(DrawnTask):
    """A task whose steps are tokens and whose answers are classes, for models that read whole numbers.

    input (batch, time) and target (batch, time) are int64, the target -1 where nothing is scored; channels name the
    tokens and the classes. Logits are (batch, time, class), or those of the scored steps alone, (step, class), as the
    model gives them that is told `scored`: of many classes and few questions that saves most of the work.
    """

    domain = "tokens"

    @property
    def sizes(self) -> dict[str, int]:
        return {"vocab_size": self.input_size, "num_classes": self.output_size}

    def asked(self, batch: Batch) -> dict[str, Tensor]:
        return {"scored": batch.mask}

    def channels(self, batch: Batch) -> Batch:
        """The batch with one channel a token and a class; ValueError for those that there are not."""
        real = torch.arange(batch.input.size(1), device=batch.input.device) < batch.lengths.unsqueeze(1)
        for what, numbers, least, most in (
            ("input", batch.input[real], 0, self.input_size - 1),
            ("target", batch.target, -1, self.output_size - 1),
        ):
            if numbers.dtype != torch.int64:
                raise ValueError(f"{what} must be int64, got {numbers.dtype}")
            low, high = int(numbers.min()), int(numbers.max())
            if low < least or high > most:
                raise ValueError(f"{what} must be from {least} to {most}, got {low if low < least else high}")
        given = one_hot(batch.input.masked_fill(~real, -1), self.input_size)
        return batch._replace(input=given, target=one_hot(batch.target, self.output_size))

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """Categorical cross-entropy in nats, summed over the scored steps of a sequence: (batch,)."""
        whole = self._whole(logits, batch)
        logs = F.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=-1)
        target = batch.target.clamp(min=0)
        if whole:
            every = -logs.gather(-1, target.unsqueeze(-1)).squeeze(-1)
            return every.masked_fill(~batch.mask, 0).sum(dim=1)
        every = -logs.gather(-1, target[batch.mask].unsqueeze(-1)).squeeze(-1)
        return every.new_zeros(len(target)).index_add(0, batch.mask.nonzero()[:, 0], every)

    def wrong(self, logits: Tensor, batch: Batch) -> Tensor:
        """As `SymbolTask.wrong`: bool (batch, time, 1)."""
        asked = logits[batch.mask] if self._whole(logits, batch) else logits
        right = one_hot(batch.target[batch.mask], self.output_size) > 0.5
        own, others = (asked.masked_fill(hidden, -torch.inf).amax(dim=-1) for hidden in (~right, right))
        return torch.zeros_like(batch.mask).masked_scatter(batch.mask, ~(own > others)).unsqueeze(-1)

    def spell(self, answers: Tensor) -> str:
        """Classes (step,), or the likeliest ones of (step, class), by their names."""
        return super().spell(answers if answers.is_floating_point() else one_hot(answers, self.output_size))

    def laid_out(self, input: Tensor, target: Tensor, steps: Tensor) -> Batch:
        return Batch(input, target, target >= 0, steps)

    def _whole(self, logits: Tensor, batch: Batch) -> bool:
        """Whether logits are of every step; ValueError for those that are of neither form, or no real numbers."""
        whole = logits.dim() == batch.target.dim() + 1
        expected = (*batch.target.shape, self.output_size) if whole else (int(batch.mask.sum()), self.output_size)
        if logits.shape != expected:
            raise ValueError(f"logits must have shape {expected}, got {tuple(logits.shape)}")
        if not logits.is_floating_point():
            raise ValueError(f"logits must be floating point, got {logits.dtype}")
        return whole
