"""Networks with stacks against slow loops, exact stacks, and what must hold of their parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from experiments.domains.sequences import evaluation
from memnet import StackRNN
from memnet.functional.stacks import push_or_pop
from tasks import Copy
from tests import slow_stacks as slow
from tests.reversing import learn

EMPTY = -1.0


def drawn(**options: Any) -> StackRNN:
    """One in float64 with every parameter from N(0, 1)."""
    torch.manual_seed(0)
    model = StackRNN(3, 2, **({"hidden_size": 5, "num_slots": 6, "slot_size": 4} | options)).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@pytest.mark.parametrize(
    "options", [{}, {"num_stacks": 3, "num_tops": 2, "pushed_values": "linear", "empty_value": 0.5}]
)
def test_every_step_is_that_of_the_slow_loops(options: dict[str, Any]) -> None:
    model = drawn(**options)
    cell, state = model.cell, model.initial_state(2)
    for input in normal(2, 8, 3).unbind(1):
        output, after, watched = cell.watched_step(cell.project(input), state)
        emitted = cell.interface(output[:, :5])
        logits, values = emitted.split([3 * cell.num_stacks, 4 * cell.num_stacks], -1)
        for row in range(2):
            tops = []
            for stack in range(cell.num_stacks):
                scores = np.exp(logits[row, 3 * stack : 3 * stack + 3].detach().numpy())
                value = values[row, 4 * stack : 4 * stack + 4].detach().numpy()
                if cell.pushed_values == "sigmoid":
                    value = 1 / (1 + np.exp(-value))
                before = state.memory[row, stack].detach().numpy()
                expected = slow.stack_step(before, scores / scores.sum(), value, cell.empty_value)
                torch.testing.assert_close(after.memory[row, stack], torch.from_numpy(expected))
                torch.testing.assert_close(watched.value[row, stack], torch.from_numpy(value))
                tops += [*expected[: cell.num_tops]]
            torch.testing.assert_close(after.reads[row], torch.from_numpy(np.array(tops)))
            torch.testing.assert_close(output[row, 5:], after.reads[row].flatten())
        state = after


@pytest.mark.parametrize("seed", range(4))
def test_whole_actions_are_those_of_a_stack(seed: int) -> None:
    """Random programs: whatever is pushed comes back, last in first out, and a pop of nothing does nothing."""
    random = np.random.default_rng(seed)
    stack, exact = torch.full((1, 30, 2), EMPTY), list[Tensor]()
    for _ in range(100):
        action, value = int(random.integers(3)), torch.from_numpy(random.random((1, 2))).float()
        if action == 0 and len(exact) == 30:
            continue
        stack = push_or_pop(stack, torch.eye(3)[action].unsqueeze(0), value, EMPTY)
        exact = [value[0], *exact] if action == 0 else exact[1:] if action == 1 else exact
        expected = torch.stack([*exact, *[torch.full((2,), EMPTY)] * (30 - len(exact))])
        assert torch.equal(stack[0], expected)


def test_what_is_pushed_off_the_end_is_lost() -> None:
    stack, push, pop = torch.full((2, 1), EMPTY), torch.eye(3)[0], torch.eye(3)[1]
    for number in range(3):
        stack = push_or_pop(stack, push, torch.tensor([float(number)]), EMPTY)
    assert stack.tolist() == [[2.0], [1.0]]
    for _ in range(2):
        stack = push_or_pop(stack, pop, torch.zeros(1), EMPTY)
    assert stack.tolist() == [[EMPTY], [EMPTY]]


def test_actions_are_rounded_in_evaluation_mode_alone_and_where_that_is_asked_for() -> None:
    model = drawn(num_stacks=2)
    trained = model.trace(normal(1, 5, 3)).parts
    model.round_actions = True
    assert all(
        torch.equal(one.values, other.values)
        for one, other in zip(trained, model.trace(normal(1, 5, 3)).parts, strict=True)
    )
    for part in model.eval().trace(normal(1, 5, 3)).parts:
        if part.kind == "gate":
            assert {*part.values.flatten().tolist()} <= {0.0, 1.0}
    model.round_actions = False
    assert all(
        torch.equal(one.values, other.values)
        for one, other in zip(trained, model.trace(normal(1, 5, 3)).parts, strict=True)
    )


@pytest.mark.parametrize("trained_so", [False, True])
def test_a_test_may_round_actions_and_says_so(trained_so: bool) -> None:
    torch.manual_seed(0)
    task, rows = Copy(), []
    model = StackRNN(task.input_size, task.output_size, hidden_size=5, round_actions=trained_so)
    for asked in (False, True):
        rows.append(evaluation.test_at(model, task, 3, sequences=2, seed=0, round_actions=asked))
        assert (model.round_actions, model.training) == (trained_so, True)
    assert "actions" not in rows[0]["at"]
    assert (rows[0]["as_trained"], rows[1]["as_trained"]) == (True, False)
    assert rows[1]["at"]["actions"] == "rounded"
    assert (rows[0]["scores"] == rows[1]["scores"]) == trained_so


def test_a_trace_tells_one_stack_as_a_memory_and_several_by_heads() -> None:
    for count, axes in ((1, ("time", "slot", "width")), (2, ("time", "head", "slot", "width"))):
        parts = {part.name: part for part in drawn(num_stacks=count, num_tops=2).trace(normal(1, 5, 3)).parts}
        assert parts["memory"].axes == axes
        shares = parts["push"].values + parts["pop"].values + parts["no-op"].values
        torch.testing.assert_close(shares, torch.ones(1, 5, count).double())


def test_sizes_that_cannot_be_are_refused() -> None:
    for options, told in (
        ({"num_stacks": 0}, "num_stacks must be at least 1, not 0"),
        ({"num_tops": 7}, "num_tops 7 needs at least 7 slots, not 6"),
        ({"pushed_values": "relu"}, "pushed_values must be one of sigmoid, linear"),
    ):
        with pytest.raises(ValueError, match=told):
            drawn(**options)


@pytest.mark.parametrize(
    ("options", "changed", "told"),
    [
        ({"controller": "normalized-lstm"}, {}, "it computes no NormalizedLSTMCell"),
        ({"num_stacks": 2}, {"num_stacks": 1}, "it computes memnet's own cells as they were built"),
        ({"num_tops": 2}, {"num_tops": 1}, "it computes memnet's own cells as they were built"),
    ],
)
def test_what_its_operator_does_not_compute_is_told(
    options: dict[str, Any], changed: dict[str, int], told: str
) -> None:
    cell = drawn(**options).cell
    for name, value in changed.items():
        setattr(cell, name, value)
    assert cell.native_refusal(normal(2, 4, 3), cell.initial_state(2)) == told


def test_a_state_of_fewer_slots_than_are_read_is_refused() -> None:
    model = drawn(num_tops=2)
    state = model.initial_state(2)
    with pytest.raises(ValueError, match="num_tops 2 needs at least 2 slots, not 1"):
        model.cell.unroll_native(normal(2, 4, 3), state._replace(memory=state.memory[:, :, :1]), None)


def test_it_learns_to_reverse() -> None:
    torch.manual_seed(0)
    model = StackRNN(3, 2, hidden_size=32, num_slots=4, pushed_values="linear", empty_value=0.0)
    first, last = learn(model)
    assert last < 0.1 < 0.6 < first
