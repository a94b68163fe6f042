"""Fuzzy in-context recall (Poli et al. 2024, Mechanistic Design and Scaling of Hybrid Architectures)."""

import torch
from torch import Tensor

from ..common import check_count, draw_below, draw_distinct
from ..tokens import TokenTask


class FuzzyRecall(TokenTask):
    """Which value of several tokens has a key of several tokens? (after Poli et al. 2024, arXiv 2403.17844, MAD)

        k3 k1 v0 | k1 v4 v2 v5 | k3 k1   ->   at the last k1: v0        (the bars are not told)

    As `InContextRecall`, with keys and values of one to three tokens that all differ, each number of them as likely and
    then each row of them. Keys are alike if all of their tokens are. The tokens of the value of a key that came before
    are due at the key's last token and at all of the value's but its last. The last pair has the key of one of the
    pairs before it, all alike; of its value the last token is not told. A length of n is at most n steps: there are as
    many pairs as have room, the last one at its largest.

    The paper's baseline has 128 steps, 7 tokens for keys and 8 for values, and is tested on keys of three tokens alone,
    as the test "longest-keys" has it here. Guessing has one of as many right as values have tokens.

    keys, values: tokens that there are for either. most: tokens of a key or a value.
    """

    name = "fuzzy-recall"
    length_unit = "steps"
    length_range = (128, 128)
    test_lengths = (128, 256, 512)
    alike = True
    variants = {"longest-keys": {"longest_keys": True}}  # noqa: RUF012

    def __init__(self, keys: int = 7, values: int = 8, most: int = 3) -> None:
        """ValueError for no tokens, and for more in a key or a value than there are."""
        self.most, self.shortest = check_count("most", most), 4 * most - 1
        self.keys = check_count("keys", keys, most)
        self.output_channels = tuple(f"v{one}" for one in range(check_count("values", values, most)))
        self.input_channels = (*(f"k{one}" for one in range(keys)), *self.output_channels)

    def draw(
        self, rows: int, length: int, generator: torch.Generator, longest_keys: bool = False
    ) -> tuple[Tensor, Tensor]:
        device, most, count = generator.device, self.most, length // 2 + 1
        key = self._words(rows, count, self.keys, most if longest_keys else 1, generator)
        value = self._words(rows, count, self.output_size, 1, generator)
        pair = torch.arange(count, device=device)
        # The value that a key had first is its value.
        first = _first_of_alike(key)
        value = _of_pairs(value, first)
        # Room for the last pair is left at the end.
        sizes = (key >= 0).sum(2) + (value >= 0).sum(2)
        last = (sizes.cumsum(1) <= length - (2 * most - 1)).sum(1, keepdim=True)
        asked = torch.where(pair == last, draw_below(last, generator), pair)
        key, value = _of_pairs(key, asked), _of_pairs(value, asked)
        known, there = (first < pair) | (pair == last), (pair <= last).unsqueeze(2)
        due = torch.where(known.unsqueeze(2), value, -1)
        value = torch.where(value >= 0, self.keys + value, -1)
        given, due = (
            torch.cat(parts, 2).masked_fill(~there, -1).flatten(1)
            for parts in ((key, value), (torch.full_like(key, -1), due))
        )
        # Without the gaps that short keys and values leave.
        order = (given < 0).long().argsort(dim=1, stable=True)[:, : length + 1]
        given, due = given.gather(1, order), due.gather(1, order)
        told = (given >= 0).sum(1, keepdim=True) - 1
        return given.scatter(1, told, -1)[:, :length], due[:, 1:]

    def _words(self, rows: int, count: int, tokens: int, least: int, generator: torch.Generator) -> Tensor:
        """Keys or values, (row, pair, token), -1 behind their ends."""
        drawn = draw_distinct(rows * count, self.most, tokens, generator).view(rows, count, self.most)
        sizes = torch.randint(least, self.most + 1, (rows, count, 1), generator=generator, device=generator.device)
        return drawn.masked_fill(torch.arange(self.most, device=generator.device) >= sizes, -1)


def _first_of_alike(words: Tensor) -> Tensor:
    """At which pair of its row each word, (row, pair, token), came first: (row, pair)."""
    rows, count, _ = words.shape
    number = torch.arange(rows, device=words.device).unsqueeze(1).expand(rows, count)
    for token in words.unbind(2):  # a number for each beginning of a word in a row
        number = torch.unique(number * (words.max() + 2) + token + 1, return_inverse=True)[1]
    pair = torch.arange(count, device=words.device).expand(rows, count)
    first = torch.full((rows * count,), count, device=words.device)
    return first.scatter_reduce(0, number.flatten(), pair.flatten(), "amin")[number]


def _of_pairs(words: Tensor, places: Tensor) -> Tensor:
    """Those of the pairs at places (row, pair)."""
    return words.gather(1, places.unsqueeze(2).expand_as(words))
