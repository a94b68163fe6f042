"""Rows of unequal length, kept without padding, and put together so that one long row does not set the cost of all."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Ragged(NamedTuple):
    """Rows of numbers, one after the other.

    values: (number,) all of them, int64. starts: (row + 1,) where each row begins, and where the last one ends.
    """

    values: Tensor
    starts: Tensor

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> "Ragged":
        """These rows."""
        starts = torch.tensor([0, *map(len, rows)]).cumsum(0)
        return cls(torch.tensor([number for row in rows for number in row], dtype=torch.int64), starts)

    @property
    def lengths(self) -> Tensor:
        """Numbers of each row, (row,)."""
        return self.starts.diff()

    def padded(self, index: Tensor) -> Tensor:
        """Some rows (row, column), with zeros behind each up to the longest of them."""
        begin = self.starts[index]
        lengths = self.starts[index + 1] - begin
        columns = torch.arange(int(lengths.max()))
        real = columns < lengths.unsqueeze(1)
        found = torch.zeros(real.shape, dtype=torch.int64)
        found[real] = self.values[(begin.unsqueeze(1) + columns)[real]]
        return found


def like_lengths(lengths: Tensor, most: int) -> list[Tensor]:
    """The numbers of rows of these lengths (row,) in groups that hold at most so many numbers when they are padded.

    A longer row is alone. Where all rows fit they are one group, in their order; else the shortest come first.
    """
    if len(lengths) * int(lengths.max()) <= most:
        return [torch.arange(len(lengths))]
    order = lengths.argsort(stable=True)
    groups, first = list[Tensor](), 0
    for place, length in enumerate(lengths[order].tolist()):
        if place > first and (place + 1 - first) * length > most:
            groups.append(order[first:place])
            first = place
    return [*groups, order[first:]]
