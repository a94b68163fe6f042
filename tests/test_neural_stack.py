"""Continuous stacks, queues and DeQues against slow loops, exact ones, and what must hold of their parts."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from memnet import NeuralStack
from memnet.functional.strengths import end_weights, pop_strength, push_both, push_top
from tests.reversing import learn
from tests.slow_stacks import SlowStructure

STRUCTURES = ("stack", "queue", "deque")
every_structure = pytest.mark.parametrize("structure", STRUCTURES)


def drawn(**options: Any) -> NeuralStack:
    """One in float64 with every parameter from N(0, 1)."""
    torch.manual_seed(0)
    model = NeuralStack(3, 2, **({"hidden_size": 5, "num_slots": 16, "slot_size": 4} | options)).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@every_structure
def test_what_is_read_is_what_the_slow_loops_read(structure: str) -> None:
    """Of two structures in one memory, over as many steps as lose nothing."""
    model = drawn(structure=structure, num_structures=2)
    cell, state = model.cell, model.initial_state(1)
    ends, slow = cell.ends, [SlowStructure(), SlowStructure()]
    tops = [True] if structure != "deque" else [True, False]
    for input in normal(1, 8, 3).unbind(1):
        output, state, watched = cell.watched_step(cell.project(input), state)
        push, pop, value = (one[0].detach().numpy() for one in watched)
        found = []
        for number, own in enumerate(slow):
            for place, end in enumerate(ends):
                own.pop(pop[number, place], top=end == "top")
            for place, top in enumerate(tops):
                own.push(value[number, place], push[number, place], top=top)
            found += [own.read(top=end == "top") for end in ends]
        torch.testing.assert_close(state.reads[0], torch.from_numpy(np.array(found)))
        torch.testing.assert_close(output[0, 5:], state.reads[0].flatten())


@every_structure
@pytest.mark.parametrize("seed", range(3))
def test_whole_actions_are_those_of_an_exact_structure(structure: str, seed: int) -> None:
    """Random programs: pop if any, push if any, at either end of a deque, and look at the ends."""
    random, exact = np.random.default_rng(seed), deque[float]()
    memory, strengths = torch.zeros(80, 1), torch.zeros(80)
    ends = {"stack": ("top",), "queue": ("bottom",), "deque": ("top", "bottom")}[structure]
    for step in range(40):
        value, push, pop = (
            torch.tensor([[step + 0.25], [step + 0.5]]),
            *torch.from_numpy(random.integers(2, size=(2, 2))).float(),
        )
        for end, amount in zip(ends, pop, strict=False):
            strengths = pop_strength(strengths, amount, end)
            if amount and exact:
                exact.popleft() if end == "top" else exact.pop()
        if structure == "deque":
            memory = push_both(memory, *value)
            strengths = push_both(strengths.unsqueeze(-1), *push.unsqueeze(-1)).squeeze(-1)
        else:
            memory, strengths = push_top(memory, value[0]), push_top(strengths.unsqueeze(-1), push[:1]).squeeze(-1)
        for end, amount, one in zip(("top", "bottom"), push.tolist(), value, strict=True):
            if amount and (end == "top" or structure == "deque"):
                exact.appendleft(float(one)) if end == "top" else exact.append(float(one))
        assert strengths.sum() == len(exact)
        for end in ends:
            expected = (exact[0] if end == "top" else exact[-1]) if exact else 0.0
            assert float(end_weights(strengths, end) @ memory) == expected


def test_no_more_is_there_than_was_pushed_and_no_more_is_read_than_one() -> None:
    trace = drawn(structure="deque", num_structures=2).trace(normal(2, 8, 3))
    parts = {part.name: part.values for part in trace.parts}
    pushed = (parts["push top"] + parts["push bottom"]).cumsum(1)
    assert (parts["strength"].sum(-1) <= pushed + 1e-12).all()
    assert (parts["read"] >= 0).all()
    assert (parts["read"].sum(-1) <= 1 + 1e-12).all()
    assert (parts["read"].sum(-1) <= parts["strength"].sum(-1).repeat_interleave(2, -1) + 1e-12).all()


def test_a_deque_used_at_its_top_alone_is_a_stack_and_across_a_queue() -> None:
    """With the actions at the other ends left out, element by element."""
    random = np.random.default_rng(0)
    for pop_end in ("top", "bottom"):
        both, rows = torch.zeros(20), torch.zeros(20, 1)
        one, single = torch.zeros(20), torch.zeros(20, 1)
        for _ in range(10):
            push, pop, value = torch.from_numpy(random.random(3)).float()
            both, one = pop_strength(both, pop, pop_end), pop_strength(one, pop, pop_end)
            rows, single = push_both(rows, value[None], torch.zeros(1)), push_top(single, value[None])
            both = push_both(both[:, None], push[None], torch.zeros(1))[:, 0]
            one = push_top(one[:, None], push[None])[:, 0]
            torch.testing.assert_close(end_weights(both, pop_end) @ rows, end_weights(one, pop_end) @ single)


def test_more_slots_may_be_set_and_sizes_that_cannot_be_are_refused() -> None:
    model = drawn()
    model.num_slots = 40
    assert model(normal(1, 3, 3))[1].strengths.shape == (1, 1, 40)
    for options, told in (
        ({"num_structures": 0}, "num_structures must be at least 1, not 0"),
        ({"structure": "deque", "num_slots": 1}, "a deque needs at least 2 slots, not 1"),
        ({"structure": "heap"}, "structure must be one of stack, queue, deque"),
    ):
        with pytest.raises(ValueError, match=told):
            drawn(**options)


def test_actions_are_whole_where_they_are_rounded() -> None:
    parts = {
        part.name: part for part in drawn(structure="deque", round_actions=True).eval().trace(normal(1, 9, 3)).parts
    }
    for name in ("push top", "push bottom", "pop top", "pop bottom", "strength", "read"):
        assert {*parts[name].values.flatten().tolist()} <= {0.0, 1.0}


def test_a_queue_learns_to_copy() -> None:
    torch.manual_seed(0)
    model = NeuralStack(3, 2, structure="queue", controller="rnn-tanh", hidden_size=32, num_slots=8, slot_size=8)
    first, last = learn(model, steps=100, backwards=False)
    assert last < 0.1 < 0.6 < first
