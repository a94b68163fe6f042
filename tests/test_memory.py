"""Equations 2 to 4 of Graves et al. 2014 against slow loops, and how several heads share one memory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from memnet.functional.memory import add_memory, erase_memory, read_memory
from tests import slow_equations as slow

sizes = pytest.mark.parametrize(
    ("batch", "head", "slot", "width"),
    [(1, 1, 1, 1), (1, 1, 5, 3), (1, 3, 2, 1), (3, 1, 4, 2), (2, 3, 7, 4), (1, 2, 128, 20)],
)


def example(batch: int, head: int, slot: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """memory, weights, erase and add."""
    random = np.random.default_rng(0)
    memory = torch.from_numpy(random.normal(size=(batch, slot, width)))
    weights = torch.softmax(torch.from_numpy(random.normal(size=(batch, head, slot))), -1)
    erase = torch.from_numpy(random.uniform(size=(batch, head, width)))
    add = torch.from_numpy(random.uniform(-1, 1, size=(batch, head, width)))
    return memory, weights, erase, add


def write(memory: Tensor, weights: Tensor, erase: Tensor, add: Tensor) -> Tensor:
    return add_memory(erase_memory(memory, weights, erase), weights, add)


def assert_equal(actual: Tensor, expected: list[np.ndarray] | Tensor) -> None:
    if isinstance(expected, list):
        expected = torch.from_numpy(np.stack(expected))
    torch.testing.assert_close(actual, expected, rtol=1e-13, atol=1e-13)


@sizes
def test_reading_is_equation_2(batch: int, head: int, slot: int, width: int) -> None:
    memory, weights, _, _ = example(batch, head, slot, width)
    expected = [
        np.stack([slow.read(memory[b].numpy(), weights[b, h].numpy()) for h in range(head)]) for b in range(batch)
    ]
    assert_equal(read_memory(memory, weights), expected)


@sizes
def test_erasing_is_equation_3(batch: int, head: int, slot: int, width: int) -> None:
    memory, weights, erase, _ = example(batch, head, slot, width)
    expected = [slow.erased(memory[b].numpy(), weights[b].numpy(), erase[b].numpy()) for b in range(batch)]
    assert_equal(erase_memory(memory, weights, erase), expected)


@sizes
def test_adding_is_equation_4(batch: int, head: int, slot: int, width: int) -> None:
    memory, weights, _, add = example(batch, head, slot, width)
    expected = [slow.added(memory[b].numpy(), weights[b].numpy(), add[b].numpy()) for b in range(batch)]
    assert_equal(add_memory(memory, weights, add), expected)


def test_the_order_of_write_heads_does_not_matter() -> None:
    memory, weights, erase, add = example(2, 3, 5, 4)
    first = write(memory, weights, erase, add)
    for order in itertools.permutations(range(3)):
        assert_equal(write(memory, weights[:, order], erase[:, order], add[:, order]), first)


def test_a_focused_head_reads_its_slot_alone() -> None:
    memory, _, _, _ = example(2, 1, 5, 4)
    focus = torch.eye(5, dtype=torch.float64)[[3, 0]].expand(2, -1, -1)
    assert torch.equal(read_memory(memory, focus), memory[:, [3, 0]])


def test_a_focused_head_erases_and_adds_in_its_slot_alone() -> None:
    memory, _, _, add = example(2, 1, 5, 4)
    focus = torch.eye(5, dtype=torch.float64)[[3]].expand(2, -1, -1)
    erase = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64).expand(2, 1, -1)
    expected = memory.clone()
    expected[:, 3, [0, 2]] = 0
    assert torch.equal(erase_memory(memory, focus, erase), expected)
    expected = memory.clone()
    expected[:, 3] += add[:, 0]
    assert torch.equal(add_memory(memory, focus, add), expected)


def test_inputs_stay_as_they_are() -> None:
    arguments = example(2, 2, 5, 4)
    before = [argument.clone() for argument in arguments]
    write(*arguments)
    for argument, copy in zip(arguments, before, strict=True):
        assert torch.equal(argument, copy)


def test_gradients_equal_finite_differences() -> None:
    arguments = [argument.requires_grad_() for argument in example(2, 2, 3, 2)]
    assert gradcheck(write, arguments)
    assert gradcheck(read_memory, arguments[:2])
