"""The sparse differentiable neural computer against slow loops, and its links against those of the DNC."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from memnet import SDNC
from memnet.functional.links import follow_links, next_links, next_precedence
from memnet.functional.sparse import Entries, largest_entries, spread
from memnet.functional.sparse_links import (
    added_entries,
    follow_rows,
    next_links_after,
    next_links_before,
    next_sparse_precedence,
)
from tests import slow_sdnc as slow
from tests.by_heart import losses_by_heart

OPTIONS: dict[str, dict[str, Any]] = {
    "a few": {"num_reads": 2, "slots_per_read": 2, "links_per_slot": 2},
    "one head": {"num_reads": 1, "slots_per_read": 1, "links_per_slot": 3, "used_above": 0.3},
    "all, as a dense cell": {"num_reads": 2, "slots_per_read": 6, "links_per_slot": 6},
}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def drawn(**options: Any) -> SDNC:
    """One in float64 with every parameter from N(0, 1)."""
    torch.manual_seed(0)
    model = SDNC(3, 2, **({"hidden_size": 5, "num_slots": 6, "slot_size": 4} | options)).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


def assert_equal(actual: Tensor, expected: Any) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_every_step_is_that_of_the_slow_loops(options: dict[str, Any]) -> None:
    model = drawn(**options)
    cell, carried = model.cell, ("memory", "age", "read_weights", "precedence")
    state = model.initial_state(2)._replace(memory=normal(2, 6, 4, seed=1))
    for input in normal(2, 9, 3).unbind(1):
        _, after, watched = cell.watched_step(cell.project(input), state)
        links = [spread(Entries(getattr(state, f"{way}_slots").long(), getattr(state, way)), 6) for way in WAYS]
        for row in range(2):
            parts = [*(getattr(state, name)[row] for name in carried), *(one[row] for one in links)]
            told = {name: part[row].detach().numpy() for name, part in watched.told._asdict().items()}
            limits = (cell.slots_per_read, cell.links_per_slot, cell.used_above)
            expected, writes = slow.step(slow.SlowLinks(*(one.detach().numpy() for one in parts)), told, *limits)
            assert_equal(watched.written[row, 0], writes)
            assert_equal(after.memory[row], expected.memory)
            assert_equal(after.age[row], expected.age)
            assert_equal(after.read_weights[row], expected.reads)
            assert_equal(after.reads[row], expected.reads @ expected.memory)
            assert_equal(after.precedence[row], expected.precedence)
            for way, links_after in (("before", expected.before), ("after", expected.after)):
                found = Entries(getattr(after, f"{way}_slots")[row].long(), getattr(after, way)[row])
                assert_equal(spread(found, 6), links_after)
        state = after
    assert state.before.max() > 0.01


WAYS = ("before", "after")


def written_in_turn(slots: list[int], size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Links of the DNC, and both of the sparse form, after whole writes to slots, one after the other."""
    links, precedence = torch.zeros(1, 1, size, size).double(), torch.zeros(1, 1, size).double()
    few = Entries(torch.arange(2).expand(1, size, 2), torch.zeros(1, size, 2).double())
    both, last = (few, few), torch.zeros(1, size).double()
    for slot in slots:
        weights = nn.functional.one_hot(torch.tensor([[slot]]), size).double()
        links = next_links(links, weights, precedence)
        precedence = next_precedence(precedence, weights)
        written, earlier = largest_entries(weights[:, 0], 3), largest_entries(last, 2)
        both = next_links_before(both[0], written, earlier), next_links_after(both[1], written, earlier)
        last = next_sparse_precedence(last, weights[:, 0], 2)
    assert_equal(last, precedence[:, 0])
    return links, *(spread(one, size) for one in both)


def test_slots_that_are_written_in_turn_are_linked_as_those_of_a_dnc() -> None:
    """One slot a step, none twice: there nothing is left out, and w(j) takes nothing off."""
    links, before, after = written_in_turn([4, 1, 3, 0], 5)
    assert_equal(before, links[:, 0])
    assert_equal(after, links[:, 0].mT)
    read = Entries(torch.tensor([[[3, 4]]]), torch.tensor([[[0.75, 0.25]]]).double())
    rows = Entries(torch.arange(5).expand(1, 5, 5), after)
    forward, backward = follow_links(links, spread(read, 5))
    assert_equal(follow_rows(rows, read), forward[:, :, 0])
    assert_equal(follow_rows(rows._replace(weights=before), read), backward[:, :, 0])
    assert forward[0, 0, 0].tolist() == [0.75, 0.25, 0, 0, 0]


def test_of_a_sum_the_largest_stay() -> None:
    one = Entries(torch.tensor([[0, 3]]), torch.tensor([[0.0, 0.3]]))
    other = Entries(torch.tensor([[3, 2, 0]]), torch.tensor([[0.2, 0.1, 0.0]]))
    slots, weights = added_entries(one, other)
    assert slots.tolist() == [[3, 2]]
    assert_equal(weights, [[0.5, 0.1]])
    slots, _ = added_entries(one, Entries(one.slots, torch.zeros(1, 2)))
    assert slots.tolist() == [[0, 3]]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"slots_per_read": 0}, "slots_per_read must be at least 1, not 0"),
        ({"links_per_slot": 0}, "links_per_slot must be at least 1, not 0"),
        ({"slots_per_read": 7}, "slots_per_read 7 needs at least 7 slots, not 6"),
        ({"slots_per_read": 2, "links_per_slot": 7}, "links_per_slot 7 needs at least 7 slots, not 6"),
        ({"slots_per_read": 2, "links_per_slot": 2, "used_above": 1.0}, "used_above must be in"),
    ],
)
def test_sizes_that_cannot_be(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        drawn(**options)


def test_a_small_batch_is_learned_by_heart() -> None:
    torch.manual_seed(0)
    model = SDNC(3, 1, hidden_size=16, num_slots=16, slot_size=8, num_reads=2)
    input, answer = torch.randn(8, 4, 3), torch.rand(8).round()
    loss = nn.functional.binary_cross_entropy_with_logits
    losses = losses_by_heart(model, lambda: loss(model(input)[0][:, -1, 0], answer))
    assert losses[-1] < 0.05
