"""Modular arithmetic without brackets (Deletang et al. 2022)."""

import torch
from torch import Tensor

from .strings import StringTask


class ModularArithmetic(StringTask):
    """What is an expression of digits modulo 5, without brackets? (Deletang et al. 2022, arXiv 2207.02098)

        1 + 2 * 3 - 4   ->   3

    Digits from 0 to 4 and the operators +, - and *, all alike; * binds most. Strings have an odd number of symbols: of
    an even length one less. Guessing has a fifth of the answers right; 0 is somewhat more frequent than the others.
    """

    name = "modular-arithmetic"
    alphabet = "01234+-*"
    answers = "01234"

    def answered(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        count, device = (length + 1) // 2, generator.device
        digits = torch.randint(5, (rows, count), generator=generator, device=device)
        operators = torch.randint(3, (rows, count - 1), generator=generator, device=device)
        total, term = torch.zeros_like(digits[:, 0]), digits[:, 0]
        for operator, digit in zip(operators.unbind(1), digits.unbind(1)[1:], strict=True):
            times = operator == 2
            total = torch.where(times, total, total + term) % 5
            term = torch.where(times, term * digit, torch.where(operator == 1, -digit, digit)) % 5
        string = digits.new_empty(rows, 2 * count - 1)
        string[:, ::2], string[:, 1::2] = digits, operators + self.alphabet.index("+")
        return string, ((total + term) % 5).unsqueeze(1)
