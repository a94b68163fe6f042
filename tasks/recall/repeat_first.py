"""RepeatFirst of POPGym (Morad et al. 2023)."""

import torch
from torch import Tensor

from .games import RANKS, SuitGame, asked


class RepeatFirst(SuitGame):
    """Which suit had the first card? (Morad et al. 2023, arXiv 2303.01859, RepeatFirst)

    Every action counts but that after the last card.

    level: one, eight or sixteen decks.
    """

    name = "repeat-first"
    decks = {"easy": 1, "medium": 8, "hard": 16}  # noqa: RUF012
    shortest = 2

    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        suits = self.dealt(rows, length, generator) // RANKS
        return suits, asked(suits, suits[:, :1].expand_as(suits), 0)
