"""Nth farthest (Santoro et al. 2018, Relational Recurrent Neural Networks)."""

import math
import textwrap

import torch
from torch import Tensor

from ..common import EXACT, Batch, check_count, draw_below, draw_distinct, draw_range, one_hot, steps_of
from ..symbols import NATS, SymbolTask


class NthFarthest(SymbolTask):
    """Which vector is the n-th farthest from vector m? (Santoro et al. 2018, arXiv 1806.01822, 4.1)

    Vectors, uniform on (-1, 1) in each of their dimensions, come one a step, each with its label; m, a label, and n are
    told at every step. The answer, the label of the vector that is n-th in the order of falling Euclidean distance
    from vector m, is due at the last step. n is counted from 0; the last is vector m itself. Input channels: the
    vector, then label, m and n, each one channel a number. A length is the number of vectors.

    Guessing among the labels that are there has one of as many right. The paper trains and tests with 8.

    vectors: the largest number of them, and so of labels. dimensions: of a vector.
    """

    name = "nth-farthest"
    length_unit = "vectors"
    scores = panels = (EXACT, NATS)

    def __init__(self, vectors: int = 8, dimensions: int = 16) -> None:
        """ValueError for less than two vectors or no dimension."""
        self.longest = check_count("vectors", vectors, 2)
        self.length_range, self.test_lengths = (vectors, vectors), (vectors,)
        numbers = [str(one) for one in range(vectors)]
        self.dimensions = check_count("dimensions", dimensions)
        told = [f"{what} is {one}" for what in ("label", "m", "n") for one in numbers]
        self.input_channels = (*(f"x{place}" for place in range(dimensions)), *told)
        self.output_channels = tuple(numbers)

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        counts, device = draw_range("length", length, batch_size, generator, 2).unsqueeze(1), generator.device
        longest, most = self.longest_of(counts, "the number of labels"), self.output_size
        points = 2 * torch.rand(batch_size, longest, self.dimensions, generator=generator, device=device) - 1
        labels = draw_distinct(batch_size, longest, most, generator)
        centre, rank = draw_below(counts, generator), draw_below(counts, generator)
        there = torch.arange(longest, device=device) < counts
        middle = points.gather(1, centre.unsqueeze(-1).expand(-1, -1, self.dimensions))
        far = (points - middle).square().sum(-1).masked_fill(~there, -1.0)
        chosen = far.argsort(1, descending=True).gather(1, rank)
        asked = torch.stack([labels, labels.gather(1, centre).expand_as(labels), rank.expand_as(labels)], 2)
        given = torch.cat([points, one_hot(asked, most).flatten(2)], 2) * there.unsqueeze(-1)
        mask = torch.arange(longest, device=device) == counts - 1
        target = one_hot(labels.gather(1, chosen), most) * mask.unsqueeze(-1)
        return Batch(given, target, mask, counts.squeeze(1))

    def baselines(self, length: int) -> dict[str, float]:
        """Guessing among the labels that are there, all alike."""
        return {
            "baseline_exact_share": 1 / length,
            "baseline_error_percent": 100 * (1 - 1 / length),
            "baseline_nats_per_step": math.log(length),
        }

    def render(self, batch: Batch, index: int = 0, logits: Tensor | None = None, width: int = 80) -> str:
        """Tell one example: the question, and every vector's label and distance from vector m.

        ValueError for an index outside the batch or logits of the wrong shape.
        """
        steps = steps_of(batch, index)
        points, told = batch.input[index, :steps].split([self.dimensions, 3 * self.output_size], 1)
        labels, (centre, *_), (rank, *_) = told.unflatten(1, (3, -1)).argmax(2).T.tolist()
        distances = (points - points[labels.index(centre)]).norm(dim=1).tolist()
        answer = batch.target[index, steps - 1].argmax()
        lines = [f"{self.name}: {steps} steps, 1 scored", "", f"number {rank} from vector {centre}: {answer}", ""]
        if logits is not None:
            lines[0] += f", {int(self.wrong(logits, batch)[index].sum())} predicted wrong"
            lines[2] += f", predicted {logits[index, steps - 1].argmax()}"
        lines += [f"vector {label}: {distance:.3f}" for label, distance in zip(labels, distances, strict=True)]
        return "\n".join(textwrap.fill(line, width) for line in lines)
