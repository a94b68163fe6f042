"""Sequential ListOps (Nangia and Bowman 2018; Irie et al. 2021)."""

import torch
from torch import Tensor

from ..common import check_count
from ..tokens import TokenTask

OPERATORS = ("[MIN", "[MAX", "[FIRST")
_DIGITS, _MIN, _MAX, _CLOSE = 10, 0, 1, 13
_LEAST = 2  # arguments


class ListOps(TokenTask):
    """What is the value of nested lists? (Nangia and Bowman 2018, arXiv 1804.06028; Irie et al. 2021, arXiv 2106.06295)

        [MAX 2 9 [MIN 4 7 ] 0 ]   ->   9

    A list has an operator, MIN, MAX or FIRST as in the second paper, and two or more digits and lists. A length is the
    number of tokens, and exact: at each step an operator, a digit and the end of a list are equally likely, of those by
    which the whole can still end where it must. (The papers draw trees, of which each is as long as it comes.) The
    answer is due at the last step.

    depth: lists that may be open at a time. The second paper's have a depth of 10 and 15.
    """

    name = "listops"
    length_unit = "tokens"
    length_range = (4, 100)
    test_lengths = (100, 200)
    shortest = 4

    def __init__(self, depth: int = 10) -> None:
        """ValueError for a depth below 1."""
        self.depth = check_count("depth", depth)
        self.output_channels = tuple("0123456789")
        self.input_channels = (*self.output_channels, *OPERATORS, "]")

    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        device = generator.device
        wishes = torch.rand(rows, length, 3, generator=generator, device=device)
        digits = torch.randint(_DIGITS, (rows, length), generator=generator, device=device)
        chosen = torch.randint(len(OPERATORS), (rows, length), generator=generator, device=device)
        # Of every list that is open, from the outermost: operator, arguments so far, value.
        operators, counts, values = (digits.new_zeros(rows, self.depth + 2) for _ in range(3))
        depth, lacking, word = digits.new_zeros(rows, 1), digits.new_zeros(rows, 1), []
        for step in range(length):
            left, inner = length - step - 1, (depth - 1).clamp(min=0)
            wanted = (counts.gather(1, inner) < _LEAST) & (depth > 0)
            # Steps that are needed to end what is open, after each of the three.
            needed = depth + lacking - wanted.long()
            may = torch.cat(
                [
                    (depth < self.depth) & (needed + 1 + _LEAST <= left) & ((depth > 0) | (step == 0)),
                    (depth > 0) & (needed <= left),
                    (depth > 0) & ~wanted & ((depth > 1) | (left == 0)) & (needed - 1 <= left),
                ],
                1,
            )
            kind = wishes[:, step].masked_fill(~may, -1.0).argmax(1, keepdim=True)
            opens, says, closes = (kind == one for one in range(3))
            digit, operator = digits[:, step : step + 1], chosen[:, step : step + 1]
            word.append(torch.where(opens, _DIGITS + operator, torch.where(says, digit, _CLOSE)))
            # An argument of the list that it stands in: a digit, or the value of the list that ends.
            place = torch.where(closes, depth - 2, depth - 1)
            value = torch.where(closes, values.gather(1, inner), digit)
            taken, place = (says | (closes & (depth > 1))), place.clamp(min=0)
            joined = _joined(operators, counts, values, place, value)
            values = values.scatter(1, place, torch.where(taken, joined, values.gather(1, place)))
            counts = counts.scatter_add(1, place, taken.long())
            lacking = lacking - (wanted & (opens | says)).long() + _LEAST * opens.long()
            operators = operators.scatter(1, depth, torch.where(opens, operator, operators.gather(1, depth)))
            counts = counts.scatter(1, depth, torch.where(opens, 0, counts.gather(1, depth)))
            depth = depth + opens.long() - closes.long()
        target = torch.full((rows, length), -1, device=device)
        target[:, -1:] = values[:, :1]
        return torch.cat(word, 1), target


def _joined(operators: Tensor, counts: Tensor, values: Tensor, place: Tensor, value: Tensor) -> Tensor:
    """The value of the lists at a place with one more argument."""
    operator, before = operators.gather(1, place), values.gather(1, place)
    further = torch.where(operator == _MAX, torch.maximum(before, value), before)
    further = torch.where(operator == _MIN, torch.minimum(before, value), further)
    return torch.where(counts.gather(1, place) == 0, value, further)
