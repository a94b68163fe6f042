"""CountRecall of POPGym (Morad et al. 2023)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .games import DECK, RANKS, CardGame, Level, asked

_NAMES: dict[Level, str] = {"easy": "rb", "medium": "cdhs", "hard": "A23456789TJQK"}


class CountRecall(CardGame):
    """How many cards of a kind have been dealt so far? (Morad et al. 2023, arXiv 2303.01859, CountRecall)

    A step shows a card's kind and asks for one: "rb" a red card, and how many black ones there have been. The card in
    view counts. What is asked for is dealt from other decks of the same size. No action after the last card counts.
    (The game has no action for the count of all cards of a kind; here it can be said, so that 1 can be reached.)

    level: colours of one deck, suits of two, or ranks of four.
    """

    name = "count-recall"
    decks = {"easy": 1, "medium": 2, "hard": 4}  # noqa: RUF012
    shortest = 2

    def __init__(self, level: Level = "easy") -> None:
        super().__init__(level)
        self.kinds = _NAMES[level]
        self.input_channels = tuple(card + question for card in self.kinds for question in self.kinds)
        most = DECK * self.decks[level] // len(self.kinds)
        self.output_channels = tuple(map(str, range(most + 1)))

    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        shown, question = (self._kinds(self.dealt(rows, length, generator)) for _ in range(2))
        counts = F.one_hot(shown, len(self.kinds)).cumsum(1)
        answers = counts.gather(2, question.unsqueeze(2)).squeeze(2)
        return shown * len(self.kinds) + question, asked(shown, answers, 0)

    def _kinds(self, cards: Tensor) -> Tensor:
        count = len(self.kinds)
        return cards % RANKS if count == RANKS else cards * count // DECK
