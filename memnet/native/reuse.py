"""Memory of large tensors, used again: what goes back to the system comes from there page by page at every call."""

from __future__ import annotations

import mmap
from contextlib import suppress
from math import prod
from sys import getrefcount
from threading import Lock

import torch
from torch import Tensor

# Bytes of a tensor that is worth it; and of all memory that is known here, whoever has it.
_FEWEST, _MOST = 1 << 22, 1 << 27
_lock = Lock()
# Those used last come last.
_kept: list[mmap.mmap] = []


def empty(like: Tensor, *shape: int) -> Tensor:
    """Numbers of the kind that `like` has, as its new_empty gives, where there are many in memory of earlier ones.

    For what a call needs within: such a tensor cannot be resized.
    """
    count = prod(shape)
    size = count * like.element_size()
    if not _FEWEST <= size <= _MOST:
        return like.new_empty(shape)
    with _lock:
        fits = (at for at in range(len(_kept)) if size <= len(_kept[at]) <= 2 * size and _unused(at))
        place = next(fits, None)
        memory = _fresh(size) if place is None else _kept.pop(place)
        _kept.append(memory)
        # What is not known any more goes with its tensor.
        while sum(map(len, _kept)) > _MOST:
            del _kept[0]
        return torch.frombuffer(memory, dtype=like.dtype, count=count).view(shape)


def _fresh(size: int) -> mmap.mmap:
    found = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(AttributeError, OSError):  # where the system has large pages, which are found sooner
        found.madvise(mmap.MADV_HUGEPAGE)
    return found


def _unused(at: int) -> bool:
    """Whether no tensor has the memory: nobody but the list and this call."""
    return getrefcount(_kept[at]) == 2
