"""Controllers of one's own: cells, and what makes them, beside the names."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import memnet
from memnet.cells import StackedCell, make_controller
from tests.own_cell import CountingCell, DroppingCell, DroppingStack, LeakyCell
from tests.test_sequence_models import assert_close, assert_states_close

SIZES: dict[str, Any] = {"hidden_size": 5, "num_slots": 6, "slot_size": 4, "num_reads": 2}
SEEN = 3 + 2 * 4


class WholeLSTMCell(memnet.LSTMCell):
    """An LSTM that does not tell by which weights its input may come in parts."""

    def input_weights(self) -> tuple[Tensor, ...]:
        return ()


def made(controller: Any, **options: Any) -> memnet.NTM:
    torch.manual_seed(0)
    return memnet.NTM(3, 2, controller=controller, **SIZES, **options).double()


def input_of(time: int = 5) -> Tensor:
    return torch.randn(4, time, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "maker"), [("lstm", memnet.LSTMCell), ("gru", memnet.GRUCell), ("feedforward", memnet.FeedForwardCell)]
)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_class_of_cells_is_what_its_name_is(name: str, maker: type[memnet.Cell], num_layers: int) -> None:
    options = {"num_layers": num_layers, "learned_initial_state": True}
    by_name, by_class = made(name, **options), made(maker, **options)
    assert repr(by_class) == repr(by_name)
    (output, state), (expected, last) = by_class(input_of()), by_name(input_of())
    assert by_class.backend_used == by_name.backend_used
    assert torch.equal(output, expected)
    assert_states_close(state, last, 0)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_cell_that_must_see_its_whole_input_gives_the_same(num_layers: int) -> None:
    by_name, whole = made("lstm", num_layers=num_layers), made(WholeLSTMCell, num_layers=num_layers)
    whole.load_state_dict(by_name.state_dict())
    lengths = torch.tensor([5, 0, 3, 1])
    (output, state), (expected, last) = whole(input_of(), lengths=lengths), by_name(input_of(), lengths=lengths)
    assert_close(output, expected)
    assert_states_close(state, last)
    for found, other in zip(whole.trace(input_of()).parts, by_name.trace(input_of()).parts, strict=True):
        assert (found.kind, found.name, found.axes) == (other.kind, other.name, other.axes)
        assert_close(found.values, other.values)


def test_skip_connections_of_cells_that_must_see_their_whole_input() -> None:
    torch.manual_seed(0)
    sizes = (3, 3 + 4, 3 + 4)
    whole = StackedCell([WholeLSTMCell(size, 4) for size in sizes], skip=True)
    parts = StackedCell([memnet.LSTMCell(size, 4) for size in sizes], skip=True)
    parts.load_state_dict(whole.state_dict())
    input = input_of().float()
    results = [memnet.SequenceModule(cell, 2) for cell in (whole, parts)]
    results[1].readout = results[0].readout
    (output, state), (expected, last) = (model(input) for model in results)
    assert_close(output, expected, 1e-6)
    assert_states_close(state, last, 1e-6)


def _inner(input_size: int, hidden_size: int) -> memnet.Cell:
    return memnet.NTMCell(input_size, controller="gru", hidden_size=hidden_size, num_slots=4, slot_size=3)


def test_an_ntm_may_steer_an_ntm() -> None:
    """Its controller tells input weights of its own controller, so that the input comes in parts to both."""
    model = made(_inner)
    output, last = model(input_of())
    state = model.initial_state(4)
    for time, now in enumerate(input_of().unbind(1)):
        features, state = model.cell(now, state)
        assert_close(model.readout(features), output[:, time])
    assert_states_close(state, last)


def test_a_cell_is_taken_as_it_is_and_others_are_asked_for_what_they_have() -> None:
    cell = LeakyCell(SEEN, 7, leak=0.9)
    model = made(cell)
    assert model.cell.controller is cell
    assert model.cell.output_size == 7 + 2 * 4
    found = model.trace(input_of())
    assert "controller state 1" in [part.name for part in found.parts]
    chosen = make_controller(partial(memnet.LSTMCell, forget_bias=3.0), 3, 4, forget_bias=1.0, recurrent_bias=False)
    assert isinstance(chosen, memnet.LSTMCell)
    assert (chosen.forget_bias, chosen.bias_hh) == (3.0, None)


def test_the_native_operator_refuses_cells_that_it_does_not_know() -> None:
    told = "it computes memnet's own cells as they were built"
    for controller in (DroppingStack, LeakyCell):
        model = made(controller)
        model(input_of())
        assert (model.backend_used, model.backend_refusal) == ("eager", told)
    model.backend = "native"
    with pytest.warns(UserWarning, match=f"cannot run this: {told}"):
        model(input_of())


@pytest.mark.parametrize("controller", [DroppingCell, CountingCell])
def test_steps_that_are_computed_again_draw_the_same(controller: type[memnet.Cell]) -> None:
    gradients = []
    for every in (None, 2):
        model = made(controller)
        model.checkpoint_steps = every
        torch.manual_seed(1)
        model(input_of())[0].sum().backward()
        gradients.append([one.grad for one in model.parameters()] + [torch.rand(1)])
    for one, other in zip(*gradients, strict=True):
        assert_close(one, other)


def test_a_compiled_step_may_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole numbers have no gradient."""
    monkeypatch.setattr(torch, "compile", lambda step, **_: step)
    model = made(CountingCell)
    model.backend = "compile"
    model(input_of())[0].sum().backward()
    assert model.backend_used == "compile"


@pytest.mark.parametrize(
    ("controller", "num_layers", "told"),
    [
        ("transformer", 1, 'normalized-lstm or gru, not "transformer"'),
        (LeakyCell(5), 1, f"a controller that reads {SEEN} features is needed, not one of 5"),
        (LeakyCell(SEEN), 2, "a cell is one layer, not 2; give its class, or what else makes one"),
        (lambda size, hidden: LeakyCell(size + 1), 1, f"reads {SEEN} features is needed, not one of {SEEN + 1}"),
        (nn.LSTMCell, 1, "must be a memnet.Cell, not torch.nn.modules.rnn.LSTMCell"),
        (nn.LSTMCell(SEEN, 5), 1, r"controller must be a name, a memnet.Cell or what makes one, not LSTMCell\(11, 5\)"),
        (3, 1, "controller must be a name, a memnet.Cell or what makes one, not 3"),
    ],
)
def test_what_is_no_controller_is_named(controller: Any, num_layers: int, told: str) -> None:
    with pytest.raises((ValueError, TypeError), match=told):
        made(controller, num_layers=num_layers)
