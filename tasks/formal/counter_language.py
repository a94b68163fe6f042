"""Counter languages, a^n b^n and a^n b^n c^n (Gers and Schmidhuber 2001)."""

import torch
from torch import Tensor

from ..common import check_count
from .languages import LanguageTask

_MOST = 8


class CounterLanguage(LanguageTask):
    """As many b as a, and c: what may follow in a^n b^n c^n? (Gers and Schmidhuber 2001, IEEE TNN 12:1333)

        a    a    b    b    c    c
        ab   ab   b    c    c    end

    A length of n is n of each letter. While the first letter is read, either it or the second may follow, and then all
    is certain. Answers and scores are those of `LanguageTask`.

    letters: how many there are, two for a^n b^n.
    """

    name = "counter-language"
    length_unit = "of each letter"
    length_range = (1, 50)
    test_lengths = (50, 100, 200)

    def __init__(self, letters: int = 3) -> None:
        """ValueError for less than two letters or more than eight."""
        if check_count("letters", letters, 2) > _MOST:
            raise ValueError(f"letters must be at most {_MOST}, got {letters}")
        self.input_channels = tuple("abcdefgh"[:letters])
        self.output_channels = (*self.input_channels, "end")

    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        letters = len(self.input_channels)
        word = torch.arange(letters, device=generator.device).repeat_interleave(length)
        follow = 1 << torch.cat([word[1:], word.new_tensor([letters])])
        follow[:length] = 1 | 1 << 1
        return word.expand(rows, -1), follow.expand(rows, -1)
