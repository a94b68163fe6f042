"""Multi-query associative recall (Arora et al. 2023, Zoology)."""

from typing import Literal

import torch
from torch import Tensor

from ..common import check_count, draw_distinct
from ..tokens import TokenTask


class MQAR(TokenTask):
    """Which value stood behind each of many keys? (Arora et al. 2023, Zoology, arXiv 2312.04927)

        k7 v3 k2 v9 . . k2 . . . k7 . . .   ->   at k2: v9, at k7: v3

    Pairs of key and value come first, keys and values of a sequence all different. Then each key comes once more, and
    its value is due at that step. Behind the pairs every second step is a place to ask at: of those that no key before
    has taken, the n-th is taken with a probability in proportion to n^(power - 1). A length of n is n steps.

    The paper's figure 2 has 4 pairs in 64 steps, 8 in 128, 16 in 256 and 64 in 512, a vocabulary of 8192, a power of
    0.01 and blanks. Dao and Gu 2024 (Mamba-2, arXiv 2405.21060, D.1) have 256 to 1024 steps, a pair to every four of
    them, and random tokens for blanks. Guessing has one of as many right as there are values.

    pairs:      of key and value.
    vocabulary: tokens: a half of them values, one a blank, the others keys.
    power:      0.01 to ask mostly soon after the pairs; 1 to ask anywhere alike.
    filler:     blanks at all other steps, or random tokens, keys and values among them.
    """

    name = "mqar"
    length_unit = "steps"
    length_range = (64, 64)
    test_lengths = (64, 128, 256)
    alike = True

    def __init__(
        self,
        pairs: int = 4,
        vocabulary: int = 256,
        power: float = 0.01,
        filler: Literal["blank", "random"] = "blank",
    ) -> None:
        """ValueError for no pairs, more of them than keys or values, a power below 0, and another filler."""
        self.pairs, self.shortest = check_count("pairs", pairs), 4 * pairs
        values = check_count("vocabulary", vocabulary, 4) // 2
        if pairs > (keys := vocabulary - values - 1):
            raise ValueError(f"pairs must be at most {keys}, the keys of a vocabulary of {vocabulary}, got {pairs}")
        if not 0 <= power < float("inf"):
            raise ValueError(f"power must be a number of at least 0, got {power!r}")
        if filler not in ("blank", "random"):
            raise ValueError(f"filler must be one of blank, random, got {filler!r}")
        self.power, self.filler = power, filler
        self.output_channels = tuple(f"v{one}" for one in range(values))
        self.input_channels = (".", *(f"k{one}" for one in range(keys)), *self.output_channels)

    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        device, told = generator.device, 2 * self.pairs
        first = self.input_size - self.output_size  # value
        keys = 1 + draw_distinct(rows, self.pairs, first - 1, generator)
        values = draw_distinct(rows, self.pairs, self.output_size, generator)
        # Who waits exponential times, each place at its rate, meets places as who draws them without putting them back.
        # Their logarithms: powers of large gaps have no room in a number.
        waits = torch.empty(rows, (length - told) // 2, device=device).exponential_(generator=generator).double().log()
        gap = torch.arange(1, waits.size(1) + 1, device=device, dtype=torch.float64)
        asked = told + 2 * (waits + (1 - self.power) * gap.log()).argsort(1)[:, : self.pairs]
        given = torch.zeros(rows, length, dtype=torch.int64, device=device)
        if self.filler == "random":
            given = torch.randint(self.input_size, (rows, length), generator=generator, device=device)
        given[:, :told] = torch.stack([keys, first + values], 2).flatten(1)
        target = torch.full_like(given, -1)
        return given.scatter(1, asked, keys), target.scatter(1, asked, values)
