"""Missing duplicate (Deletang et al. 2022)."""

import torch
from torch import Tensor

from .strings import StringTask


class MissingDuplicate(StringTask):
    """Which symbol is hidden in a string that is told twice? (Deletang et al. 2022, arXiv 2207.02098)

        0 1 1 0 1 x   ->   1        the hidden symbol is x; a string of odd length ends with a blank, _

    A sequence has half as many symbols to remember as it is long. Guessing has half of the answers right.
    """

    name = "missing-duplicate"
    alphabet = "01x_"
    answers = "01"
    shortest = 2
    length_range = (2, 40)
    alike = True

    def answered(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        half = torch.randint(2, (rows, length // 2), generator=generator, device=generator.device)
        string = half.repeat(1, 2)
        hidden = torch.randint(string.size(1), (rows, 1), generator=generator, device=generator.device)
        answer = string.gather(1, hidden)
        blank = torch.full((rows, length % 2), self.alphabet.index("_"), device=string.device)
        return torch.cat([string.scatter(1, hidden, self.alphabet.index("x")), blank], 1), answer
