"""Induction heads (Gu and Dao 2023, Mamba, section 4.1.2)."""

import torch
from torch import Tensor

from ..common import check_count
from ..tokens import TokenTask

MARK = 0


class InductionHeads(TokenTask):
    """Which token stood behind the mark, asked at the end? (Gu and Dao 2023, arXiv 2312.00752, 4.1.2)

        g c | f a d c b |   ->   f

    One of the tokens is the mark, which stands at a uniform place and again at the end; all others are uniform. A
    length of n is n tokens; the answer is due at the last. The paper trains at 256 and tests from 2^6 to 2^20. Guessing
    has one of vocabulary - 1 right.

    vocabulary: tokens, the mark included.
    """

    name = "induction-heads"
    length_unit = "tokens"
    length_range = (256, 256)
    test_lengths = (64, 256, 1024, 4096)
    shortest = 3
    alike = True

    def __init__(self, vocabulary: int = 16) -> None:
        """ValueError for a vocabulary of less than three."""
        count = check_count("vocabulary", vocabulary, 3)
        self.output_channels = tuple(_letters(count - 1))
        self.input_channels = ("|", *self.output_channels)

    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        device, count = generator.device, self.output_size
        given = torch.randint(1, count + 1, (rows, length), generator=generator, device=device)
        place = torch.randint(length - 2, (rows, 1), generator=generator, device=device)
        answer = given.gather(1, place + 1) - 1
        given = given.scatter(1, place, MARK)
        given[:, -1] = MARK
        target = torch.full_like(given, -1)
        target[:, -1:] = answer
        return given, target


def _letters(count: int) -> list[str]:
    """Names for so many tokens: letters, or numbers where these are too few."""
    return list("abcdefghijklmnopqrstuvwxyz"[:count]) if count <= 26 else [str(one) for one in range(count)]
