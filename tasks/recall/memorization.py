"""Memorization (Poli et al. 2024, Mechanistic Design and Scaling of Hybrid Architectures)."""

import torch
from torch import Tensor

from ..common import check_count
from ..tokens import TokenTask


class Memorization(TokenTask):
    """Which value belongs to a key, of a table that never changes? (after Poli et al. 2024, arXiv 2403.17844, MAD)

        k3 ? k8 ? k3 ?   ->   at each "?" the value of the key before it

    The table is nowhere told: it is learned, and kept in the weights. Every key has a value of its own. Keys are
    uniform, each drawn for itself. A length of n is n keys, 2 n steps.

    The paper's baseline has 16 keys a sequence of 127 that there are. Guessing has one of as many right as there are.

    facts: how many keys there are, and values. data_seed: of the table.
    """

    name = "memorization"
    length_unit = "keys"
    length_range = (16, 16)
    test_lengths = (16,)
    alike = True

    def __init__(self, facts: int = 127, data_seed: int = 0) -> None:
        """ValueError for less than two facts or a seed below 0."""
        self.facts = check_count("facts", facts, 2)
        self.value_of = torch.randperm(
            facts, generator=torch.Generator().manual_seed(check_count("data_seed", data_seed, 0))
        )
        self.output_channels = tuple(f"v{one}" for one in range(facts))
        self.input_channels = (*(f"k{one}" for one in range(facts)), "?")

    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        key = torch.randint(self.facts, (rows, length), generator=generator, device=generator.device)
        value = self.value_of.to(generator.device)[key]
        given = torch.stack([key, torch.full_like(key, self.facts)], 2)
        return given.flatten(1), torch.stack([torch.full_like(key, -1), value], 2).flatten(1)
