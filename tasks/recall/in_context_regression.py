"""Linear regression in context (Garg et al. 2022, What Can Transformers Learn In-Context?)."""

import textwrap

import torch
from torch import Tensor
from torch.nn import functional as F

from ..common import Batch, Score, check_count, check_logits, draw_range, steps_of
from ..reals import MSE, NumberTask

CLOSE = 0.1  # to the best guess, of a right answer
WITHIN = Score(
    "exact_share", f"within {CLOSE}", f"Last answers within {CLOSE} of least squares, %", "right", ".1%", best="high"
)
RATIO = Score(
    "last_ratio", "error / optimum", "Squared error of the last answer over least squares'", "times least squares'"
)


class InContextRegression(NumberTask):
    """What has a linear function at one more point? (after Garg et al. 2022, arXiv 2208.01066)

        x_1  y_1  x_2  y_2 ... x_n  y_n  x_(n+1)        y_i = w . x_i + noise        at each x_i its y_i is due

    Weights and points are N(0, 1) in each dimension, weights anew for each sequence. Points and values come one a step,
    a point in its own channels and a value in another. A length of n is n points with their values before the last one,
    2 n + 1 steps.

    Nobody knows better, in the mean of all sequences, than the least squares of what came before, with a ridge of the
    noise's variance: w = (X^T X + noise^2 I)^-1 X^T y. Scores are told beside its own. The paper has 20 dimensions, 40
    points and no noise, so that of many points all is known, and no error is left to compare with.

    Who always answers 0 has a squared error of dimensions + noise^2.

    dimensions: of a point. noise: its standard deviation, above 0.
    """

    name = "in-context-regression"
    length_unit = "points"
    exact = WITHIN
    scores = (WITHIN, RATIO, MSE)
    panels = (WITHIN, RATIO)
    criterion = RATIO

    def __init__(self, dimensions: int = 5, noise: float = 0.5) -> None:
        """ValueError for no dimension, or for no noise."""
        if not 0 < noise < float("inf"):
            raise ValueError(f"noise must be a number above 0, got {noise!r}")
        self.dimensions, self.noise = check_count("dimensions", dimensions), noise
        self.length_range = (2 * dimensions, 2 * dimensions)
        self.test_lengths = (dimensions, 2 * dimensions, 4 * dimensions)
        self.input_channels = (*(f"x{one}" for one in range(dimensions)), "y")
        self.output_channels = ("y",)

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        counts, device = draw_range("length", length, batch_size, generator).unsqueeze(1), generator.device
        shape = (batch_size, int(counts.max()) + 1)
        weights = torch.randn(batch_size, self.dimensions, 1, generator=generator, device=device)
        points = torch.randn(*shape, self.dimensions, generator=generator, device=device)
        values = points @ weights + self.noise * torch.randn(*shape, 1, generator=generator, device=device)
        # Each point, then its value.
        given = torch.stack([F.pad(points, (0, 1)), F.pad(values, (self.dimensions, 0))], 2).flatten(1, 2)[:, :-1]
        step, steps = torch.arange(given.size(1), device=device), 2 * counts + 1
        mask = (step % 2 == 0) & (step < steps)
        target = torch.stack([values, torch.zeros_like(values)], 2).flatten(1, 2)[:, :-1]
        real = (step < steps).unsqueeze(2)
        return Batch(given * real, target * mask.unsqueeze(2), mask, steps.squeeze(1))

    def least_squares(self, batch: Batch) -> Tensor:
        """The best guess at every point from all before it, (batch, time, 1); zero at the steps between."""
        points, values = batch.input[:, ::2, :-1].double(), F.pad(batch.input[:, 1::2, -1:].double(), (0, 0, 0, 1))
        products = points.transpose(1, 2).unsqueeze(-1) * torch.cat([points, values], 2).unsqueeze(1)
        # Sums of what came before each point.
        sums = (products.cumsum(2) - products).transpose(1, 2)
        square, right = sums.split([self.dimensions, 1], 3)
        ridge = self.noise**2 * torch.eye(self.dimensions, dtype=torch.float64, device=points.device)
        guess = (torch.linalg.solve(square + ridge, right).squeeze(3) * points).sum(2, keepdim=True)
        spread = torch.stack([guess, torch.zeros_like(guess)], 2).flatten(1, 2)[:, :-1]
        return spread * batch.mask.unsqueeze(2)

    def metrics(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Numbers of every sequence, each a tensor of shape (batch,), without gradients.

        squared_error, best_error: summed over the scored steps, the model's and that of least squares
        scored_steps:              how many
        last, best_last:           both errors of the last step
        exact:                     bool, true where the last answer is within 0.1 of least squares
        """
        best, last = self.least_squares(batch), (batch.lengths - 1).unsqueeze(1)
        both = [(guess.detach() - batch.target).squeeze(2).square() * batch.mask for guess in (logits, best)]
        errors = {"squared_error": self.losses(logits.detach(), batch), "best_error": both[1].sum(1)}
        lasts = {name: one.gather(1, last).squeeze(1) for name, one in zip(("last", "best_last"), both, strict=True)}
        exact = ~self.wrong(logits.detach(), batch).squeeze(2).gather(1, last).squeeze(1)
        return {**errors, **lasts, "scored_steps": batch.mask.sum(1), "exact": exact}

    def wrong(self, logits: Tensor, batch: Batch) -> Tensor:
        """Where a scored answer is 0.1 or more from that of least squares, or NaN: bool (batch, time, 1)."""
        check_logits(logits, batch)
        return ~((logits - self.least_squares(batch)).abs() < CLOSE) & batch.mask.unsqueeze(-1)

    def summarize(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        """mse and optimal_mse of all scored steps, last_ratio of the two errors of the last, and exact_share."""
        sums = {name: float(values.double().sum()) for name, values in metrics.items()}
        return {
            "mse": sums["squared_error"] / sums["scored_steps"],
            "optimal_mse": sums["best_error"] / sums["scored_steps"],
            "last_ratio": sums["last"] / sums["best_last"],
            "exact_share": float(metrics["exact"].double().mean()),
        }

    def baselines(self, length: int) -> dict[str, float]:
        """Always answering 0."""
        return {"baseline_mse": self.dimensions + self.noise**2}

    def render(self, batch: Batch, index: int = 0, logits: Tensor | None = None, width: int = 80) -> str:
        """Tell one example: every point with its value, what least squares guess and, with logits, the model.

        ValueError for an index outside the batch or logits of the wrong shape.
        """
        steps = steps_of(batch, index)
        guesses = [("least squares", self.least_squares(batch))]
        if logits is not None:
            check_logits(logits, batch)
            guesses.append(("predicted", logits))
        lines = [f"{self.name}: {steps} steps, {steps // 2 + 1} scored", ""]
        for step in range(0, steps, 2):
            point = self.spell(batch.input[index, step, :-1])
            told = [f"{name} {float(values[index, step]):.3f}" for name, values in guesses]
            lines.append(f"{point}: {', '.join([f'{float(batch.target[index, step]):.3f}', *told])}")
        return "\n".join(textwrap.fill(line, width, subsequent_indent="  ") for line in lines)
