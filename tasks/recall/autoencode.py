"""Autoencode of POPGym (Morad et al. 2023)."""

import torch
from torch import Tensor

from .games import RANKS, SUITS, Level, SuitGame


class Autoencode(SuitGame):
    """Say the suits of all cards, the last one first (Morad et al. 2023, arXiv 2303.01859, Autoencode).

        c s d H C C   ->   - - - h d s c        a capital letter asks for an answer

    Cards are watched, the last one with the sign that it is time to play; then suits are said, one a step, while some
    one card of the deck is seen again and again. A length of n cards has 2n - 1 steps, of which the last n are scored.

    level: one, two or three decks.
    """

    name = "autoencode"
    decks = {"easy": 1, "medium": 2, "hard": 3}  # noqa: RUF012

    def __init__(self, level: Level = "easy") -> None:
        super().__init__(level)
        self.input_channels = (*SUITS, *SUITS.upper())

    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        suits, play = self.dealt(rows, length, generator) // RANKS, len(SUITS)
        again = torch.full((rows, length - 1), play, device=suits.device)
        given = torch.cat([suits[:, :-1], suits[:, -1:] + play, again], 1)
        return given, torch.cat([torch.full_like(suits[:, 1:], -1), suits.flip(1)], 1)
