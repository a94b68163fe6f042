"""Dyck languages: nested brackets of several kinds (Suzgun et al. 2019, Hewitt et al. 2020)."""

import torch
from torch import Tensor

from ..common import check_count
from .languages import LanguageTask

OPEN, CLOSE = "([{<", ")]}>"


class Dyck(LanguageTask):
    """Which brackets may follow in nested brackets of several kinds? (Suzgun et al. 2019, arXiv 1911.03329)

        (    [    ]    )
        ([)  ([]  ([)  ([ and the end

    A bracket opens with probability 1/2 where it may either open or close, and is of each kind alike. A length of n is
    n pairs. Which may follow does not know of the length: all that open, the one that closes the last open one, and the
    end where none is open. Answers and scores are those of `LanguageTask`.

    Another test: deep, in which brackets open with probability 0.8 until half of the word is read or more; n pairs are
    then nested about 3/4 n deep.

    kinds: of brackets.
    depth: how many may be open at a time, None for any number: Dyck-(k, m) of Hewitt et al. 2020 (arXiv 2010.07515).
    """

    name = "dyck"
    length_unit = "pairs"
    length_range = (1, 25)
    test_lengths = (25, 50, 100)
    variants = {"deep": {"opening": 0.8}}  # noqa: RUF012

    def __init__(self, kinds: int = 2, depth: int | None = None) -> None:
        """ValueError for kinds that there are not, or a depth below 1."""
        if check_count("kinds", kinds) > len(OPEN):
            raise ValueError(f"kinds must be at most {len(OPEN)}, got {kinds}")
        self.kinds, self.depth = kinds, None if depth is None else check_count("depth", depth)
        self.input_channels = tuple(OPEN[:kinds] + CLOSE[:kinds])
        self.output_channels = (*self.input_channels, "end")

    def draw(self, rows: int, length: int, generator: torch.Generator, opening: float = 0.5) -> tuple[Tensor, Tensor]:
        device, most = generator.device, self.depth or length + 1
        kinds = torch.randint(self.kinds, (rows, 2 * length), generator=generator, device=device)
        wishes = torch.rand(rows, 2 * length, generator=generator, device=device) < opening
        open_ones, depth = kinds.new_zeros(rows, length + 1), kinds.new_zeros(rows, 1)
        opened, word, follow = depth, [], []
        for kind, wish in zip(kinds.split(1, 1), wishes.split(1, 1), strict=True):
            opens = (depth == 0) | (wish & (opened < length) & (depth < most))
            last = open_ones.gather(1, (depth - 1).clamp(min=0))
            word.append(torch.where(opens, kind, self.kinds + last))
            open_ones.scatter_(1, depth, torch.where(opens, kind, open_ones.gather(1, depth)))
            opened, depth = opened + opens.long(), torch.where(opens, depth + 1, depth - 1)
            closing = 1 << self.kinds + open_ones.gather(1, (depth - 1).clamp(min=0))
            closing = torch.where(depth > 0, closing, 1 << 2 * self.kinds)
            follow.append(closing | torch.where(depth < most, (1 << self.kinds) - 1, 0))
        return torch.cat(word, 1), torch.cat(follow, 1)
