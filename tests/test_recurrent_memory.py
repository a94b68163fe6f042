"""Segments that pass tokens on: against the layers on the segments written out, and at their limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from memnet import Block, DeltaCell, RecurrentMemoryTransformer, SegmentCell, Stack
from memnet.functional.segments import Associations, dpfp, read_segments, write_segment
from memnet.state import state_tensors
from memnet.unroll import unroll
from tests.by_heart import losses_by_heart
from tests.gradient_sizes import numbers_of_parts
from tests.test_mixers import assert_equal, normal


def cells() -> dict[str, Any]:
    """Cells of segments of four steps with two tokens of memory, around attention, with associations, and a memory."""
    torch.manual_seed(0)
    attention, associative = (
        RecurrentMemoryTransformer(
            3, 2, hidden_size=4, num_layers=2, num_heads=2, segment_length=4, num_memory=2, key_size=size
        ).cell
        for size in (0, 3)
    )
    for association in associative.associations:
        nn.init.normal_(association.value.weight)
    delta = Stack(3, [Block(DeltaCell(4, 4, num_heads=1, key_size=3, value_size=3))])
    return {
        "attention": attention.double(),
        "associative": associative.double(),
        "delta": SegmentCell(delta, segment_length=4, num_memory=2).double(),
    }


def written_out(cell: SegmentCell, input: Tensor) -> Tensor:
    """Every segment as one sequence: memory, steps, memory; block by block, with what slow loops associate."""
    memory, outputs = cell.memory.unsqueeze(0), []
    associated: list[Any] = [None] * len(cell.stack.blocks)
    for segment in cell.stack.embedding(input).split(cell.segment_length, 1):
        found = torch.cat([memory, segment, memory], 1)
        for place, block in enumerate(cell.stack.blocks):
            own = list(cell.associations)[place : place + 1]
            if own and associated[place]:
                found = found + slow_read(own[0], associated[place], found)
            found, _ = block.scan(found, block.initial_state(1), None)
            if own:
                associated[place] = slow_write(own[0], associated[place], found[0, -cell.num_memory :])
        found = cell.stack.norm(found)
        outputs.append(found[:, cell.num_memory : -cell.num_memory])
        memory = found[:, -cell.num_memory :]
    return torch.cat(outputs, 1)


def slow_features(vector: np.ndarray) -> np.ndarray:
    halves = [max(one, 0.0) for one in (*vector, *-vector)]
    products = [halves[place] * halves[place - shift] for shift in (1, 2, 3) for place in range(len(halves))]
    return np.array(products) / max(sum(one**2 for one in products) ** 0.5, 1e-12)


def slow_find(past: tuple[np.ndarray, np.ndarray], key: np.ndarray) -> np.ndarray:
    memory, known = past
    return np.array(sum(key[i] * memory[i] for i in range(len(key))) / (sum(known * key) + 1e-5))


def slow_read(own: Any, past: tuple[np.ndarray, np.ndarray], hidden: Tensor) -> Tensor:
    query = own.query.weight.detach().numpy()
    found = [slow_find(past, slow_features(query @ one)) for one in hidden[0].detach().numpy()]
    return torch.from_numpy(np.array(found)).unsqueeze(0)


def slow_write(own: Any, past: Any, written: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Every token reads what was before the segment; the first segment finds nothing."""
    w = {name: one.numpy() for name, one in own.state_dict().items()}
    keys = [slow_features(w["key.weight"] @ one) for one in written.detach().numpy()]
    size = len(keys[0])
    memory, known = past or (np.zeros((size, written.size(1))), np.zeros(size))
    after, counted = memory.copy(), known.copy()
    for one, key in zip(written.detach().numpy(), keys, strict=True):
        strength = 1 / (1 + np.exp(-(w["strength.weight"] @ one + w["strength.bias"])))
        change = w["value.weight"] @ one - slow_find((memory, known), key)
        after += strength * np.outer(key, change)
        counted += min(max(1 - sum(known * key), 0), 1) * key
    return after, counted


@pytest.mark.parametrize("name", cells())
def test_the_gradient_of_no_segment_is_as_large_as_the_sequence(name: str) -> None:
    """For each segment, it would be their number squared."""
    cell, numbers = cells()[name], list[int]()
    for time in (120, 240):
        output, last = cell.scan(normal(2, time, 3), cell.initial_state(2), None)
        numbers.append(numbers_of_parts((output, *state_tensors(last))))
    assert numbers[1] < 2.2 * numbers[0], numbers


