"""Solve equation (Deletang et al. 2022)."""

import torch
from torch import Tensor

from .expressions import MODULUS, SYMBOLS, draw_expressions
from .strings import StringTask


class SolveEquation(StringTask):
    """Which digit is the unknown of an equation modulo 5? (Deletang et al. 2022, arXiv 2207.02098)

        ( ( 1 - x ) + ( - 4 ) ) = 0   ->   2

    Expressions are those of `draw_expressions`, with + and - alone, so that there is one solution. The unknown is the
    digit at a place drawn uniformly, or the next one there is. Guessing has a fifth of the answers right.
    """

    name = "solve-equation"
    alphabet = SYMBOLS.replace("*", "") + "x="
    answers = "01234"
    shortest = 3
    length_range = (3, 40)
    alike = True

    def answered(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        drawn, value = draw_expressions(rows, length - 2, "+-", generator)
        string = drawn - (drawn > SYMBOLS.index("*")).long()
        wanted = torch.randint(length - 2, (rows, 1), generator=generator, device=string.device)
        behind = (torch.arange(length - 2, device=string.device) - wanted) % (length - 2)
        hidden = behind.masked_fill(string >= MODULUS, length).argmin(1, keepdim=True)
        equals = torch.full((rows, 1), self.alphabet.index("="), device=string.device)
        equation = torch.cat([string.scatter(1, hidden, self.alphabet.index("x")), equals, value.unsqueeze(1)], 1)
        return equation, string.gather(1, hidden)
