"""What of an array is shown: which slots, how many cells, and on which scale of colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.figures.style import Array

# Below this weight at all steps a slot counts as never used.
USED = 0.01
# A memory up to this size is shown whole.
FEW_SLOTS = 32


def largest_magnitude(values: Array) -> float:
    """The largest finite magnitude, 0 if there is none."""
    return float(np.abs(values).max(initial=0, where=np.isfinite(values)))


def colour_span(arrays: Sequence[Array]) -> tuple[float, float]:
    """Ends of one colour scale for all: from 0 to 1 or more, from minus to plus as far if a value is negative."""
    high = max([1.0, *map(largest_magnitude, arrays)])
    return (-high if any(np.any(values < 0) for values in arrays) else 0), high


def used_slots(weights: Sequence[Array]) -> tuple[int, int]:
    """(first, count) of the shortest stretch of slots, round the end too, that holds all that are ever used.

    weights: arrays (time, head, slot). `first` is negative where the stretch goes over the end of
    the memory. All slots if they are few, if none is used or if little would be saved.
    """
    slots = weights[0].shape[2]
    used = np.flatnonzero(np.any([np.any(array >= USED, axis=(0, 1)) for array in weights], axis=0))
    if slots <= FEW_SLOTS or not len(used):
        return 0, slots
    gaps = np.diff(used, append=used[0] + slots)
    widest = int(gaps.argmax())
    first, count = int(used[(widest + 1) % len(used)]), slots - int(gaps[widest]) + 1
    margin = max(2, count // 20)
    start, stop = first - margin, first + count + margin
    if first + count <= slots:
        start, stop = max(start, 0), min(stop, slots)
    elif start >= 0:
        start, stop = start - slots, stop - slots
    return (start, stop - start) if stop - start < 0.9 * slots else (0, slots)


def pool(values: Array, axis: int, limit: int, largest: bool) -> tuple[Array, int]:
    """Join neighbours along an axis until at most `limit` cells are left; returns them and how many each joins."""
    size = values.shape[axis]
    joined = -(-size // limit)
    if joined == 1:
        return values, 1
    starts = np.arange(0, size, joined)
    if largest:
        return np.maximum.reduceat(values, starts, axis), joined
    counts = np.diff(starts, append=size)
    return np.add.reduceat(values, starts, axis) / (counts[:, None] if axis == 0 else counts), joined
