"""The compiled operator of recurrent networks: what it takes, what it refuses, and who runs by it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

import memnet
from memnet.cells import FeedForwardCell, NativeCell
from memnet.sequence import SequenceModule
from tests.compiler import needs_compiler
from tests.test_native_equality import assert_equal_to_eager, far_from_zero

pytestmark = needs_compiler


@pytest.mark.parametrize("size", [1, 7, 24, 50])
@pytest.mark.parametrize(("batch", "time"), [(1, 1), (1, 70), (2, 40), (4, 1), (4, 17), (33, 5)])
@pytest.mark.parametrize("kind", [memnet.LSTM, memnet.GRU])
def test_sizes_of_every_kind_of_product(kind: Any, batch: int, time: int, size: int) -> None:
    torch.manual_seed(size)
    model = far_from_zero(kind(3, 2, hidden_size=size))
    assert_equal_to_eager(model, torch.randn(batch, time, 3, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize("size", [30.0, 300.0])
@pytest.mark.parametrize("kind", [memnet.LSTM, memnet.GRU, memnet.RNN])
def test_saturated_gates_keep_finite_gradients(kind: Any, size: float) -> None:
    torch.manual_seed(0)
    model = kind(3, 2, hidden_size=9)
    nn.init.normal_(model.cell.bias_ih, std=size)
    assert_equal_to_eager(model, torch.randn(3, 6, 3, requires_grad=True), tolerance=1e-4)


def test_a_layer_that_stands_in_two_places_gets_both_gradients() -> None:
    torch.manual_seed(0)
    layer = memnet.GRUCell(3, 3)
    assert_equal_to_eager(far_from_zero(SequenceModule(memnet.StackedCell([layer, layer]), 2)), INPUT)


def test_frozen_weights_get_no_gradient_and_all_others_theirs() -> None:
    torch.manual_seed(0)
    model = far_from_zero(memnet.LSTM(3, 2, hidden_size=5, num_layers=3, skip=True))
    for place in range(len(list(model.cell.parameters()))):
        one = copy.deepcopy(model)
        list(one.cell.parameters())[place].requires_grad_(False)
        assert_equal_to_eager(one, INPUT)


def test_states_kept_apart_give_the_same_gradient() -> None:
    torch.manual_seed(0)
    model = far_from_zero(memnet.GRU(3, 2, hidden_size=5, num_layers=2))
    model.checkpoint_steps = 3
    lengths = torch.tensor([8, 4, 0])
    assert_equal_to_eager(model, torch.randn(3, 8, 3, dtype=torch.float64), None, lengths)


INPUT = torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class OwnCell(memnet.LSTMCell):
    """Something else, perhaps."""


@pytest.mark.parametrize(
    "layers",
    [
        [OwnCell(3, 4)],
        [memnet.LSTMCell(3, 4), OwnCell(4, 4)],
        [memnet.StackedCell([memnet.LSTMCell(3, 4)])],
    ],
    ids=["a class of its own", "above another", "a stack in a stack"],
)
def test_cells_that_it_does_not_know_run_eagerly(layers: list[Any]) -> None:
    model = SequenceModule(memnet.StackedCell(layers), 2).double()
    model(INPUT)
    assert (model.backend_used, model.backend_refusal) == (
        "eager",
        "it computes memnet's own cells as they were built",
    )


def test_layers_without_a_state_have_no_operator() -> None:
    model = SequenceModule(memnet.StackedCell([memnet.LSTMCell(3, 4), FeedForwardCell(4, 4)]), 2)
    with pytest.raises(ValueError, match='"native" has no operator'):
        model.backend = "native"


def test_tensors_of_another_size_are_refused_by_name() -> None:
    model = memnet.LSTM(3, 2, hidden_size=5, num_layers=2).double()
    model.backend = "native"
    whole = model.initial_state(3)
    for input, state, lengths in (
        (INPUT, model.initial_state(1), None),
        (INPUT[..., :2], whole, None),
        (INPUT, whole, torch.ones(4, dtype=torch.long)),
        (INPUT, (whole[0], whole[1]._replace(cell=torch.zeros(3, 4).double())), None),
    ):
        with pytest.raises(ValueError, match=r"is given where \(.*\) is expected"):
            model.unroll(input, state, lengths=lengths)


def test_no_number_comes_from_memory_that_was_not_written() -> None:
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        for kind in (memnet.LSTM, memnet.GRU, memnet.RNN):
            model = far_from_zero(kind(3, 2, hidden_size=5, num_layers=2, skip=True))
            assert_equal_to_eager(model, INPUT.clone().requires_grad_(), None, torch.tensor([4, 1, 0]))
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("kind", [memnet.LSTM, memnet.GRU, memnet.RNN])
def test_past_the_end_of_a_row_nothing_comes_out_and_no_gradient_goes_in(kind: Any) -> None:
    cell, input = kind(3, 2, hidden_size=4, num_layers=2, skip=True).double().cell, INPUT.clone().requires_grad_()
    output, _ = cell.unroll_native(input, cell.initial_state(3), torch.tensor([4, 2, 0]))
    past = torch.arange(4) >= torch.tensor([4, 2, 0]).unsqueeze(1)
    assert not output[past].any()
    assert output[~past].all()
    assert not torch.autograd.grad(output[past].sum(), input)[0].any()


@pytest.mark.parametrize("kind", [memnet.LSTM, memnet.GRU, memnet.RNN])
def test_a_batch_without_rows_has_gradients_of_its_shape(kind: Any) -> None:
    cell, input = kind(3, 2, hidden_size=4, num_layers=2, skip=True).cell, torch.randn(0, 5, 3, requires_grad=True)
    output, _ = cell.unroll_native(input, cell.initial_state(0), None)
    output.sum().backward()
    assert input.grad is not None
    assert not any(one.grad.any() for one in cell.parameters())


def test_of_an_rnn_no_more_is_kept_than_its_hidden_states() -> None:
    cell, kept = memnet.RNNCell(3, 64), set()

    def keep(tensor: Tensor) -> Tensor:
        kept.add(tensor.untyped_storage())
        return tensor

    with saved_tensors_hooks(keep, lambda one: one):
        cell.unroll_native(torch.randn(8, 100, 3), cell.initial_state(8), None)
    given = sum(one.numel() for one in cell.parameters()) + 8 * (100 * 3 + 64)
    assert sum({one.data_ptr(): one.nbytes() for one in kept}.values()) == 4 * (given + 101 * 8 * 64)


def test_stories_texts_and_blocks_are_read_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    story, question = torch.tensor([[[1, 2, 3], [4, 5, 0]]]), torch.tensor([[2, 1]])
    reader = memnet.StoryReader(memnet.GRU(6, 7), vocab_size=7)
    reader(story, question)
    assert reader.sequence.backend_used == "native"
    text = memnet.LanguageModel(memnet.LSTM(7, 7))
    text(torch.randint(7, (2, 5)))
    assert text.sequence.backend_used == "native"
    model = SequenceModule(memnet.Stack(3, [memnet.Block(memnet.LSTMCell(4, 4))]), 2).double()
    model.backend = "eager"
    expected = model(INPUT)[0]
    model.backend = "auto"
    operator, run = memnet.LSTMCell.operator, []

    def unroll(*args: Any) -> Any:
        run.append(args)
        return operator.unroll(*args)

    monkeypatch.setattr(NativeCell, "operator", operator._replace(unroll=unroll))
    torch.testing.assert_close(model(INPUT)[0], expected, rtol=1e-10, atol=1e-10)
    assert model.backend_used == "native"
    assert len(run) == 1
