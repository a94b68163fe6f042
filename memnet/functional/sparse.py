"""Reading and writing a few slots of many: sparse access memory (Rae et al. 2016, arXiv 1610.09027).

K slots are read by every head, so that a write reaches K + 1: those that the head has read last, and one that nobody
has used for long (sections 3.1 and 3.2). Scores are (batch, head, slot), rows (batch, row, width) with their slots
(batch, row), int64; a slot may stand among them several times.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from memnet.functional.addressing import content_weights

# Scores of which the largest is found together, see top_slots.
_BLOCK = 128


def top_slots(scores: Tensor, count: int) -> Tensor:
    """The slots of the largest scores, in the order of the slots; of equal scores the first.

    Exact, by one pass over all scores: the largest of every block of slots, and of the `count` best blocks the scores.

    scores: (..., slot), at least `count` of them.
    Returns (..., count) int64, without gradients.
    """
    scores, size = scores.detach(), scores.size(-1)
    if size < 2 * count * _BLOCK:
        return _largest(scores, count)
    whole = size - size % _BLOCK
    best = scores[..., :whole].unflatten(-1, (-1, _BLOCK)).amax(-1)
    if whole < size:
        best = torch.cat([best, scores[..., whole:].amax(-1, keepdim=True)], -1)
    blocks = _largest(best, count).unsqueeze(-1) * _BLOCK
    slots = (blocks + torch.arange(_BLOCK, device=scores.device)).flatten(-2)
    inside = slots.clamp_max(size - 1)
    within = scores.gather(-1, inside).masked_fill(slots >= size, -torch.inf)
    return inside.gather(-1, _largest(within, count))


def _largest(scores: Tensor, count: int) -> Tensor:
    """`top_slots` of few; topk twice, since torch does not say which of equal numbers it takes."""
    size = scores.size(-1)
    least = scores.topk(count, -1).values[..., -1:]
    slots = torch.arange(size, dtype=torch.int32, device=scores.device)
    # Those above come before those that are equal, and these before the rest, whatever it holds.
    order = torch.where(scores > least, slots, torch.where(scores == least, slots + size, 2 * size))
    return order.topk(count, -1, largest=False).indices.sort(-1).values


class Entries(NamedTuple):
    """A few slots and their weights, (..., count) both; the slots int64, all different."""

    slots: Tensor
    weights: Tensor


def largest_entries(weights: Tensor, count: int) -> Entries:
    """The `count` largest weights (..., slot) and their slots."""
    slots = top_slots(weights, count)
    return Entries(slots, weights.gather(-1, slots))


def spread(entries: Entries, size: int) -> Tensor:
    """Entries (..., count) as weights of `size` slots, (..., slot), zero elsewhere."""
    weights = entries.weights.new_zeros(*entries.weights.shape[:-1], size)
    return weights.scatter_add(-1, entries.slots, entries.weights)


def slot_scales(memory: Tensor, epsilon: float) -> Tensor:
    """By what products with slots (batch, slot, width) are cosines in whole steps, see nearest_slots: (batch, slot)."""
    memory, number = memory.detach(), torch.finfo(memory.dtype)
    floor = _floor(epsilon, memory.dtype)
    norms = torch.linalg.vector_norm(memory, dim=-1).clamp_min(floor)
    scales: Tensor = (norms * math.sqrt(number.eps)).reciprocal()
    return scales


def _floor(epsilon: float, dtype: torch.dtype) -> float:
    """So that no floor makes a scale of more than numbers can be."""
    return max(epsilon, torch.finfo(dtype).tiny / torch.finfo(dtype).eps)


def nearest_slots(
    memory: Tensor, key: Tensor, count: int, epsilon: float = 1e-6, scales: Tensor | None = None
) -> Tensor:
    """The slots with the largest cosine to every key, by a scan of all slots.

    What one vector has written to several slots has the same cosine everywhere, but for rounding, which may be another
    in another batch. So cosines are rounded to half the digits of their dtype, to sqrt(eps) (3.5e-4 in float32), and of
    equal ones the first is taken: of slots that differ by no more the nearer one may be left out.

    memory:  (batch, slot, width). key: (batch, head, width).
    epsilon: norms below it count as it, see memnet.functional.addressing.cosine_similarity.
    scales:  slot_scales of the memory, where they are known.
    Returns  (batch, head, count) int64, see top_slots.
    """
    memory, key = memory.detach(), key.detach()
    if scales is None:
        scales = slot_scales(memory, epsilon)
    norms = torch.linalg.vector_norm(key, dim=-1, keepdim=True).clamp_min(_floor(epsilon, key.dtype))
    return top_slots(((key / norms) @ memory.transpose(-1, -2)).mul_(scales.unsqueeze(-2)).round_(), count)


def take_rows(memory: Tensor, slots: Tensor) -> Tensor:
    """What stands at slots (batch, row): (batch, row, width) of the memory (batch, slot, width)."""
    return memory.gather(1, _rows(slots, memory))


def put_rows(memory: Tensor, slots: Tensor, rows: Tensor) -> Tensor:
    """The memory with these rows at their slots; of rows for one slot all must be equal."""
    return memory.scatter(1, _rows(slots, memory), rows)


def put_rows_(memory: Tensor, slots: Tensor, rows: Tensor) -> Tensor:
    """`put_rows` in place."""
    return memory.scatter_(1, _rows(slots, memory), rows)


def add_rows_(memory: Tensor, slots: Tensor, rows: Tensor) -> Tensor:
    """Add rows to what stands at their slots, in place."""
    return memory.scatter_add_(1, _rows(slots, memory), rows)


def write_sparsely(
    read_slots: Tensor, read_weights: Tensor, unused: Tensor, gate: Tensor, again: Tensor
) -> tuple[Tensor, Tensor]:
    """Where every head writes: what it has just read, or a slot that nobody has used for long (eq. 5).

        w^W = alpha [gamma w^R_{t-1} + (1 - gamma) I^U]

    read_slots, read_weights: (batch, head, K), those of the step before.
    unused:                   (batch, head), the slot of I^U for each head.
    gate, again:              (batch, head, 1), alpha and gamma, in [0, 1].
    Returns                   slots and weights, (batch, head, K + 1), of sums up to one; a slot may come up twice.
    """
    slots = torch.cat([read_slots, unused.unsqueeze(-1)], -1)
    return slots, gate * torch.cat([again * read_weights, 1 - again], -1)


def written_rows(rows: Tensor, slots: Tensor, weights: Tensor, add: Tensor, emptied: Tensor) -> Tensor:
    """What stands at slots after a write: the unused ones are emptied, then all heads add.

        M_t(i) = [1 - max_h I_h^U(i)] M_{t-1}(i) + sum_h w_h^W(i) a_h

    rows:           (batch, head (K + 1), width), what stood at the slots.
    slots, weights: (batch, head, K + 1), see write_sparsely.
    add:            (batch, head, width).
    emptied:        (batch, head), slots.
    Returns         as rows: at all places of a slot the same; gradients pass through its first place alone.
    """
    flat = slots.flatten(1)
    same = flat.unsqueeze(-1) == flat.unsqueeze(-2)
    kept = (flat.unsqueeze(-1) != emptied.unsqueeze(-2)).all(-1, keepdim=True)
    shares = (same * weights.flatten(1).unsqueeze(-2)).unflatten(-1, weights.shape[1:]).sum(-1)
    new = rows * kept + shares @ add
    first = same.int().argmax(-1)
    own = first == torch.arange(first.size(-1), device=first.device)
    return torch.where(own.unsqueeze(-1), new, take_rows(new.detach(), first))


def next_age(age: Tensor, slots: Tensor, weights: Tensor, threshold: float) -> Tensor:
    """For how many steps every slot has not been read or written, the usage U^(2) of section 3.2; without gradients.

        U_T(i) = T - max {t: w_t^R(i) + w_t^W(i) > delta}        weights of all heads together

    age:            (batch, slot), that of the step before.
    slots, weights: (batch, row), of all that was read and written in this step.
    threshold:      delta.
    Returns         (batch, slot).
    """
    older = age.detach() + 1
    used = is_used(slots, weights, threshold)
    return older.scatter(-1, slots, older.gather(-1, slots).masked_fill(used, 0.0))


def is_used(slots: Tensor, weights: Tensor, threshold: float) -> Tensor:
    """Whether the weights of a slot's places sum up to more than the threshold; see next_age. (batch, row) bool."""
    same = slots.unsqueeze(-1) == slots.unsqueeze(-2)
    return (same * weights.detach().unsqueeze(-2)).sum(-1) > threshold


