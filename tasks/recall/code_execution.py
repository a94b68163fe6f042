"""Code execution (Fan et al. 2020; Irie et al. 2021, Going Beyond Linear Transformers)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..common import check_count, draw_below
from ..tokens import TokenTask

LOW, HIGH, DIGITS = -8, 16, 10
VARIABLES = "xyzabcdefg"
NOTHING = HIGH - LOW + 1  # the class of what a condition keeps from being printed
_ASSIGN, _CHANGE, _PRINT, _IF = range(4)


class CodeExecution(TokenTask):
    """What does a program print? (Irie et al. 2021, arXiv 2106.06295, appendix B)

        x = 3 ; if x < 5 : x ++ ; y = 7 ; print x ;   ->   4

    A program is a number of statements, its length: variables are assigned a digit, changed by one, or printed, and any
    of these may hang on a condition, that a variable is below or above a digit. Kinds of statements are uniform; the
    first assigns and the last prints; what is read has been assigned before; values stay between -8 and 16. The answer
    is due at the end of each statement that prints, and is _ where its condition keeps it from printing. The paper's
    programs have 100 statements, with 3 or 5 variables.

    variables: how many there are.
    """

    name = "code-execution"
    length_unit = "statements"
    length_range = (2, 100)
    test_lengths = (100, 200)
    shortest = 2

    def __init__(self, variables: int = 3) -> None:
        """ValueError for no variables or more than ten."""
        if check_count("variables", variables) > len(VARIABLES):
            raise ValueError(f"variables must be at most {len(VARIABLES)}, got {variables}")
        self.variables = variables
        names = [*VARIABLES[:variables], *map(str, range(DIGITS)), "=", ";", "++", "--", "print", "if", "<", ">", ":"]
        self.input_channels = tuple(names)
        self.output_channels = (*map(str, range(LOW, HIGH + 1)), "_")

    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        device, token = generator.device, {name: place for place, name in enumerate(self.input_channels)}
        values = torch.zeros(rows, self.variables, dtype=torch.int64, device=device)
        known = torch.zeros_like(values, dtype=torch.bool)
        parts, answers = [], []
        for statement in range(length):
            first, last = statement == 0, statement == length - 1
            kind = _uniform(rows, 4, generator)
            kind = torch.full_like(kind, _ASSIGN if first else _PRINT) if first or last else kind
            conditional = kind == _IF
            read, digit, side = (
                self._known(known, generator),
                _uniform(rows, DIGITS, generator),
                _uniform(rows, 2, generator),
            )
            held = values.gather(1, read)
            holds = ~conditional | torch.where(side == 0, held < digit, held > digit)
            parts.append(_tokens(conditional, [token["if"], read, token["<"] + side, token["0"] + digit, token[":"]]))
            answers.append(torch.full_like(parts[-1], -1))
            kind = torch.where(conditional, _uniform(rows, 3, generator), kind)
            assigns, changes, prints = kind == _ASSIGN, kind == _CHANGE, kind == _PRINT
            digit, down = _uniform(rows, DIGITS, generator), _uniform(rows, 2, generator)
            variable = torch.where(assigns, _uniform(rows, self.variables, generator), self._known(known, generator))
            held = values.gather(1, variable)
            down = torch.where(held >= HIGH, 1, torch.where(held <= LOW, 0, down))
            new = torch.where(assigns, digit, torch.where(changes, held + 1 - 2 * down, held))
            values = values.scatter(1, variable, torch.where(holds, new, held))
            known = known.scatter(1, variable, known.gather(1, variable) | (assigns & holds))
            second = torch.where(assigns, token["="], torch.where(changes, token["++"] + down, variable))
            begin = torch.where(prints, token["print"], variable)
            body: list[Tensor | int] = [begin, second, torch.where(assigns, token["0"] + digit, -1), token[";"]]
            parts.append(_tokens(torch.ones_like(prints), body))
            answer = torch.where(prints, torch.where(holds, held - LOW, NOTHING), -1)
            answers.append(torch.cat([answer.new_full((rows, 3), -1), answer], 1))
        given, target = torch.cat(parts, 1), torch.cat(answers, 1)
        order = (given < 0).to(torch.uint8).argsort(dim=1, stable=True)
        return given.gather(1, order), target.gather(1, order)

    def _known(self, known: Tensor, generator: torch.Generator) -> Tensor:
        """Of each row (row, variable) one of the variables that are assigned, the first where none is: (row, 1)."""
        wish = torch.rand(known.shape, generator=generator, device=known.device)
        return wish.masked_fill(~known, -1.0).argmax(1, keepdim=True)


def _uniform(rows: int, below: int, generator: torch.Generator) -> Tensor:
    return draw_below(torch.full((rows, 1), below, device=generator.device), generator)


def _tokens(there: Tensor, parts: Sequence[Tensor | int]) -> Tensor:
    """Tokens (row, token), -1 in the rows that have not got them."""
    return torch.cat([torch.where(there, part, -1) for part in parts], 1)
