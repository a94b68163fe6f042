"""Tasks whose answers are bits: sigmoid cross-entropy, and scores in bits."""

import math
import textwrap
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from .common import EXACT, Batch, Score, Task, check_logits, steps_of
from .drawing import characters, fold, ruler

BITS = Score("bits_per_sequence", "bits/seq", "cross-entropy, bits per sequence", "bits")
WRONG_BITS = Score("wrong_bits_per_sequence", "wrong bits/seq", "Wrong bits per sequence", "wrong bits per sequence")
BIT_ERROR_RATE = Score(
    "bit_error_rate", "bit error rate", "Wrong bits, share of scored bits", "of the bits", ".2g", chance=0.5
)


class BitTask(Task):
    """A task with an answer of bits, each with a probability of its own."""

    answer = "bits"
    scores = (EXACT, BIT_ERROR_RATE, WRONG_BITS, BITS)
    panels = (EXACT, BIT_ERROR_RATE, WRONG_BITS)
    curve = BITS
    criterion = WRONG_BITS
    scalar_channels: ClassVar[tuple[str, ...]] = ()  # input channels that carry a real number

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """Sigmoid cross-entropy in nats, summed over the scored bits of a sequence: (batch,).

        logits: (batch, time, output_size), on the device of the batch. ValueError for logits of another shape.
        """
        check_logits(logits, batch)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # half precision sums badly
        every = F.binary_cross_entropy_with_logits(logits, batch.target.to(logits.dtype), reduction="none")
        return every.masked_fill(~batch.mask.unsqueeze(-1), 0).sum(dim=(1, 2))

    @property
    def symbols_of_losses(self) -> int | None:
        return 0 if type(self).losses is BitTask.losses else None

    def metrics(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Scores of every sequence, each a tensor of shape (batch,), without gradients.

        bits:        cross-entropy summed over the scored bits, in bits (nats / ln 2)
        wrong_bits:  number of scored bits predicted on the wrong side of 1/2, int64
        scored_bits: number of scored bits, int64
        exact:       bool, true where wrong_bits is 0

        A probability of exactly 1/2 is on neither side and counts as wrong, and so does NaN.
        logits: (batch, time, output_size), on the device of the batch. ValueError for another shape.
        """
        logits = logits.detach()
        wrong_bits = self.wrong(logits, batch).sum(dim=(1, 2))
        return {
            "bits": self.losses(logits, batch) / math.log(2),
            "wrong_bits": wrong_bits,
            "scored_bits": batch.mask.sum(dim=1) * self.output_size,
            "exact": wrong_bits == 0,
        }

    def wrong(self, logits: Tensor, batch: Batch) -> Tensor:
        """Where a scored bit is wrong, as `metrics` counts it: bool (batch, time, output_size). Arguments as there."""
        check_logits(logits, batch)
        right = torch.where(batch.target > 0.5, logits, -logits) > 0
        return ~right & batch.mask.unsqueeze(-1)

    def summarize(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        """bits_per_sequence, wrong_bits_per_sequence, bit_error_rate (wrong over scored bits), exact_share."""
        return {
            "bits_per_sequence": float(metrics["bits"].mean()),
            "wrong_bits_per_sequence": float(metrics["wrong_bits"].double().mean()),
            "bit_error_rate": float(metrics["wrong_bits"].sum() / metrics["scored_bits"].sum()),
            "exact_share": float(metrics["exact"].double().mean()),
        }

    def predict(self, logits: Tensor) -> Tensor:
        """Probabilities of a one."""
        return torch.sigmoid(logits)

    def spell(self, answers: Tensor) -> str:
        """A group of digits for every step, as in 0110 1011; ? for a probability of 1/2 and NaN."""
        codes = (answers > 0.5).int() + 2 * ~((answers > 0.5) | (answers < 0.5))
        return " ".join(characters(step, "01?") for step in codes)

    def training_score(self, loss: float, scored: float) -> float:
        """Bits per sequence."""
        return loss / math.log(2)

    def curriculum_score(self, loss: float, scored: float) -> float:
        """Bits per scored bit."""
        return loss / math.log(2) / (scored * self.output_size)

    def lengths_to_test(self, longest: int) -> tuple[int, ...]:
        """The lengths of the paper, as far as there are, whatever the training."""
        return tuple(sorted({self.within(length) for length in self.test_lengths}))

    def render(self, batch: Batch, index: int = 0, logits: Tensor | None = None, width: int = 80) -> str:
        """Draw one example as text: a row a channel, a column a time step, folded to `width` columns.

        Input: 1 and . for bits, + and - for real numbers (their values stand below the drawing).
        Target, and prediction when logits are given: 1 and 0 where scored, x where predicted wrong.
        ValueError for an index outside the batch, logits of the wrong shape or a width below 40.
        """
        steps = steps_of(batch, index)
        given, target, mask = (tensor[index, :steps] for tensor in (batch.input, batch.target, batch.mask))
        title = f"{self.name}: {steps} steps, {int(mask.sum()) * self.output_size} scored bits"
        rows, notes = [("step", ruler(steps))], []
        for name, values in zip(self.input_channels, given.T, strict=True):
            scalar = name in self.scalar_channels
            rows.append((f"input {name}", characters(values.sign(), ".+-" if scalar else ".1")))
            if scalar:
                shown = [f"{step}:{values[step]:+.3f}" for step in values.nonzero().flatten().tolist()]
                notes.append(f"{name} by step " + " ".join(shown or ["is 0 throughout"]))
        unscored = ~mask.unsqueeze(-1)
        answers = [("target", target)]
        if logits is not None:
            wrong = self.wrong(logits, batch)[index, :steps]
            title += f", {int(wrong.sum())} predicted wrong"
            answers.append(("predicted", target.masked_fill(wrong, -1)))
        for kind, bits in answers:
            drawn = bits.masked_fill(unscored, 2).T
            for name, codes in zip(self.output_channels, drawn, strict=True):
                rows.append((f"{kind} {name}", characters(codes, "01 x")))
        rows.append(("scored", characters(mask, " ^")))
        drawing = fold(rows, width)
        title, *notes = (textwrap.fill(line, width, break_on_hyphens=False) for line in (title, *notes))
        return "\n".join([title, *drawing, *([""] if notes else []), *notes])