@pytest.mark.parametrize("name", ["attention", "associative", "delta"])
def test_segments_are_sequences_with_the_memory_at_both_ends(name: str) -> None:
    cell, input = cells()[name], normal(1, 10, 3)
    expected = written_out(cell, input)
    for run in (
        lambda: cell.scan(input, cell.initial_state(1), None),
        lambda: unroll(cell, input, cell.initial_state(1)),
    ):
        assert_equal(run()[0], expected, 1e-11)


@pytest.mark.parametrize("name", ["attention", "associative", "delta"])
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
            state = state._replace(memory=state.memory.detach(), layers=cell._read(state.memory.detach(), ()))
        output, _ = cell.scan(seen[:, 4:steps] if steps > 4 else normal(1, 4, 3), state, None)
        (gradient,) = torch.autograd.grad(output.sum() + 0 * seen.sum(), seen)
        assert (gradient[:, :4].abs().max() > 0) == reaches


def test_associations_that_hold_nothing_change_nothing() -> None:
    """As they are at first, where values are zero."""
    plain, associative = cells()["attention"], cells()["associative"]
    associative.load_state_dict(plain.state_dict(), strict=False)
    for association in associative.associations:
        nn.init.zeros_(association.value.weight)
    input = normal(2, 11, 3)
    assert_equal(
        associative.scan(input, associative.initial_state(2), None)[0],
        plain.scan(input, plain.initial_state(2), None)[0],
    )


def test_what_was_associated_is_found_and_replaced() -> None:
    """Of strength one, in segments of one token: the last value of its key, whatever others keep; 1 is counted once."""
    keys, past = torch.eye(4).double(), Associations(torch.zeros(1, 4, 3).double(), torch.zeros(1, 4).double())
    first, second = normal(4, 3), normal(4, 3, seed=1)
    for values in (first, second, second):
        for key, value in zip(keys, values, strict=True):
            past = write_segment(past, key.view(1, 1, 4), value.view(1, 1, 3), torch.ones(1, 1, 1).double())
    assert_equal(read_segments(past, keys.unsqueeze(0))[0], second, 1e-4)
    assert_equal(past.known[0], torch.ones(4))
    assert dpfp(torch.zeros(2, 3)).shape == (2, 18)


def test_what_goes_on_by_associations_alone() -> None:
    """Past the next segment, with the tokens that are passed on cut off."""
    for name, reaches in (("attention", False), ("associative", True)):
        cell, input = cells()[name], normal(1, 4, 3).requires_grad_()
        _, state = cell.scan(input, cell.initial_state(1), None)
        tokens = state.memory.detach()
        state = state._replace(memory=tokens, layers=cell._read(tokens, state.associations))
        output, _ = cell.scan(normal(1, 4, 3, seed=1), state, None)
        (gradient,) = torch.autograd.grad(output.sum() + 0 * input.sum(), input)
        assert (gradient.abs().max() > 0) == reaches


def test_sizes_that_cannot_be_are_refused() -> None:
    for options in ({"segment_length": 0}, {"num_memory": 0}):
        with pytest.raises(ValueError, match="must be at least 1, not 0"):
            RecurrentMemoryTransformer(3, 2, **options)
    with pytest.raises(ValueError, match="key_size must be at least 0, not -1"):
        RecurrentMemoryTransformer(3, 2, key_size=-1)
    cell = cells()["associative"]
    with pytest.raises(ValueError, match="associations must be 2, one for each layer, not 1"):
        SegmentCell(cell.stack, associations=list(cell.associations)[:1])


def test_it_learns_what_only_the_memory_tells() -> None:
    """The first symbol, asked for in the next segment."""
    torch.manual_seed(0)
    model = RecurrentMemoryTransformer(2, 2, hidden_size=8, num_layers=1, num_heads=2, segment_length=3, num_memory=1)
    symbols = torch.arange(8) % 2
    input = torch.zeros(8, 6, 2)
    input[torch.arange(8), 0, symbols] = 1
    losses = losses_by_heart(model, lambda: nn.functional.cross_entropy(model(input)[0][:, 5], symbols))
    assert losses[-1] < 0.1
