"""Stack manipulation (Deletang et al. 2022)."""

import torch
from torch import Tensor

from ..common import draw_below
from .strings import StringTask, ended

POP, PUSH = 2, 3  # the channels of POP and of pushing 0; that of pushing 1 follows


class StackManipulation(StringTask):
    """Push and pop, then say what is on the stack, its top first (Deletang et al. 2022, arXiv 2207.02098).

        0 1 1 v a v b   ->   1 1 0 .        v pops, a pushes 0, b pushes 1, . ends the answer

    The stack is told from its bottom, at least one symbol and at least one action, their number uniform; actions are
    uniform, too. A pop of nothing does nothing. The answer has n + 1 steps; those after its end are not scored.
    """

    name = "stack-manipulation"
    alphabet = "01vab"
    answers = "01."

    def answered(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        device, step = generator.device, torch.arange(length, device=generator.device)
        told = 1 + draw_below(torch.full((rows, 1), max(length - 1, 1), device=device), generator)
        bits = torch.randint(2, (rows, length), generator=generator, device=device)
        actions = torch.randint(POP, PUSH + 2, (rows, length), generator=generator, device=device)
        string = torch.where(step < told, bits, actions)
        pops, pushed = string == POP, torch.where(string < POP, string, string - PUSH)
        stack, depth = string.new_zeros(rows, length + 1), string.new_zeros(rows, 1)
        for bit, pop in zip(pushed.split(1, 1), pops.split(1, 1), strict=True):
            stack.scatter_(1, depth, torch.where(pop, stack.gather(1, depth), bit))
            depth = torch.where(pop, depth - 1, depth + 1).clamp(min=0)
        place = depth - 1 - torch.arange(length + 1, device=device)
        return string, ended(stack.gather(1, place.clamp(min=0)), depth, self.answers.index("."))
