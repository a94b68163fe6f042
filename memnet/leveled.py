"""Memories that are linear in their past, with levels or without: what cells with such an option share."""

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor
from torch.nn import functional

from memnet.checks import check_sizes
from memnet.functional.associations import Associate, associate
from memnet.functional.levels import LevelMemory, associate_levels, associate_levels_chunks
from memnet.trace import Part

LinearMemory: TypeAlias = Tensor | LevelMemory


def check_levels(num_levels: int) -> None:
    """ValueError for a number of levels that cannot be; positions in float32 are exact for up to 24."""
    check_sizes(0, num_levels=num_levels)
    if num_levels > 24:
        raise ValueError(f"num_levels must be at most 24, not {num_levels}")


def first_memory(zeros: Callable[..., Tensor], num_levels: int, batch_size: int, *sizes: int) -> LinearMemory:
    """An empty memory of sizes (head, key, value), with as many levels; without any for 0.

    zeros: what makes a part of a first state, as memnet.mixers.Mixer.zeros.
    """
    if not num_levels:
        return zeros(batch_size, *sizes)
    return LevelMemory(zeros(batch_size, sizes[0], num_levels, *sizes[1:]), zeros(batch_size))


def level_scales(emitted: Tensor, num_heads: int, rate: Tensor | None) -> Tensor:
    """lambda = softplus(a x), as flash-linear-attention's log-linear Mamba-2 has it: (..., head, level).

    emitted: x, (..., head * level). rate: a, (head, level); None for a memory without levels, of which there are none.
    """
    scales = emitted.unflatten(-1, (num_heads, -1))
    return scales if rate is None else functional.softplus(rate.to(scales) * scales)


def remember_token(memory: Any, scales: Tensor, **told: Any) -> tuple[Tensor, LinearMemory]:
    """One token, as memnet.functional.associations.associate is told: what was read, and the next memory.

    scales: (batch, head, level), lambda; the last axis is empty for a memory without levels.
    """
    return associate_levels(memory, scales, **told) if scales.size(-1) else associate(memory, **told)


def remember_tokens(
    associate_all: Associate, memory: Any, scales: Tensor, past: Tensor | None, chunk_size: int, **told: Any
) -> tuple[Tensor, LinearMemory]:
    """Many tokens, as associate_chunks is told: what was read, and the last memory.

    associate_all: what takes a memory without levels through them.
    scales:        (batch, time, head, level); the last axis is empty for a memory without levels.
    past:          (batch, time) bool, true after a row's last token, where what is told leaves a memory as it is.
    chunk_size:    tokens that a memory with levels takes at once.
    """
    if scales.size(-1):
        return associate_levels_chunks(memory, scales, **told, past=past, chunk_size=chunk_size)
    return associate_all(memory, **told)


def memory_parts(memory: Any, scales: Tensor) -> list[Part]:
    """The memory of every head; with levels that of all together, what each holds, and by how much it is read."""
    matrix = ("time", "head", "key", "value")
    if not scales.size(-1):
        return [Part("matrix", "memory", memory, matrix)]
    level = ("time", "head", "level")
    return [
        Part("matrix", "memory", memory.levels.sum(-3), matrix),
        Part("signal", "level norm", memory.levels.square().sum((-1, -2)).sqrt(), level),
        Part("signal", "level scale", scales, level),
    ]
