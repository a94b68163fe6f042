"""Games of cards that ask for a memory, supervised (Morad et al. 2023, POPGym)."""

from typing import ClassVar, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from ..common import EXACT, Score
from ..symbols import NATS
from ..tokens import TokenTask

Level: TypeAlias = Literal["easy", "medium", "hard"]
RETURN = Score("return", "return", "Return of the game", "return", ".3f", best="high")
SUITS, RANKS, DECK = "cdhs", 13, 52


class CardGame(TokenTask):
    """A game of POPGym whose best action is known at every step, so that it can be taught (Morad et al. 2023).

    The cards of some decks are shuffled and dealt one a step, as many as the length says; of a whole game all of them.
    The score is the game's own return: each action that counts adds one over their number, and a wrong one takes away
    as much, so that the best is 1. Who guesses among four suits has -0.5.
    """

    length_unit = "cards"
    scores = (RETURN, EXACT, NATS)
    panels = (RETURN, EXACT, NATS)
    decks: ClassVar[dict[Level, int]]

    def __init__(self, level: Level) -> None:
        """ValueError for a level that is not there."""
        if level not in get_args(Level):
            raise ValueError(f"level must be one of {', '.join(get_args(Level))}, got {level!r}")
        self.cards = self.longest = DECK * self.decks[level]
        self.length_range, self.test_lengths = (self.cards, self.cards), (self.cards,)

    def dealt(self, rows: int, length: int, generator: torch.Generator) -> Tensor:
        """Cards of the shuffled decks, (row, card): numbers from 0 to 51, 13 ranks of each suit."""
        shuffled = torch.rand(rows, self.cards, generator=generator, device=generator.device)
        return shuffled.argsort(1)[:, :length] % DECK

    def summarize(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        """As `TokenTask.summarize`, and return, the mean of the games'."""
        games = 1 - 2 * metrics["wrong"].double() / metrics["questions"]
        return super().summarize(metrics) | {"return": float(games.mean())}

    def baselines(self, length: int) -> dict[str, float]:
        known = super().baselines(length)
        return {**known, "baseline_return": 2 * known["baseline_right_share"] - 1}


class SuitGame(CardGame):
    """A game in which suits are seen, and said."""

    alike = True

    def __init__(self, level: Level = "easy") -> None:
        super().__init__(level)
        self.input_channels = self.output_channels = tuple(SUITS)


def asked(cards: Tensor, answers: Tensor, first: int) -> Tensor:
    """Answers to cards (row, step) from a step on, -1 before it and at the last, after which no action counts."""
    step = torch.arange(cards.size(1), device=cards.device)
    return torch.where((step >= first) & (step < cards.size(1) - 1), answers, -1)
