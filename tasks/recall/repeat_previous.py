"""RepeatPrevious of POPGym (Morad et al. 2023)."""

import torch
from torch import Tensor

from .games import RANKS, Level, SuitGame, asked


class RepeatPrevious(SuitGame):
    """Which suit had the card some steps ago? (Morad et al. 2023, arXiv 2303.01859, RepeatPrevious)

    The game counts the card in view: its k of 4 asks for the card 3 steps before. Actions count once k cards are dealt,
    and not after the last card.

    level: one, two or three decks, and a k of 4, 32 or 64.
    """

    name = "repeat-previous"
    decks = {"easy": 1, "medium": 2, "hard": 3}  # noqa: RUF012

    def __init__(self, level: Level = "easy") -> None:
        super().__init__(level)
        self.back = {"easy": 4, "medium": 32, "hard": 64}[level]
        self.shortest = self.back + 1

    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        suits = self.dealt(rows, length, generator) // RANKS
        return suits, asked(suits, suits.roll(self.back - 1, 1), self.back - 1)