class Read(NamedTuple):
    """What heads have read: slots and weights (batch, head, K), and vectors (batch, head, width)."""

    slots: Tensor
    weights: Tensor
    vectors: Tensor


class Slots:
    """The memory of a step, as tensors that are never changed: rows (batch, slot, width) and age (batch, slot)."""

    def __init__(self, rows: Tensor, age: Tensor) -> None:
        self.rows, self.age = rows, age

    def unused(self, count: int) -> Tensor:
        """The slots that have not been used for longest, (batch, count)."""
        return top_slots(self.age, count)

    def take(self, slots: Tensor) -> Tensor:
        """What stands at slots (batch, row): (batch, row, width)."""
        return take_rows(self.rows, slots)

    def put(self, slots: Tensor, rows: Tensor) -> None:
        """Write rows to their slots."""
        self.rows = put_rows(self.rows, slots, rows)

    def nearest(self, key: Tensor, count: int, epsilon: float) -> Tensor:
        """The slots nearest to each key (batch, head, width): (batch, head, count)."""
        return nearest_slots(self.rows, key, count, epsilon)

    def take_of_heads(self, slots: Tensor) -> Tensor:
        """What stands at slots (batch, head, K): (batch, head, K, width)."""
        rows: Tensor = self.take(slots.flatten(1)).unflatten(1, slots.shape[1:])
        return rows

    def by_content(self, key: Tensor, strength: Tensor, count: int, epsilon: float) -> tuple[Entries, Tensor]:
        """The slots nearest to each key, of which heads read softmax shares, and what stands there.

        key:      (batch, head, width). strength: (batch, head, 1).
        Returns   slots and shares (batch, head, count), and rows (batch, head, count, width).
        """
        found = self.nearest(key, count, epsilon)
        rows = self.take_of_heads(found)
        keys, strengths = key.unsqueeze(2).flatten(0, 1), strength.flatten(0, 1).unsqueeze(-1)
        shares = content_weights(rows.flatten(0, 1), keys, strengths, epsilon).view(found.shape)
        return Entries(found, shares), rows

    def touch(self, slots: Tensor, weights: Tensor, threshold: float) -> None:
        """Note what was used, slots and weights (batch, row)."""
        self.age = next_age(self.age, slots, weights, threshold)


def _rows(slots: Tensor, memory: Tensor) -> Tensor:
    return slots.unsqueeze(-1).expand(*slots.shape, memory.size(-1))
