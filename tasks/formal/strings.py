"""What the tasks of the Chomsky hierarchy share (Deletang et al. 2022, Neural Networks and the Chomsky Hierarchy)."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..common import Batch
from ..tokens import DrawnTask


class StringTask(DrawnTask):
    """A string is read, then an answer is given, a symbol a step (Deletang et al. 2022, arXiv 2207.02098).

        step      0 ... n-1     n ... n+m-1
        input     the string    ?
        target    -             the answer

    Input channels: a symbol each, and the one that asks; output channels: the symbols of answers. To bring are name,
    the two alphabets and `answered`.

    The paper trains on lengths uniform from 1 to 40, one a batch of 128, and tests on every length from 41 to 500: its
    score is the share of right symbols, averaged over the lengths, of the best seed and learning rate.
    """

    alphabet: ClassVar[str]
    answers: ClassVar[str]
    length_unit = "symbols"
    length_range = (1, 40)
    test_lengths = (40, 100, 500)

    def __init__(self) -> None:
        self.input_channels, self.output_channels = (*self.alphabet, "?"), tuple(self.answers)

    @abstractmethod
    def answered(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Strings (row, symbol) and answers (row, symbol), -1 after the end of one, as numbers of channels."""

    def draw(self, rows: int, length: int, generator: torch.Generator, **options: Any) -> tuple[Tensor, Tensor]:
        string, answer = self.answered(rows, length, generator, **options)
        return (
            torch.cat([string, torch.full_like(answer, len(self.alphabet))], 1),
            torch.cat([torch.full_like(string, -1), answer], 1),
        )

    def uniform(self, rows: int, length: int, generator: torch.Generator) -> Tensor:
        """Strings (row, symbol) of which each symbol is as likely as any other."""
        shape = (rows, length)
        return torch.randint(len(self.alphabet), shape, generator=generator, device=generator.device)


class UnevenTask(StringTask):
    """Strings that are uneven in training: of a share of them each kind of symbol has a frequency of its own.

    uneven: the share. Frequencies are drawn anew for each such string, from all that there are alike. In tests there
            are none.
    """

    def __init__(self, uneven: float = 0.0) -> None:
        """ValueError for a share outside of 0 to 1."""
        super().__init__()
        if not 0 <= uneven <= 1:
            raise ValueError(f"uneven must be between 0 and 1, not {uneven}")
        self.uneven = uneven

    def training_batch(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        return self.sample(batch_size, length=length, generator=generator, uneven=self.uneven)


def uneven_rows(rows: int, share: float, generator: torch.Generator) -> Tensor | None:
    """Which of so many strings are uneven, (row, 1), each with that probability; None where none ever is."""
    return torch.rand(rows, 1, generator=generator, device=generator.device) < share if share else None


def make_uneven(even: Tensor, kinds: int, chosen: Tensor | None, generator: torch.Generator) -> Tensor:
    """Symbols (row, symbol) of so many kinds, where those of the chosen rows are drawn anew as `UnevenTask` has it."""
    if chosen is None:
        return even
    rows, length = even.shape
    shares = torch.empty(rows, kinds, device=even.device).exponential_(generator=generator)
    return even.where(~chosen, shares.multinomial(max(length, 1), replacement=True, generator=generator)[:, :length])


def ended(answer: Tensor, lengths: Tensor, end: int) -> Tensor:
    """Answers (row, step) of given lengths (row, 1) with the symbol that ends them, and -1 after it."""
    step = torch.arange(answer.size(1), device=answer.device)
    return torch.where(step < lengths, answer, -1).masked_fill(step == lengths, end)
