"""What moves a tape under a head that stays: (..., slot, width), the slot under the head first, the ends joined.

Deletang et al. 2022 (arXiv 2207.02098), and the Baby-NTM of Suzgun et al. 2019 (arXiv 1911.03329), each as the code of
its authors has it.
"""

import torch
from torch import Tensor


def write_at_head(tape: Tensor, value: Tensor) -> Tensor:
    """The tape with a value (..., width) in place of what was under the head."""
    return torch.cat([value.unsqueeze(-2), tape[..., 1:, :]], -2)


def jump(tape: Tensor, distance: Tensor) -> Tensor:
    """The tape after the head went on by a whole number of slots, back where it is negative.

    tape: (batch, head, slot, width). distance: (batch,), without gradients.
    """
    slots = torch.arange(tape.size(-2), device=tape.device)
    places = (slots + distance.detach().long().unsqueeze(-1)) % tape.size(-2)
    return tape.gather(-2, places[:, None, :, None].expand_as(tape))


def move(tape: Tensor, shares: Tensor, distance: Tensor | None = None) -> Tensor:
    """A mixture of where the head may go: it stays, goes on by a slot, goes back by one, or jumps on, or back.

        T' = a_stay T + a_on roll(T, -1) + a_back roll(T, 1) + a_jump_on roll(T, -l) + a_jump_back roll(T, l)

    tape:     (batch, head, slot, width).
    shares:   (batch, head, 3), or 5 with a distance.
    distance: (batch,), l; None where it does not jump.
    """
    moved = [tape, tape.roll(-1, -2), tape.roll(1, -2)]
    if distance is not None:
        moved += [jump(tape, distance), jump(tape, -distance)]
    return mixed(moved, shares)


def rotate_or_pop(tape: Tensor, shares: Tensor) -> Tensor:
    """A mixture of the Baby-NTM's operations: rotate either way, stay, or the same two with what would go round lost.

        T' = a_on roll(T, -1) + a_back roll(T, 1) + a_stay T + a_pop_on shift(T, -1) + a_pop_back shift(T, 1)

    tape: (batch, head, slot, width). shares: (batch, head, 5).
    """
    empty = torch.zeros_like(tape[..., :1, :])
    popped = torch.cat([tape[..., 1:, :], empty], -2), torch.cat([empty, tape[..., :-1, :]], -2)
    return mixed([tape.roll(-1, -2), tape.roll(1, -2), tape, *popped], shares)


def mixed(tapes: list[Tensor], shares: Tensor) -> Tensor:
    """The sum of tapes, each by its share, (batch, head, tape)."""
    weights = shares.unsqueeze(-1).unsqueeze(-1).unbind(-3)
    return torch.stack([weight * tape for weight, tape in zip(weights, tapes, strict=True)]).sum(0)
