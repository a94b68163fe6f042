"""Modular arithmetic without brackets (Deletang et al. 2022)."""

import torch
from torch import Tensor

from .strings import UnevenTask, make_uneven, uneven_rows


class ModularArithmetic(UnevenTask):
    """What is an expression of digits modulo 5, without brackets? (Deletang et al. 2022, arXiv 2207.02098)

        1 + 2 * 3 - 4   ->   3

    Digits from 0 to 4 and the operators +, - and *, all alike; * binds most. Strings have an odd number of symbols: of
    an even length one less. Guessing has a fifth of the answers right; in short strings 0 is more frequent.

    uneven: share of the training strings in which each digit and each operator has a frequency of its own, drawn anew
            for each string from all that there are alike. Else long products without a 0 are rare, and it is after
            them that who reads long strings errs. In tests there are none.
    """

    name = "modular-arithmetic"
    alphabet = "01234+-*"
    answers = "01234"

    def answered(
        self, rows: int, length: int, generator: torch.Generator, uneven: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        count, device = (length + 1) // 2, generator.device
        digits = torch.randint(5, (rows, count), generator=generator, device=device)
        operators = torch.randint(3, (rows, count - 1), generator=generator, device=device)
        chosen = uneven_rows(rows, uneven, generator)
        digits, operators = make_uneven(digits, 5, chosen, generator), make_uneven(operators, 3, chosen, generator)
        total, term = torch.zeros_like(digits[:, 0]), digits[:, 0]
        for operator, digit in zip(operators.unbind(1), digits.unbind(1)[1:], strict=True):
            total, term = _read(total, term, operator, digit)
        string = digits.new_empty(rows, 2 * count - 1)
        string[:, ::2], string[:, 1::2] = digits, operators + self.alphabet.index("+")
        return string, ((total + term) % 5).unsqueeze(1)

    def shares(self, length: int) -> Tensor:
        """Of a chain whose states are the sum of the terms so far and the last term."""
        total, term, operator, digit = torch.cartesian_prod(*map(torch.arange, (5, 5, 3, 5))).unbind(1)
        new_total, new_term = _read(total, term, operator, digit)
        step = torch.zeros(25, 25, dtype=torch.float64)
        step.index_put_((5 * total + term, 5 * new_total + new_term), step.new_tensor(1 / 15), accumulate=True)
        state = step.new_tensor([1 / 5] * 5 + [0.0] * 20) @ step.matrix_power((length + 1) // 2 - 1)
        total, term = torch.cartesian_prod(torch.arange(5), torch.arange(5)).unbind(1)
        return state.new_zeros(5).index_add(0, (total + term) % 5, state)


def _read(total: Tensor, term: Tensor, operator: Tensor, digit: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of the terms so far and the last term, an operator and a digit later; modulo 5."""
    times = operator == 2
    further = torch.where(times, term * digit, torch.where(operator == 1, -digit, digit)) % 5
    return torch.where(times, total, total + term) % 5, further
