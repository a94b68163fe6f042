"""The relational memory core against slow loops, and what must hold of its slots and gates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from memnet import RelationalMemory, RelationalMemoryCell
from memnet.models.relational import RelationalState
from tests.reversing import learn
from tests.slow_equations import Array


def drawn(**options: Any) -> RelationalMemoryCell:
    torch.manual_seed(0)
    cell = RelationalMemoryCell(3, num_slots=3, num_heads=2, head_size=2, **options).double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter)
    return cell


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def slow_step(memory: Array, input: Array, w: dict[str, Array], rounds: int) -> Array:
    """Row by row and head by head; the features of a head's query, key and value lie behind one another."""

    def linear(name: str, x: Array) -> Array:
        return w[f"{name}.weight"] @ x + w.get(f"{name}.bias", 0.0)

    def normed(name: str, x: Array) -> Array:
        return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]

    embedded = linear("embedding", input)
    rows = [*memory, embedded]
    for _ in range(rounds):
        emitted = [normed("heads_norm", linear("heads", row)) for row in rows]
        attended = [np.zeros(4) for _ in rows]
        for head in range(2):
            query, key, value = ([one[6 * head + 2 * k : 6 * head + 2 * k + 2] for one in emitted] for k in range(3))
            for i in range(len(rows)):
                scores = [np.exp(query[i] @ key[j] / np.sqrt(2)) for j in range(len(rows))]
                attended[i][2 * head : 2 * head + 2] = sum(
                    score / sum(scores) * one for score, one in zip(scores, value, strict=True)
                )
        rows = [normed("attended_norm", row + one) for row, one in zip(rows, attended, strict=True)]
        rows = [
            normed("norm", row + linear("perceptron.2", np.maximum(linear("perceptron.0", row), 0))) for row in rows
        ]
    after = []
    for old, new in zip(memory, rows[:-1], strict=True):
        gates = linear("input_gates", embedded) + linear("memory_gates", np.tanh(old))
        let_in, forget = np.split(1 / (1 + np.exp(-gates - np.repeat([0.0, 1.0], len(gates) // 2))), 2)
        after.append(let_in * np.tanh(new) + forget * old)
    return np.array(after)


@pytest.mark.parametrize("options", [{}, {"gate_style": "memory", "num_rounds": 2}])
def test_every_step_is_that_of_the_slow_loops(options: dict[str, Any]) -> None:
    cell = drawn(**options)
    weights = {name: one.detach().numpy() for name, one in cell.named_parameters()}
    state = cell.initial_state(1)
    for input in normal(1, 5, 3).unbind(1):
        expected = slow_step(state.memory[0].detach().numpy(), input[0].numpy(), weights, cell.num_rounds)
        output, state = cell(input, state)
        torch.testing.assert_close(state.memory[0], torch.from_numpy(expected))
        torch.testing.assert_close(output, state.memory.flatten(1))


def test_slots_begin_as_rows_of_the_identity() -> None:
    memory = RelationalMemoryCell(3, num_slots=5, num_heads=1, head_size=3).initial_state(2).memory
    assert torch.equal(memory[1], torch.eye(5)[:, :3])


def test_slots_are_alike_but_for_what_they_hold() -> None:
    cell, memory, order = drawn(), normal(2, 3, 4), [2, 0, 1]
    first, second = RelationalState(memory), RelationalState(memory[:, order])
    for input in normal(2, 4, 3).unbind(1):
        (_, first), (_, second) = cell(input, first), cell(input, second)
    torch.testing.assert_close(first.memory[:, order], second.memory)


def test_shut_gates_keep_the_memory() -> None:
    cell = drawn(forget_bias=1e3, input_bias=-1e3)
    memory = normal(2, 3, 4)
    _, after = cell(normal(2, 3), RelationalState(memory))
    torch.testing.assert_close(after.memory, memory)


def test_sizes_that_cannot_be_are_refused() -> None:
    for options, told in (({"num_rounds": 0}, "num_rounds must be"), ({"gate_style": "row"}, "gate_style must be one")):
        with pytest.raises(ValueError, match=told):
            drawn(**options)


def test_it_learns_to_reverse() -> None:
    torch.manual_seed(0)
    first, last = learn(RelationalMemory(3, 2, num_slots=4, num_heads=2, head_size=8), length=3)
    assert last < 0.1 < 0.6 < first
