"""Networks with tapes against slow loops, exact tapes, and what must hold of their parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from memnet import Tape
from memnet.functional.tape import move, rotate_or_pop, write_at_head
from tests.reversing import learn
from tests.slow_stacks import tape_step

OPTIONS: dict[str, dict[str, Any]] = {
    "two tapes": {"num_tapes": 2, "write_units": 0},
    "jumps": {"jump": True, "write_units": 4},
    "baby-ntm": {"rule": "rotate-and-add", "write_units": 0},
}


def drawn(**options: Any) -> Tape:
    """One in float64 with every parameter from N(0, 1)."""
    torch.manual_seed(0)
    model = Tape(3, 2, **({"hidden_size": 5, "num_slots": 6, "slot_size": 4} | options)).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_every_step_is_that_of_the_slow_loops(options: dict[str, Any]) -> None:
    """Of two rows whose inputs end at different steps, by which a jump goes different ways."""
    model, inputs = drawn(**options), normal(2, 8, 3)
    inputs[0, :3, 2] = inputs[1, :5, 2] = inputs[0, 6, 2] = 0
    cell, state = model.cell, model.initial_state(2)
    for time, input in enumerate(inputs.unbind(1)):
        output, after, watched = cell.watched_step(cell.project(input), state)
        for row, end in enumerate((3, 5)):
            for tape in range(cell.num_tapes):
                shares, value = (one[row, tape].detach().numpy() for one in watched)
                before = state.memory[row, tape].detach().numpy()
                expected = tape_step(before, shares, value, cell.rule, min(time + 1, end))
                torch.testing.assert_close(after.memory[row, tape], torch.from_numpy(expected))
            torch.testing.assert_close(after.reads[row], after.memory[row, :, 0])
            torch.testing.assert_close(output[row, 5:], after.reads[row].flatten())
        state = after


@pytest.mark.parametrize("seed", range(3))
def test_whole_moves_are_those_of_an_exact_tape(seed: int) -> None:
    """Random programs: the head of a Python list goes where the tape comes from."""
    random, length = np.random.default_rng(seed), 4
    tape, exact, head = torch.zeros(1, 1, 11, 1), [0.0] * 11, 0
    for step in range(1, 60):
        action = int(random.integers(5))
        tape = write_at_head(tape, torch.full((1, 1, 1), float(step)))
        tape = move(tape, torch.eye(5)[action].view(1, 1, 5), torch.tensor([float(length)]))
        exact[head] = step
        head = (head + [0, 1, -1, length, -length][action]) % 11
        assert tape.flatten().tolist() == exact[head:] + exact[:head]


def test_what_is_popped_does_not_come_round() -> None:
    tape = torch.arange(1.0, 5).view(1, 1, 4, 1)
    found = [rotate_or_pop(tape, torch.eye(5)[action].view(1, 1, 5)).flatten().tolist() for action in range(5)]
    assert found == [[2, 3, 4, 1], [4, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 0], [0, 1, 2, 3]]


def test_moves_may_be_rounded_and_are_told() -> None:
    model = drawn(jump=True, write_units=4, round_actions=True).eval()
    gates = [part.values for part in model.trace(normal(1, 9, 3)).parts if part.kind == "gate"]
    assert torch.equal(sum(gates), torch.ones(1, 9, 1).double())
    assert {*torch.cat(gates).flatten().tolist()} == {0.0, 1.0}
    assert len(gates) == 5


def test_what_cannot_be_is_refused() -> None:
    for options, told in (
        ({"num_tapes": 0}, "num_tapes must be at least 1, not 0"),
        ({"rule": "rotate-and-add", "jump": True}, "no jumps with rule rotate-and-add"),
        ({"rule": "turing"}, "rule must be one of write-and-move, rotate-and-add"),
    ):
        with pytest.raises(ValueError, match=told):
            drawn(**options)


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({}, {"writer": nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))}),
        ({}, {"moves": ("stay", "forward")}),
        ({}, {"jump": True}),
        ({"jump": True}, {"jump": False}),
        ({}, {"rule": "rotate-and-add"}),
        ({"jump": True}, {"rule": "rotate-and-add"}),
        ({"rule": "rotate-and-add"}, {"jump": True}),
        ({"rule": "rotate-and-add"}, {"rule": "write-and-move"}),
        ({"rule": "rotate-and-add"}, {"rule": "write-and-move", "jump": True}),
    ],
)
def test_its_operator_tells_what_it_does_not_compute(options: dict[str, Any], changed: dict[str, Any]) -> None:
    """Also where as many moves are left as another rule has, so that nothing else would stop it."""
    cell = drawn(**{"write_units": 4} | options).cell
    assert cell.native_refusal(normal(2, 4, 3), cell.initial_state(2)) is None
    for name, value in changed.items():
        setattr(cell, name, value.double() if isinstance(value, nn.Module) else value)
    told = cell.native_refusal(normal(2, 4, 3), cell.initial_state(2))
    assert told == "it computes memnet's own cells as they were built"


def test_it_learns_to_copy_with_jumps() -> None:
    torch.manual_seed(0)
    first, last = learn(Tape(3, 2, jump=True, hidden_size=32, num_slots=12, write_units=0), backwards=False)
    assert last < 0.1 < 0.6 < first
