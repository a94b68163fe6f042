"""Two numbers in binary, and an answer about them: what adding and multiplying share (Deletang et al. 2022)."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from ..common import draw_below
from .strings import StringTask, ended


class BinaryTask(StringTask):
    """Two numbers, their lowest bit first, and a sign between them; the answer is a number, too, and then its end.

    The numbers' lengths share what the sign leaves, split uniformly; each number is uniform among those that there are
    but zero. The answer has no zeros at its end, and no step after its end is scored.
    """

    answers = "01."
    shortest = 3
    length_range = (3, 40)
    carries: ClassVar[int]  # the answer's steps, beyond the length of the string

    @abstractmethod
    def places(self, one: Tensor, other: Tensor) -> Tensor:
        """The answer before anything is carried: (row, bit), of two numbers (row, bit)."""

    def answered(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        device, step = generator.device, torch.arange(length, device=generator.device)
        first = 1 + draw_below(torch.full((rows, 1), length - 2, device=device), generator)
        bits = torch.randint(2, (rows, length), generator=generator, device=device)
        parts = step < first, step > first
        while (empty := torch.stack([~(bits * part).any(1) for part in parts])).any():
            again = torch.randint(2, bits.shape, generator=generator, device=device)
            for part, lacks in zip(parts, empty, strict=True):
                bits = torch.where(part & lacks.unsqueeze(1), again, bits)
        one = bits * parts[0]
        other = (bits * parts[1]).gather(1, (step + first + 1) % length) * (step < length - 1 - first)
        places = self.places(one, other)
        answer, carry = [], places.new_zeros(rows)
        for place in places[:, :length].unbind(1):
            carry = carry + place
            answer.append(carry % 2)
            carry = carry // 2
        said = torch.stack([*answer, carry][: length + self.carries], 1)
        last = torch.where(said > 0, torch.arange(said.size(1), device=device), 0).amax(1, keepdim=True)
        string = bits.masked_fill(step == first, 2)
        return string, ended(said, last + 1, self.answers.index("."))
