"""Running products of a group's elements: the word problem (Merrill et al. 2024, The Illusion of State)."""

from typing import get_args

import torch
from torch import Tensor

from ..tokens import TokenTask
from .groups import GroupName, elements_of


class GroupProduct(TokenTask):
    """What is the product of all elements of a group so far? (Merrill et al. 2024, arXiv 2404.08819)

        y_0 = x_0        y_t = y_(t-1) x_t

    Elements are uniform, and a product is answered at every step: it is a state that must be followed. Z2 is parity.
    A cyclic group needs a counter, S3 and S4 are solvable, A5 and S5 are not: no circuit of constant depth follows
    these, so far as is believed. Tokens and classes are the elements, named as in `groups.elements_of`.

    Siems et al. 2025 (arXiv 2502.10297) train on sequences of 128 and test on 512. Guessing has one of as many right as
    the group has elements.

    group: whose elements they are.
    """

    name = "group-product"
    length_unit = "elements"
    length_range = (1, 128)
    test_lengths = (128, 512)
    alike = True

    def __init__(self, group: GroupName = "S3") -> None:
        """ValueError for a group that is not there."""
        if group not in get_args(GroupName):
            raise ValueError(f"group must be one of {', '.join(get_args(GroupName))}, got {group!r}")
        names, table = elements_of(group)
        self.input_channels = self.output_channels = names
        self.table = torch.tensor(table)

    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        shape, device, table = (rows, length), generator.device, self.table.to(generator.device)
        given = torch.randint(len(table), shape, generator=generator, device=device)
        reached, every = torch.zeros_like(given[:, 0]), []
        for element in given.unbind(1):
            reached = table[reached, element]
            every.append(reached)
        return given, torch.stack(every, 1)
