"""Compression (Poli et al. 2024, Mechanistic Design and Scaling of Hybrid Architectures)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..common import EXACT, Batch, check_count, draw_range, one_hot, steps_of
from ..drawing import characters, fold, ruler
from ..symbols import NATS, SymbolTask
from ..tokens import RIGHT

NOTHING = -1


class Compression(SymbolTask):
    """Say all tokens of a sequence at once, at its last step (after Poli et al. 2024, arXiv 2403.17844, MAD)

        c a b a !   ->   at "!": c, a, b and a, each by an answer of its own

    Tokens are uniform. A length of n is n tokens, n + 1 steps; at the last as many answers are scored, one for each
    place from the first on. So what a step holds for the readout is all that there is.

    The paper's baseline has 15 kinds of tokens, of which there are 31, and reads the last step by a network that is
    told the places; here the model's linear readout does, one matrix a place. Its noise, and that the sign itself is
    scored, are left out. Guessing has one of as many right as there are kinds.

    kinds: of tokens. most: the most tokens that there may be.
    """

    name = "compression"
    length_unit = "tokens"
    scores = panels = (EXACT, RIGHT, NATS)

    def __init__(self, kinds: int = 15, most: int = 31) -> None:
        """ValueError for less than two kinds or more than 26, or for no tokens."""
        if check_count("kinds", kinds, 2) > 26:
            raise ValueError(f"kinds must be at most 26, got {kinds}")
        self.groups = self.longest = check_count("most", most)
        self.length_range, self.test_lengths, self.kinds = (most, most), (most,), kinds
        names = "abcdefghijklmnopqrstuvwxyz"[:kinds]
        self.input_channels = (*names, "!")
        self.output_channels = tuple(f"{name}{place}" for place in range(most) for name in names)

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        counts, device = draw_range("length", length, batch_size, generator).unsqueeze(1), generator.device
        longest = self.longest_of(counts, "the most that are answered")
        step = torch.arange(longest + 1, device=device)
        tokens = torch.randint(self.kinds, (batch_size, longest + 1), generator=generator, device=device)
        tokens, mask = tokens.masked_fill(step >= counts, NOTHING), step == counts
        given = one_hot(torch.where(mask, self.kinds, tokens), self.input_size)
        answers = F.pad(one_hot(tokens[:, :-1], self.kinds), (0, 0, 0, self.groups - longest))
        target = answers.flatten(1).unsqueeze(1) * mask.unsqueeze(2)
        return Batch(given, target, mask, counts.squeeze(1) + 1)

    def wrong(self, logits: Tensor, batch: Batch) -> Tensor:
        """As `SymbolTask.wrong`, of the places that there are."""
        return super().wrong(logits, batch) & self._grouped(batch.target).any(-1)

    def metrics(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """As `SymbolTask.metrics`; of answers, of which a step has many, are scored_steps, wrong and questions."""
        answers = batch.lengths - 1
        wrong = self.wrong(logits.detach(), batch).sum((1, 2))
        return super().metrics(logits, batch) | {"scored_steps": answers, "wrong": wrong, "questions": answers}

    def summarize(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        """As `SymbolTask.summarize`, of answers, and right_share, the share of all answers that are right."""
        known = super().summarize(metrics)
        return known | {"right_share": 1 - known["error_percent"] / 100}

    def training_score(self, loss: float, scored: float) -> float:
        """Nats an answer; scored as if every sequence had as many as there may be."""
        return loss / scored / self.groups

    def curriculum_score(self, loss: float, scored: float) -> float:
        """As training_score."""
        return self.training_score(loss, scored)

    def baselines(self, length: int) -> dict[str, float]:
        """Guessing among all kinds alike."""
        return {"baseline_right_share": 1 / self.kinds, "baseline_nats_per_step": math.log(self.kinds)}

    def spell(self, answers: Tensor) -> str:
        """The likeliest kinds, place after place."""
        return "".join(self.input_channels[one] for one in self._grouped(answers).argmax(-1).flatten().tolist())

    def render(self, batch: Batch, index: int = 0, logits: Tensor | None = None, width: int = 80) -> str:
        """Draw one example as text, folded to `width` columns: the tokens and, with logits, what they say.

        ValueError for an index outside the batch, logits of the wrong shape or a width below 40.
        """
        steps = steps_of(batch, index)
        rows = [
            ("step", ruler(steps)),
            ("input", characters(batch.input[index, :steps].argmax(-1), self.input_channels)),
        ]
        title = f"{self.name}: {steps} steps, 1 scored, {steps - 1} answers"
        if logits is not None:
            title += f", {int(self.wrong(logits, batch)[index].sum())} predicted wrong"
            rows.append(("predicted", f"{self.spell(logits[index, steps - 1])[: steps - 1]} "))
        return "\n".join([title, *fold(rows, width)])
