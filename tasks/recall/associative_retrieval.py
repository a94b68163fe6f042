"""Associative retrieval (Ba et al. 2016, Using Fast Weights to Attend to the Recent Past)."""

import torch
from torch import Tensor

from ..common import draw_distinct
from ..tokens import TokenTask

LETTERS, DIGITS = "abcdefghijklmnopqrstuvwxyz", "0123456789"


class AssociativeRetrieval(TokenTask):
    """Which digit stood behind a letter? (Ba et al. 2016, arXiv 1610.06258, 4.1)

        c 9 k 8 j 3 f 1 ? ? c   ->   9

    Letters of a sequence all differ, digits are uniform, and each letter is asked for alike; the answer is due where it
    is asked for. A length of n is n pairs of letter and digit, 2n + 3 steps. The paper has 100,000
    sequences and draws no more. Guessing has one of ten right.
    """

    name = "associative-retrieval"
    length_unit = "pairs"
    length_range = (8, 8)
    test_lengths = (4, 8, 16)
    alike = True

    def __init__(self) -> None:
        self.input_channels, self.output_channels = tuple(LETTERS + DIGITS + "?"), tuple(DIGITS)
        self.longest = len(LETTERS)

    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        device = generator.device
        letters = draw_distinct(rows, length, len(LETTERS), generator)
        digits = torch.randint(len(DIGITS), (rows, length), generator=generator, device=device)
        chosen = torch.randint(length, (rows, 1), generator=generator, device=device)
        pairs = torch.stack([letters, len(LETTERS) + digits], 2).flatten(1)
        asking = torch.full((rows, 2), len(LETTERS + DIGITS), device=device)
        given = torch.cat([pairs, asking, letters.gather(1, chosen)], 1)
        target = torch.full_like(given, -1)
        target[:, -1:] = digits.gather(1, chosen)
        return given, target
