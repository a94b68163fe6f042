"""The adding problem (Hochreiter and Schmidhuber 1997, Long Short-Term Memory, section 5.4)."""

import textwrap

import torch
from torch import Tensor

from .common import Batch, Score, check_logits, draw_below, draw_range, steps_of
from .drawing import characters, fold, ruler
from .reals import MSE, NumberTask

CORRECT = 0.04  # the largest error of a right answer, as in the 1997 paper
WITHIN = Score("exact_share", f"within {CORRECT}", f"Sequences within {CORRECT}, %", "of the sequences right", ".1%")


class Adding(NumberTask):
    """Add the two marked numbers of a sequence (Hochreiter and Schmidhuber 1997; Le et al. 2015, arXiv 1504.00941).

        step      0 ... n-1
        value     uniform on [0, 1] at every step
        marker    1 at two steps, else 0: one in the first half, one in the second
        target    at step n-1: the sum of the two marked values

    Two input channels, one output channel. A sequence of length n has n steps, of which the last is scored; the
    first half has the n/2 steps, rounded down, at which the first marker is uniform, as the second is on the others.

    Values and target are those of Le et al. 2015, one marker in each half as in Arjovsky et al. 2016 (arXiv
    1511.06464). The 1997 paper has values on [-1, 1] and the target 1/2 + (X1 + X2) / 4.

    Who always answers 1, the mean of the sum, has its variance 2/12 = 0.1667 as mean squared error; Le et al. print
    0.1767. Le et al. train at 150, 200, 300 and 400 steps.
    """

    name = "adding"
    length_unit = "steps"
    length_range = (400, 400)
    test_lengths = (400,)
    exact = WITHIN
    scores = (WITHIN, MSE)
    panels = (WITHIN, MSE)

    def __init__(self) -> None:
        self.input_channels, self.output_channels = ("value", "marker"), ("sum",)

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """As `Task.sample`; a length is at least 2, since two steps are marked."""
        steps = draw_range("length", length, batch_size, generator, minimum=2).unsqueeze(1)
        longest, device = int(steps.max()), generator.device
        step, half = torch.arange(longest, device=device), steps // 2
        real = step < steps
        values = torch.rand(batch_size, longest, generator=generator, device=device) * real
        first, second = draw_below(half, generator), half + draw_below(steps - half, generator)
        marker = ((step == first) | (step == second)).float()
        mask = step == steps - 1
        target = (values * marker).sum(dim=1, keepdim=True) * mask
        return Batch(torch.stack([values, marker], dim=-1), target.unsqueeze(-1), mask, steps.squeeze(1))

    def metrics(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Numbers of every sequence, each a tensor of shape (batch,), without gradients.

        squared_error: (prediction - target)^2
        exact:         bool, true where the error is below 0.04
        """
        error = self.losses(logits.detach(), batch)
        return {"squared_error": error, "exact": error < CORRECT**2}

    def summarize(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        """mse, and exact_share: sequences with an error below 0.04."""
        return {
            "mse": float(metrics["squared_error"].double().mean()),
            "exact_share": float(metrics["exact"].double().mean()),
        }

    def wrong(self, logits: Tensor, batch: Batch) -> Tensor:
        """Where the error of a scored step is 0.04 or more, or NaN: bool (batch, time, 1). Arguments as there."""
        check_logits(logits, batch)
        return ~((logits - batch.target).square() < CORRECT**2) & batch.mask.unsqueeze(-1)

    def baselines(self, length: int) -> dict[str, float]:
        """Always answering 1: the variance of the sum of two uniform numbers."""
        return {"baseline_mse": 1 / 6}

    def render(self, batch: Batch, index: int = 0, logits: Tensor | None = None, width: int = 80) -> str:
        """Draw one example as text: a column a time step, folded to `width` columns.

        Values by their first digit after the point, 1 where marked; below, the marked values and their sum.
        ValueError for an index outside the batch, logits of the wrong shape or a width below 40.
        """
        steps = steps_of(batch, index)
        values, marker = batch.input[index, :steps].T
        rows = [("step", ruler(steps)), ("value, tenths", characters((10 * values).clamp(max=9), "0123456789"))]
        rows += [("marker", characters(marker, ".1")), ("scored", characters(batch.mask[index, :steps], " ^"))]
        marked = " + ".join(f"{values[step]:.3f} (step {step})" for step in marker.nonzero().flatten().tolist())
        note = f"{marked} = {batch.target[index, steps - 1, 0]:.3f}"
        if logits is not None:
            check_logits(logits, batch)
            note += f", predicted {logits[index, steps - 1, 0]:.3f}"
        drawing = fold(rows, width)
        return "\n".join([f"{self.name}: {steps} steps, 1 scored", *drawing, "", textwrap.fill(note, width)])
