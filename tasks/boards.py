"""Boards of three columns on which numbered blocks stand one upon another (Graves et al. 2016, Nature 538:471)."""

import itertools
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

COLUMNS, HEIGHT, BLOCKS = 3, 3, 6
MOVES = tuple(itertools.permutations(range(COLUMNS), 2))  # the top of the first column onto the second
WAIT = len(MOVES)
RELATIONS = ("above", "below", "left of", "right of")
FACTS = BLOCKS * len(RELATIONS) * BLOCKS  # block, relation, block


class Boards(NamedTuple):
    """All boards with some numbers of blocks, of n blocks with the first n.

    cells:  (board, cell), column by column from below: 0 for nothing, else a block from 1.
    counts: (board,), how many blocks.
    after:  (board, move), the board after each of MOVES, and after waiting; the same one where a move cannot be.
    facts:  (board, fact) bool. Above and below are in one column, left and right are in others, however far.
    """

    cells: Tensor
    counts: Tensor
    after: Tensor
    facts: Tensor

    def numbers(self, cells: Tensor) -> Tensor:
        """Which boards these are, (..., cell) to (...)."""
        return torch.searchsorted(_codes(self.cells), _codes(cells))

    def distances(self, goals: Tensor) -> Tensor:
        """The fewest moves from every board to one where all facts of a goal hold, -1 where none leads there.

        goals: (batch, fact) bool. Returns (batch, board) int64.
        """
        near, moves = goals.float() @ (~self.facts).float().T == 0, 0
        found = torch.where(near, 0, -1)
        while near.any():
            near, moves = (found >= 0)[:, self.after].any(-1) & (found < 0), moves + 1
            found = found.masked_fill(near, moves)
        return found

    def best(self, distances: Tensor, here: Tensor) -> Tensor:
        """Which moves bring a goal nearer from a board of each row; where it holds that is to wait: (batch, move) bool.

        distances: (batch, board). here: (batch,).
        """
        now = distances.gather(1, here.unsqueeze(1))
        nearer = distances.gather(1, self.after[here]) < now
        nearer[:, WAIT] = now.squeeze(1) == 0
        return nearer


@cache
def boards(blocks: tuple[int, int]) -> Boards:
    """All boards with so many blocks, the fewest and the most."""
    found = []
    for heights in itertools.product(range(HEIGHT + 1), repeat=COLUMNS):
        if not blocks[0] <= (count := sum(heights)) <= blocks[1]:
            continue
        for order in itertools.permutations(range(1, count + 1)):
            rest = iter(order)
            found.append(tuple(tuple(itertools.islice(rest, height)) for height in heights))
    cells = torch.tensor(
        [[*itertools.chain(*(column + (0,) * (HEIGHT - len(column)) for column in one))] for one in found]
    )
    sorting = _codes(cells).argsort()
    found, cells = [found[place] for place in sorting.tolist()], cells[sorting]
    number = {one: place for place, one in enumerate(found)}
    after = [[number[_moved(one, *move)] for move in MOVES] + [number[one]] for one in found]
    return Boards(cells, (cells > 0).sum(1), torch.tensor(after), _facts(cells))


def _moved(board: tuple[tuple[int, ...], ...], start: int, end: int) -> tuple[tuple[int, ...], ...]:
    if not board[start] or len(board[end]) == HEIGHT:
        return board
    changed = {start: board[start][:-1], end: (*board[end], board[start][-1])}
    return tuple(changed.get(column, blocks) for column, blocks in enumerate(board))


def _facts(cells: Tensor) -> Tensor:
    """Which facts hold on boards (board, cell)."""
    is_at = cells.unsqueeze(1) == torch.arange(1, BLOCKS + 1).unsqueeze(1)
    there, cell = is_at.any(-1), is_at.int().argmax(-1)
    column, row = cell // HEIGHT, cell % HEIGHT
    same = column.unsqueeze(2) == column.unsqueeze(1)
    higher, further = (where.unsqueeze(2) - where.unsqueeze(1) for where in (row, column))
    relations = torch.stack([same & (higher > 0), same & (higher < 0), further < 0, further > 0], 2)
    both = there.unsqueeze(2) & there.unsqueeze(1)
    return (relations & both.unsqueeze(2)).flatten(1)


def _codes(cells: Tensor) -> Tensor:
    """A number for each board, (..., cell) to (...)."""
    powers: Tensor = (BLOCKS + 1) ** torch.arange(cells.size(-1), device=cells.device)
    return (cells * powers).sum(-1)
