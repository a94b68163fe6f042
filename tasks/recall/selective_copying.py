"""Selective copying (Gu and Dao 2023, Mamba, section 4.1.1)."""

import torch
from torch import Tensor

from ..common import check_count
from ..tokens import TokenTask


class SelectiveCopying(TokenTask):
    """Which tokens stood among the noise, in order? (Gu and Dao 2023, arXiv 2312.00752, 4.1.1)

        . . c . a . . . b . ? ? ?   ->   c a b

    Tokens, uniform among all letters, stand at places drawn uniformly, noise everywhere else. Then as many steps ask. A
    length of n is n steps before these; the paper's is 4096, with 16 tokens and a vocabulary of 16, the noise in it,
    which here are 14 letters and the two signs. Guessing has one of as many right as there are letters.

    tokens:  to be copied.
    letters: that there are.
    """

    name = "selective-copying"
    length_unit = "steps"
    length_range = (256, 256)
    test_lengths = (256, 512, 1024)
    alike = True

    def __init__(self, tokens: int = 16, letters: int = 14) -> None:
        """ValueError for no tokens, or for less than two letters or more than 26."""
        if check_count("letters", letters, 2) > 26:
            raise ValueError(f"letters must be at most 26, got {letters}")
        self.tokens = self.shortest = check_count("tokens", tokens)
        self.output_channels = tuple("abcdefghijklmnopqrstuvwxyz"[:letters])
        self.input_channels = (*self.output_channels, ".", "?")

    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        device, letters = generator.device, self.output_size
        answer = torch.randint(letters, (rows, self.tokens), generator=generator, device=device)
        places = (
            torch.rand(rows, length, generator=generator, device=device).argsort(1)[:, : self.tokens].sort(1).values
        )
        noise = torch.full((rows, length), letters, device=device)
        asked = torch.full_like(answer, letters + 1)
        given = torch.cat([noise.scatter(1, places, answer), asked], 1)
        return given, torch.cat([torch.full_like(noise, -1), answer], 1)
