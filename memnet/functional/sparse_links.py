"""Temporal links between a few slots of many: the sparse form of Rae et al. 2016 (arXiv 1610.09027, appendix).

The links of a DNC, see memnet.functional.links, are kept twice as rows of a few slots: `before`, L(i, j) by the later
slot i, and `after`, L(j, i) by the earlier slot i; each keeps the largest of a row. So either way to follow them takes
rows. Slots are whole numbers, those of a row all different; weightings (batch, slot) or (batch, head, slot).
"""

import torch
from torch import Tensor

from memnet.functional.sparse import Entries, largest_entries, spread, top_slots


def added_entries(entries: Entries, more: Entries) -> Entries:
    """The sum of two rows, of which as many entries stay as there were in the first: the largest.

    entries, more: (..., count) and (..., other), of weights that are not negative.
    """
    same = entries.slots.unsqueeze(-1) == more.slots.unsqueeze(-2)
    sums = entries.weights + (same * more.weights.unsqueeze(-2)).sum(-1)
    known = same.any(-2)
    slots = torch.cat([entries.slots, more.slots], -1)
    weights = torch.cat([sums, more.weights.masked_fill(known, 0.0)], -1)
    kept = top_slots(torch.cat([sums, more.weights.masked_fill(known, -1.0)], -1), entries.slots.size(-1))
    return Entries(slots.gather(-1, kept), weights.gather(-1, kept))


def take_entries(rows: Entries, slots: Tensor) -> Entries:
    """The rows (batch, slot, count) of slots (batch, row): (batch, row, count)."""
    index = slots.unsqueeze(-1).expand(-1, -1, rows.slots.size(-1))
    return Entries(rows.slots.gather(1, index), rows.weights.gather(1, index))


def put_entries(rows: Entries, slots: Tensor, new: Entries) -> Entries:
    """The rows with others at slots (batch, row), all different."""
    index = slots.unsqueeze(-1).expand_as(new.slots)
    return Entries(rows.slots.scatter(1, index, new.slots), rows.weights.scatter(1, index, new.weights))


def next_sparse_precedence(precedence: Tensor, write_weights: Tensor, count: int) -> Tensor:
    """How much every slot was the last one written, for the `count` largest alone.

        p_t = [1 - sum_i w(i)] p_{t-1} + w

    precedence, write_weights: (batch, slot).
    """
    every = (1 - write_weights.sum(-1, keepdim=True)) * precedence + write_weights
    return spread(largest_entries(every, count), every.size(-1))


def next_links_before(links: Entries, written: Entries, precedence: Entries) -> Entries:
    """What was written before each slot, a row for each; only those of the slots that are written change.

        N_t(i, j) = [1 - w(i)] N_{t-1}(i, j) + w(i) p_{t-1}(j)        N(i, i) = 0

    The DNC takes w(j) off, too, see memnet.functional.links.next_links.

    links:      (batch, slot, count).
    written:    (batch, row), the slots that are written and their weights.
    precedence: (batch, count), that of the step before.
    """
    rows, share = take_entries(links, written.slots), written.weights.unsqueeze(-1)
    linked = share * precedence.weights.unsqueeze(1)
    earlier = precedence.slots.unsqueeze(1).expand_as(linked)
    more = Entries(earlier, linked.masked_fill(earlier == written.slots.unsqueeze(-1), 0.0))
    return put_entries(links, written.slots, added_entries(Entries(rows.slots, (1 - share) * rows.weights), more))


def next_links_after(links: Entries, written: Entries, precedence: Entries) -> Entries:
    """What was written after each slot, a row for each: the same links by their earlier slot.

        P_t(i, j) = [1 - w(j)] P_{t-1}(i, j) + w(j) p_{t-1}(i)        P(i, i) = 0

    Arguments as for next_links_before.
    """
    weights = spread(written, links.slots.size(1))
    lost = weights.gather(-1, links.slots.flatten(1)).view_as(links.weights)
    links = Entries(links.slots, (1 - lost) * links.weights)
    linked = precedence.weights.unsqueeze(-1) * written.weights.unsqueeze(1)
    later = written.slots.unsqueeze(1).expand_as(linked)
    more = Entries(later, linked.masked_fill(later == precedence.slots.unsqueeze(-1), 0.0))
    return put_entries(links, precedence.slots, added_entries(take_entries(links, precedence.slots), more))


def follow_rows(links: Entries, read: Entries) -> Tensor:
    """From where every head has read to what its slots are linked with.

        f(i) = sum_j w_{t-1}(j) P(j, i)        b(i) = sum_j w_{t-1}(j) N(j, i)

    links:  (batch, slot, count), by which way to go.
    read:   (batch, head, K), slots and weights of the step before.
    Returns (batch, head, slot), of sums up to one.
    """
    rows = take_entries(links, read.slots.flatten(1))
    reached = rows.weights.unflatten(1, read.slots.shape[1:]) * read.weights.unsqueeze(-1)
    slots = rows.slots.unflatten(1, read.slots.shape[1:])
    return spread(Entries(slots.flatten(2), reached.flatten(2)), links.slots.size(1))
