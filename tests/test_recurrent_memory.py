"""Segments that pass tokens on: against the layers on the segments written out, and at their limits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from memnet import Block, DeltaCell, RecurrentMemoryTransformer, SegmentCell, Stack
from memnet.state import state_tensors
from memnet.unroll import unroll
from tests.by_heart import losses_by_heart
from tests.test_mixers import assert_equal, normal


def cells() -> dict[str, Any]:
    """Cells of segments of four steps with two tokens of memory, around attention and around a memory."""
    torch.manual_seed(0)
    attention = RecurrentMemoryTransformer(
        3, 2, hidden_size=4, num_layers=2, num_heads=2, segment_length=4, num_memory=2
    ).cell
    delta = Stack(3, [Block(DeltaCell(4, 4, num_heads=1, key_size=3, value_size=3))])
    return {
        "attention": attention.double(),
        "delta": SegmentCell(delta, segment_length=4, num_memory=2).double(),
    }


def written_out(cell: SegmentCell, input: Tensor) -> Tensor:
    """Every segment as one sequence: memory, steps, memory."""
    memory, outputs = cell.memory.unsqueeze(0), []
    for segment in cell.stack.embedding(input).split(cell.segment_length, 1):
        whole = torch.cat([memory, segment, memory], 1)
        found, _ = cell.stack.scan_of_blocks(whole, cell.stack.initial_state(1), None)
        found = cell.stack.norm(found)
        outputs.append(found[:, cell.num_memory : -cell.num_memory])
        memory = found[:, -cell.num_memory :]
    return torch.cat(outputs, 1)


@pytest.mark.parametrize("name", ["attention", "delta"])
def test_segments_are_sequences_with_the_memory_at_both_ends(name: str) -> None:
    cell, input = cells()[name], normal(1, 10, 3)
    expected = written_out(cell, input)
    for run in (
        lambda: cell.scan(input, cell.initial_state(1), None),
        lambda: unroll(cell, input, cell.initial_state(1)),
    ):
        assert_equal(run()[0], expected, 1e-11)


@pytest.mark.parametrize("name", ["attention", "delta"])
def test_many_steps_at_once_are_the_steps_one_by_one(name: str) -> None:
    """From the midst of segments, of rows that are at other places of theirs; with gradients."""
    cell, input, lengths = cells()[name], normal(4, 11, 3).requires_grad_(), torch.tensor([11, 0, 6, 1])
    first = torch.tensor([5, 4, 1, 0])
    _, start = unroll(cell, normal(4, 5, 3, seed=1), cell.initial_state(4), lengths=first)
    assert start.position.tolist() == [1, 0, 1, 0]
    real = torch.arange(11) < lengths.unsqueeze(1)
    results = []
    for output, last in (unroll(cell, input, start, lengths=lengths), cell.scan(input, start, lengths)):
        loss = output[real].square().sum() + sum(one.square().sum() for one in state_tensors(last))
        gradients = torch.autograd.grad(loss, [input, *cell.parameters()], retain_graph=True)
        results.append([output[real], *state_tensors(last), *gradients])
    for one, other in zip(*results, strict=True):
        assert_equal(one, other, 1e-11)


def test_nothing_but_the_memory_goes_from_segment_to_segment() -> None:
    cell, input = cells()["attention"], normal(1, 8, 3)
    for steps, reaches in ((4, False), (8, True)):
        seen = input.clone().requires_grad_()
        _, state = cell.scan(seen[:, :4], cell.initial_state(1), None)
        if not reaches:
            state = state._replace(memory=state.memory.detach(), layers=cell._read(state.memory.detach()))
        output, _ = cell.scan(seen[:, 4:steps] if steps > 4 else normal(1, 4, 3), state, None)
        (gradient,) = torch.autograd.grad(output.sum() + 0 * seen.sum(), seen)
        assert (gradient[:, :4].abs().max() > 0) == reaches


def test_sizes_that_cannot_be_are_refused() -> None:
    for options in ({"segment_length": 0}, {"num_memory": 0}):
        with pytest.raises(ValueError, match="must be at least 1, not 0"):
            RecurrentMemoryTransformer(3, 2, **options)


def test_it_learns_what_only_the_memory_tells() -> None:
    """The first symbol, asked for in the next segment."""
    torch.manual_seed(0)
    model = RecurrentMemoryTransformer(2, 2, hidden_size=8, num_layers=1, num_heads=2, segment_length=3, num_memory=1)
    symbols = torch.arange(8) % 2
    input = torch.zeros(8, 6, 2)
    input[torch.arange(8), 0, symbols] = 1
    losses = losses_by_heart(model, lambda: nn.functional.cross_entropy(model(input)[0][:, 5], symbols))
    assert losses[-1] < 0.1
