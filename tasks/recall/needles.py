"""Needles in noise, after the first tasks of RULER (Hsieh et al. 2024)."""

import torch
from torch import Tensor

from ..common import check_count, draw_distinct
from ..tokens import TokenTask

LETTERS, DIGITS = "abcdefghijklmnopqrstuvwxyz", "0123456789"


class Needles(TokenTask):
    """Which values stood behind a key, somewhere in long noise? (after Hsieh et al. 2024, arXiv 2404.06654, RULER)

        N P k 7 2 P N O a 3 3 N ? a -   ->   3 at the last "a", 3 at the "-"

    Needles, a key and its values, stand in noise, wherever they do not overlap, all places alike; keys of a sequence
    all differ, digits and noise are uniform. Then some of the keys are asked for, in any order: "?", the key, at which
    its first value is due, and a "-" for each further value. A length of n is n steps before the questions.

    The paper's tasks, in words and for models of language, are one needle (niah_single), others beside it
    (niah_multikey), several values (niah_multivalue) and several questions (niah_multiquery). Guessing has one of ten
    right.

    needles: keys in the noise. queries: how many of them are asked for. values: of a key. noise: tokens that noise
    has.
    """

    name = "needles"
    length_unit = "steps"
    length_range = (256, 256)
    test_lengths = (256, 512, 1024)
    alike = True

    def __init__(self, needles: int = 4, queries: int = 1, values: int = 1, noise: int = 16) -> None:
        """ValueError for none of them, more needles or kinds of noise than letters, and more queries than needles."""
        for what, count, most in (("needles", needles, 26), ("noise", noise, 26), ("queries", queries, needles)):
            if check_count(what, count) > most:
                raise ValueError(f"{what} must be at most {most}, got {count}")
        self.needles, self.queries, self.values = needles, queries, check_count("values", values)
        self.noise, self.shortest = noise, needles * (1 + values)
        self.output_channels = tuple(DIGITS)
        self.input_channels = (*LETTERS, *DIGITS, "?", "-", *LETTERS.upper()[:noise])

    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        device, size, count = generator.device, 1 + self.values, self.needles
        ask, blank, first = (len(LETTERS + DIGITS) + more for more in range(3))
        key = draw_distinct(rows, count, len(LETTERS), generator)
        value = torch.randint(len(DIGITS), (rows, count, self.values), generator=generator, device=device)
        noise = first + torch.randint(self.noise, (rows, length), generator=generator, device=device)
        # Where needles of one step would stand in noise that is shorter by the rest of them.
        free = length - count * (size - 1)
        places = torch.rand(rows, free, generator=generator, device=device).argsort(1)[:, :count].sort(1).values
        starts = places + (size - 1) * torch.arange(count, device=device)
        steps = starts.unsqueeze(2) + torch.arange(size, device=device)
        needle = torch.cat([key.unsqueeze(2), len(LETTERS) + value], 2)
        hay = noise.scatter(1, steps.flatten(1), needle.flatten(1))
        # Needles stand in random order already.
        chosen = torch.rand(rows, count, generator=generator, device=device).argsort(1)[:, : self.queries]
        due = value.gather(1, chosen.unsqueeze(2).expand(-1, -1, self.values))
        question = torch.full((rows, self.queries, size), blank, device=device)
        question[..., 0], question[..., 1] = ask, key.gather(1, chosen)
        target = torch.cat([torch.full_like(question[..., :1], -1), due], 2).flatten(1)
        return torch.cat([hay, question.flatten(1)], 1), torch.cat([torch.full_like(hay, -1), target], 1)
