"""Expressions in brackets modulo 5, as the tasks of Deletang et al. 2022 draw them."""

from functools import cache

import torch
from torch import Tensor

from ..common import draw_below

SYMBOLS = "01234+-*()"
MODULUS = 5
_MOST = 1 << 13  # beyond, values are distributed nearly alike
_SHORTEST = 5  # of an expression with an operator: (1+2)
_PLUS, _MINUS, _TIMES, _OPEN, _CLOSE = range(MODULUS, len(SYMBOLS))


def draw_expressions(rows: int, length: int, operators: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random expressions and their values modulo 5: (row, symbol) of SYMBOLS, and (row,).

        E(1) = d    E(2) = -d    E(3) = (d)    E(4) = (-d)    E(n) = (E(k) o E(n - 3 - k)), k uniform from 1 to n - 4

    operators: "+-*" or some of them, all alike, as the digits are. Every row has a tree of its own; the loop is over
    the levels of all.
    """
    device = generator.device
    string = torch.empty(rows, length, dtype=torch.int64, device=device)
    row, start, size = torch.arange(rows, device=device), torch.zeros(rows).long().to(device), torch.tensor(length)
    size = size.to(device).expand(rows)
    levels: list[tuple[Tensor, Tensor, Tensor]] = []
    chosen = torch.tensor([SYMBOLS.index(one) for one in operators], device=device)
    while True:
        digit = torch.randint(MODULUS, row.shape, generator=generator, device=device)
        for where, symbol, offset in (
            (size < _SHORTEST, digit, size // 2),
            ((size == 2) | (size == 4), _MINUS, size // 2 - 1),
            (size > 2, _OPEN, 0),
            (size > 2, _CLOSE, size - 1),
        ):
            place = start + offset
            string[row[where], place[where]] = symbol[where] if isinstance(symbol, Tensor) else symbol
        value, inner = torch.where(size % 2 == 0, -digit, digit), size >= _SHORTEST
        row, start, size = row[inner], start[inner], size[inner]
        operator = chosen[torch.randint(len(chosen), row.shape, generator=generator, device=device)]
        levels.append((value, inner, operator))
        if not len(row):
            break
        left = 1 + draw_below(size - _SHORTEST + 1, generator)
        string[row, start + 1 + left] = operator
        row = row.repeat(2)
        start, size = torch.cat([start + 1, start + left + 2]), torch.cat([left, size - 3 - left])
    below = row.new_empty(0)
    for value, inner, operator in reversed(levels):
        one, other = below.chunk(2) if len(below) else (below, below)
        joined = torch.where(operator == _TIMES, one * other, torch.where(operator == _MINUS, one - other, one + other))
        below = value.masked_scatter(inner, joined) % MODULUS
    return string, below


def value_shares(length: int) -> Tensor:
    """How frequent each value of `draw_expressions` is with +, - and *: (MODULUS,) float64."""
    most = min(1 << length.bit_length(), _MOST)
    return _shares_by_length(most)[min(length, most)]


@cache
def _shares_by_length(most: int) -> Tensor:
    """By the recursion of `draw_expressions`: (length, value), all values alike where there is no operator."""
    one, other = torch.cartesian_prod(torch.arange(MODULUS), torch.arange(MODULUS)).unbind(1)
    results = torch.stack([one + other, one - other, one * other]) % MODULUS
    known = torch.full((most + 1, MODULUS), 1 / MODULUS, dtype=torch.float64)
    for length in range(_SHORTEST, most + 1):
        parts = known[1 : length - 3]
        pairs = (parts.T @ parts.flip(0)).flatten() / (3 * len(parts))
        known[length] = pairs.new_zeros(MODULUS).index_add(0, results.flatten(), pairs.repeat(3))
    return known
