"""Least recently used access against slow loops, and what must hold of its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from memnet import LRUA
from memnet.functional.least_used import decayed_usage, least_used, write_by_use
from tests import slow_lrua as slow

OPTIONS: dict[str, dict[str, Any]] = {
    "one head": {"num_reads": 1},
    "two heads": {"num_reads": 2},
    "with strength": {"num_reads": 2, "learned_strength": True, "usage_decay": 0.5},
    "as many heads as slots": {"num_reads": 6, "controller": "feedforward"},
}


def drawn(**options: Any) -> LRUA:
    """One in float64 with every parameter from N(0, 1)."""
    torch.manual_seed(0)
    model = LRUA(3, 2, **({"hidden_size": 5, "num_slots": 6, "slot_size": 4} | options)).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def assert_equal(actual: Tensor, expected: Any, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_every_step_is_that_of_the_slow_loops(options: dict[str, Any]) -> None:
    model = drawn(**options)
    state = model.initial_state(2)
    for input in normal(2, 8, 3).unbind(1):
        output, after, watched = model.cell.watched_step(model.cell.project(input), state)
        for row in range(2):
            fields = ("memory", "usage", "read_weights", "write_weights")
            before = slow.SlowUse(*(getattr(state, name)[row].detach().numpy() for name in fields))
            key, gate = watched.key[row].detach().numpy(), watched.gate[row, :, 0].detach().numpy()
            strength = watched.strength[row, :, 0] if model.cell.learned_strength else torch.ones(len(gate)).double()
            expected = slow.step(before, key, gate, strength.detach().numpy(), model.cell.usage_decay)
            assert_equal(after.memory[row], expected.memory)
            assert_equal(after.usage[row], expected.usage)
            assert_equal(after.read_weights[row], expected.reads)
            assert_equal(after.write_weights[row], expected.writes)
            assert_equal(after.reads[row], expected.reads @ expected.memory)
        assert_equal(output[:, -after.reads[0].numel() :], after.reads.flatten(1))
        state = after


def test_the_least_used_slots_are_those_of_the_paper_each_for_one_head() -> None:
    usage = torch.tensor([[3.0, 0.5, 2.0, 0.1, 9.0]])
    marked = least_used(usage, 3)
    assert marked.argmax(-1).tolist() == [[3, 1, 2]]
    third = usage.sort(-1).values[:, 2:3]
    assert torch.equal(marked.sum(1), (usage <= third).float())
    assert least_used(torch.zeros(1, 4), 2).argmax(-1).tolist() == [[0, 1]]


def test_usage_decays_and_counts_reads_and_writes() -> None:
    usage, read, write = torch.rand(2, 5), torch.rand(2, 3, 5), torch.rand(2, 3, 5)
    assert_equal(decayed_usage(usage, read, write, 0.0), read.sum(1) + write.sum(1), 1e-6)
    assert_equal(decayed_usage(usage, 0 * read, 0 * write, 0.9), 0.9 * usage, 1e-6)
    assert not decayed_usage(usage.requires_grad_(), read.requires_grad_(), write, 0.9).requires_grad


@pytest.mark.parametrize("open", [0.0, 1.0])
def test_the_gate_chooses_between_what_was_read_and_what_is_least_used(open: float) -> None:
    read, least = torch.rand(1, 2, 5), least_used(torch.rand(1, 5), 2)
    assert torch.equal(write_by_use(read, least, torch.full((1, 2, 1), open)), read if open else least)


def test_with_the_gate_shut_every_step_writes_its_key_to_the_next_slot_alone() -> None:
    """Slots are taken one after the other, and when all are, that which was written first."""
    model = drawn(num_reads=1, learned_strength=True)
    with torch.no_grad():
        model.cell.interface.weight[4] = 0
        model.cell.interface.bias[4:] = torch.tensor([-1e4, 1e4])
    trace = model.trace(normal(1, 8, 3))
    parts = {part.name: part.values[0] for part in trace.parts}
    assert_equal(parts["write"][:6, 0], torch.eye(6, dtype=torch.float64))
    for step in range(6):
        assert_equal(parts["memory"][5, step], parts["read key"][step, 0])
    # Its own key is what a head finds, so that what was written first has been used least.
    assert parts["read"][:6, 0].argmax(-1).tolist() == list(range(6))
    assert parts["write"][6:, 0].argmax(-1).tolist() == [0, 1]


def test_more_slots_may_be_set_and_too_few_are_refused() -> None:
    model = drawn(num_reads=2)
    model.num_slots = 20
    assert model(normal(1, 3, 3))[1].memory.shape == (1, 20, 4)
    with pytest.raises(ValueError, match="num_reads 2 needs at least 2 slots, not 1"):
        model.num_slots = 1
    for options, told in (({"usage_decay": 1.0}, "usage_decay must be in"), ({"num_reads": 0}, "num_reads must be")):
        with pytest.raises(ValueError, match=told):
            drawn(**options)


def test_it_learns_to_name_what_it_has_seen() -> None:
    """One-shot: two patterns, each shown with its label once, drawn anew in every sequence; then one is asked for."""
    torch.manual_seed(0)
    model = LRUA(6, 2, hidden_size=20, num_slots=8, slot_size=8, num_reads=1, learned_strength=True)
    optimizer, generator = torch.optim.Adam(model.parameters(), 1e-2), torch.Generator().manual_seed(0)
    losses = []
    for _ in range(250):
        patterns = torch.randn(32, 2, 4, generator=generator)
        labels, asked = torch.randint(2, (2, 32), generator=generator)
        told = nn.functional.one_hot(torch.stack([labels, 1 - labels], 1), 2)
        shown = torch.cat([patterns, patterns.gather(1, asked.view(-1, 1, 1).expand(-1, -1, 4))], 1)
        output, _ = model(torch.cat([shown, nn.functional.pad(told, (0, 0, 0, 1))], 2))
        loss = nn.functional.cross_entropy(output[:, 2], labels ^ asked)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) / 10 < 0.2 < 0.6 < losses[0]


@pytest.mark.parametrize(
    ("options", "changed", "told"),
    [
        ({"controller": "normalized-lstm"}, {}, "it computes no NormalizedLSTMCell"),
        ({"num_reads": 2}, {"num_reads": 1}, "it computes memnet's own cells as they were built"),
        ({}, {"learned_strength": True}, "it computes memnet's own cells as they were built"),
    ],
)
def test_what_its_operator_does_not_compute_is_told(
    options: dict[str, Any], changed: dict[str, Any], told: str
) -> None:
    cell = drawn(**options).cell
    for name, value in changed.items():
        setattr(cell, name, value)
    assert cell.native_refusal(normal(2, 4, 3), cell.initial_state(2)) == told


def test_a_state_of_fewer_slots_than_heads_is_refused() -> None:
    model = drawn(num_reads=2)
    state = model.initial_state(2)
    with pytest.raises(ValueError, match="num_reads 2 needs at least 2 slots, not 1"):
        model.cell.unroll_native(normal(2, 4, 3), state._replace(memory=state.memory[:, :1]), None)
