"""Modular arithmetic with brackets (Deletang et al. 2022)."""

import torch
from torch import Tensor

from .expressions import SYMBOLS, draw_expressions, value_shares
from .strings import StringTask


class ModularArithmeticBrackets(StringTask):
    """What is an expression with brackets modulo 5? (Deletang et al. 2022, arXiv 2207.02098)

        ( ( 1 - 3 ) * ( - 4 ) )   ->   3

    Expressions are those of `draw_expressions`, with +, - and *. Guessing has a fifth of the answers right; 0 is more
    frequent than the others.
    """

    name = "modular-arithmetic-brackets"
    alphabet = SYMBOLS
    answers = "01234"

    def answered(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        string, value = draw_expressions(rows, length, "+-*", generator)
        return string, value.unsqueeze(1)

    def shares(self, length: int) -> Tensor:
        return value_shares(length)
