"""Diagnostics of gradients against loops and plain autograd in float64, for every cell of the library."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from memnet import EntNetCell, FeedForwardCell, GRUCell, LSTMCell, NTMCell, RNNCell, make_controller
from memnet.cells import Cell
from memnet.diagnostics.gates import gate_activity, time_scales
from memnet.diagnostics.gradients import (
    flatten_state,
    log_norms,
    propagation,
    slot_gradients,
    state_gradient_norms,
    state_gradients,
    state_jacobians,
    weight_contributions,
)
from memnet.diagnostics.spectra import recurrent_matrices, spectrum
from memnet.state import State, map_state, state_tensors

INPUT, BATCH, TIME = 3, 2, 4


def small_ntm(**options: Any) -> NTMCell:
    return NTMCell(INPUT, **({"hidden_size": 3, "num_slots": 4, "slot_size": 2} | options))


CELLS: dict[str, Callable[[], Cell]] = {
    "rnn-tanh": lambda: RNNCell(INPUT, 5),
    "rnn-relu": lambda: RNNCell(INPUT, 5, nonlinearity="relu"),
    "lstm": lambda: LSTMCell(INPUT, 4, learned_initial_state=True),
    "gru": lambda: GRUCell(INPUT, 4),
    "one-unit": lambda: GRUCell(INPUT, 1),
    "lstm-stacked": lambda: make_controller("lstm", INPUT, 3, num_layers=3, skip=True, recurrent_bias=False),
    "gru-stacked": lambda: make_controller("gru", INPUT, 3, num_layers=2, learned_initial_state=True),
    "ntm-feedforward": lambda: small_ntm(controller="feedforward"),
    "ntm-lstm": lambda: small_ntm(num_reads=2, num_writes=2, weights_init="learned", memory_init="learned"),
    "ntm-gru-stacked": lambda: small_ntm(controller="gru", num_layers=2, read_order="before-write"),
    "ntm-one-slot": lambda: small_ntm(shift_range=0, num_slots=1),
    "ntm-content": lambda: small_ntm(addressing="content", memory_init="random", controller="rnn-tanh"),
    "ntm-location": lambda: small_ntm(addressing="location", controller="feedforward"),
    "entnet": lambda: EntNetCell(INPUT, 4),
    "entnet-one-slot": lambda: EntNetCell(INPUT, 1, gate_bias=False, normalization="none"),
}
every_cell = pytest.mark.parametrize("name", CELLS)


def drawn_anew(name: str, seed: int = 0) -> Any:
    """The cell in float64 with every parameter from N(0, 0.5^2), so that no zero or identity hides a mistake."""
    torch.manual_seed(seed)
    cell = CELLS[name]().double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter, std=0.5)
    return cell


def input_of(batch: int = BATCH, time: int = TIME, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(batch, time, INPUT)))


def loss_of(outputs: Tensor) -> Tensor:
    """Something of all outputs that is no symmetric function of them."""
    return (outputs * torch.arange(1, outputs.numel() + 1).view_as(outputs)).sin().sum()


def own_copy(state: State) -> State:
    """Tensors that nothing else is: the output of a step is often the very tensor of its state."""
    return map_state(lambda tensor: tensor.clone(), state)


def watched(cell: Cell, input: Tensor) -> tuple[list[State], Tensor]:
    """All states, the first included, in one graph of autograd, and the outputs."""
    states, outputs = [map_state(lambda one: one.detach().clone().requires_grad_(), cell.initial_state(len(input)))], []
    for now in input.unbind(1):
        output, after = cell(now, states[-1])
        outputs.append(output)
        states.append(own_copy(after))
    return states, torch.stack(outputs, 1)


def derivative(after: State, before: State, row: int) -> Tensor:
    """One row's Jacobian of a state by an earlier one, one output at a time by plain autograd."""
    lines = []
    for value in flatten_state(after)[row].unbind():
        parts = torch.autograd.grad(value, state_tensors(before), retain_graph=True, materialize_grads=True)
        lines.append(torch.cat([part[row].flatten() for part in parts]))
    return torch.stack(lines)


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@every_cell
@pytest.mark.parametrize(("batch", "time"), [(BATCH, TIME), (1, 1)])
def test_every_jacobian_and_product_is_that_of_plain_autograd(name: str, batch: int, time: int) -> None:
    cell, input = drawn_anew(name), input_of(batch, time)
    states, _ = watched(cell, input)
    jacobians = state_jacobians(cell, input)
    size = flatten_state(states[0]).size(1)
    assert jacobians.shape == (batch, time, size, size)
    assert not jacobians.requires_grad
    terms = propagation(cell, input)
    norms = log_norms(terms)
    assert terms.lags.tolist() == list(range(1, time + 1))
    for row in range(batch):
        for lag in sorted({1, time // 2 or 1, time}):
            assert_close(jacobians[row, -lag], derivative(states[-lag], states[-lag - 1], row))
            whole = derivative(states[-1], states[-lag - 1], row)
            assert_close(terms.matrices[row, lag - 1] * terms.log_scales[row, lag - 1].exp(), whole)
            assert_close(norms[row, lag - 1].exp(), torch.linalg.svdvals(whole)[0])


@every_cell
def test_gradients_of_states_and_weights_are_those_of_plain_autograd(name: str) -> None:
    cell, input = drawn_anew(name), input_of()
    states, outputs = watched(cell, input)
    found = state_gradients(cell, input, loss_of)
    assert type(found) is type(states[0])
    for time in range(TIME):
        before = state_tensors(states[time])
        parts = torch.autograd.grad(loss_of(outputs), before, retain_graph=True, materialize_grads=True)
        for actual, expected in zip(state_tensors(found), parts, strict=True):
            assert_close(actual[:, time], expected)
        assert_close(
            state_gradient_norms(found)[:, time], torch.cat([part.flatten(1) for part in parts], 1).norm(dim=1)
        )
    assert all(parameter.grad is None for parameter in cell.parameters())


@every_cell
def test_contributions_are_those_of_one_step_and_sum_to_the_gradient(name: str) -> None:
    cell, input = drawn_anew(name), input_of()
    found = weight_contributions(cell, input, loss_of)
    weights = dict(cell.named_parameters())
    assert found.keys() == weights.keys()

    def gradients(live: set[int]) -> tuple[Tensor, ...]:
        """Of uses of the weights at some steps alone: at all others autograd does not see them."""

        def at(time: int) -> None:
            for weight in weights.values():
                weight.requires_grad_(time in live)

        at(0)
        state, outputs = own_copy(cell.initial_state(BATCH)), []
        for time, now in enumerate(input.unbind(1), start=1):
            at(time)
            output, state = cell(now, state)
            outputs.append(output)
        at(next(iter(live)))
        loss = loss_of(torch.stack(outputs, 1))
        if not loss.requires_grad:
            return tuple(torch.zeros_like(weight) for weight in weights.values())
        return torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)

    for time in range(TIME + 1):
        for name_of_weight, expected in zip(weights, gradients({time}), strict=True):
            assert_close(found[name_of_weight][time], expected)
    for name_of_weight, expected in zip(weights, gradients(set(range(TIME + 1))), strict=True):
        assert_close(found[name_of_weight].sum(0), expected)


@pytest.mark.parametrize("name", ["rnn-tanh", "lstm", "ntm-lstm"])
def test_a_given_state_is_where_it_begins(name: str) -> None:
    cell, input = drawn_anew(name), input_of()
    state = cell.initial_state(BATCH)
    for now in input[:, :2].unbind(1):
        state = cell(now, state)[1]
    rest = input[:, 2:]
    assert_close(state_jacobians(cell, rest, state), state_jacobians(cell, input)[:, 2:])
    whole = state_gradients(cell, input, lambda outputs: loss_of(outputs[:, 2:]))
    for part, expected in zip(
        state_tensors(state_gradients(cell, rest, loss_of, state)), state_tensors(whole), strict=True
    ):
        assert_close(part, expected[:, 2:])
    for part, expected in zip(
        weight_contributions(cell, rest, loss_of, state).values(),
        weight_contributions(cell, input, lambda outputs: loss_of(outputs[:, 2:])).values(),
        strict=True,
    ):
        assert_close(part[1:], expected[3:])
        assert not part[0].any()
    gates, all_gates = gate_activity(cell, rest, state), gate_activity(cell, input)
    for layer, values in gates.items():
        assert_close(torch.stack(values), torch.stack(all_gates[layer])[:, :, 2:])


def test_blocks_of_steps_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    cell, input = drawn_anew("ntm-lstm"), input_of(time=7)
    whole = state_jacobians(cell, input)
    monkeypatch.setattr("memnet.diagnostics.gradients._AT_ONCE", 3 * BATCH * whole.size(-1) ** 2)
    assert_close(state_jacobians(cell, input), whole)


class _Linear(Cell):
    """s' = M s, whatever the input."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix, self.input_size = matrix, INPUT

    def initial_state(self, batch_size: int) -> State:
        return (self.matrix.new_zeros(batch_size, len(self.matrix)),)

    def step(self, projected: tuple[Tensor, ...], state: State) -> tuple[Tensor, State]:
        after = state[0] @ self.matrix.T
        return after, (after,)


def turned(size: int) -> Tensor:
    """An orthogonal matrix."""
    return torch.linalg.qr(torch.from_numpy(np.random.default_rng(0).normal(size=(size, size))))[0]


@pytest.mark.parametrize("factor", [1e-300, 1e-4, 1e4, 1e300])
def test_products_survive_where_numbers_would_not(factor: float) -> None:
    terms = propagation(_Linear(factor * turned(3)), input_of(1, 200), lags=[200, 1, 100])
    assert terms.lags.tolist() == [1, 100, 200]
    assert_close(log_norms(terms)[0], torch.tensor([1.0, 100, 200], dtype=torch.float64) * math.log(factor))
    units = terms.matrices / torch.linalg.matrix_norm(terms.matrices, ord=2).view(1, 3, 1, 1)
    assert_close(spectrum(units).radius, torch.ones(1, 3, dtype=torch.float64))


def test_a_product_of_zero_is_told_as_such() -> None:
    terms = propagation(_Linear(torch.zeros(3, 3, dtype=torch.float64)), input_of(2, 3))
    assert not terms.matrices.any()
    assert (log_norms(terms) == -math.inf).all()
    cell = RNNCell(INPUT, 5).double()
    nothing = weight_contributions(cell, input_of(), lambda outputs: outputs.sum() * 0)
    assert not any(part.any() for part in nothing.values())
    gradients = state_gradients(cell, input_of(), lambda outputs: outputs.sum() * 0)
    assert torch.equal(state_gradient_norms(gradients), torch.zeros(BATCH, TIME, dtype=torch.float64))


def test_a_relu_network_keeps_the_gradient_it_starts_with() -> None:
    """With the identity (Le et al. 2015) every step copies what is positive."""
    cell = RNNCell(INPUT, 4, nonlinearity="relu").double()
    with torch.no_grad():
        cell.bias_ih.fill_(1.0)
    assert_close(log_norms(propagation(cell, input_of(time=50))), torch.zeros(BATCH, 50, dtype=torch.float64))


@pytest.mark.parametrize("name", ["rnn-tanh", "rnn-relu", "lstm", "gru-stacked", "lstm-stacked", "ntm-gru-stacked"])
def test_gates_are_those_of_the_equations(name: str) -> None:
    """From the gates, states and weights alone the next state follows, layer by layer."""
    cell, input = drawn_anew(name), input_of(time=5)
    found = gate_activity(cell, input)
    layers = {key: module for key, module in cell.named_modules() if isinstance(module, LSTMCell | GRUCell)}
    assert found.keys() == layers.keys()
    seen: dict[str, list[tuple[Tensor, State]]] = {key: [] for key in layers}
    for key, layer in layers.items():

        def keep(projected: Any, state: State, key: str = key, step: Any = layer.step) -> Any:
            seen[key].append((projected[0] + 0, state))
            return step(projected, state)

        layer.step = keep
    state = cell.initial_state(BATCH)
    for now in input.unbind(1):
        state = cell(now, state)[1]
    for key, layer in layers.items():
        for time, (projected, before) in enumerate(seen[key]):
            total = projected + before.hidden @ layer.weight_hh.T + (0 if layer.bias_hh is None else layer.bias_hh)
            parts = torch.sigmoid(total).chunk(4 if isinstance(layer, LSTMCell) else 3, 1)
            gates = (parts[0], parts[1], parts[3]) if isinstance(layer, LSTMCell) else parts[:2]
            for actual, expected in zip(found[key], gates, strict=True):
                assert_close(actual[:, time], expected)


def test_time_scales_are_the_steps_to_a_share_of_one_in_e() -> None:
    gate = torch.tensor([0.0, math.exp(-0.1), 1.0], dtype=torch.float64)
    scales = time_scales(gate.expand(1, 2, 3))
    assert_close(scales, torch.tensor([0.0, 10.0, math.inf]).double())
    mixed = torch.tensor([[0.2], [0.6]], dtype=torch.float64)
    assert_close(time_scales(mixed), torch.tensor([-1 / math.log(0.4)], dtype=torch.float64))


def test_spectra_are_numpys() -> None:
    matrix = np.random.default_rng(0).normal(size=(2, 5, 5))
    found = spectrum(torch.from_numpy(matrix))
    assert_close(found.singular_values, torch.from_numpy(np.linalg.svd(matrix, compute_uv=False)))
    assert_close(found.radius, torch.from_numpy(np.abs(np.linalg.eigvals(matrix)).max(-1)))


def test_recurrent_matrices_are_what_multiplies_the_hidden_state() -> None:
    lstm = make_controller("lstm", INPUT, 4, num_layers=2)
    found = recurrent_matrices(NTMCell(INPUT, controller="gru", hidden_size=4, num_slots=5)) | recurrent_matrices(lstm)
    gates = ("input", "forget", "candidate", "output")
    assert list(found) == [
        *(f"controller.{gate}" for gate in ("reset", "update", "candidate")),
        *(f"layers.{layer}.{gate}" for layer in range(2) for gate in gates),
    ]
    assert all(matrix.shape == (4, 4) for matrix in found.values())
    assert torch.equal(found["layers.1.candidate"], lstm.layers[1].weight_hh[8:12])
    rnn, entnet = RNNCell(INPUT, 4), EntNetCell(INPUT, 2)
    assert torch.equal(recurrent_matrices(rnn)["hidden"], rnn.weight_hh)
    assert torch.equal(recurrent_matrices(entnet)["memories"], entnet.from_memory.weight)
    assert recurrent_matrices(FeedForwardCell(INPUT, 4)) == {}


@pytest.mark.parametrize("scale", [1.0, 1e-250])
def test_shares_of_slots(scale: float) -> None:
    memory = scale * torch.from_numpy(np.random.default_rng(0).normal(size=(3, TIME, 5, 2)))
    memory[0, :, 1] = 0
    memory[1] = 0
    found = slot_gradients(memory)
    plain = (memory / scale).numpy()
    for row in (0, 2):
        energy = [sum(np.sum(plain[row, time, slot] ** 2) for time in range(TIME)) for slot in range(5)]
        assert_close(found.shares[row], torch.tensor(energy).double() / sum(energy))
    assert not found.shares[1].any()
    assert found.never_touched.nonzero().tolist() == [[0, 1], *([1, slot] for slot in range(5))]


def test_a_slot_that_no_head_can_reach_gets_no_gradient() -> None:
    """By location alone heads that start at slot 0 come two slots far in two steps, in either direction."""
    cell = NTMCell(INPUT, addressing="location", controller="feedforward", hidden_size=4, num_slots=9, slot_size=3)
    gradients = state_gradients(cell.double(), input_of(1, 2), loss_of)
    found = slot_gradients(gradients.memory, negligible=0.0)
    assert found.never_touched[0].tolist() == [slot in range(3, 7) for slot in range(9)]
    assert_close(found.shares.sum(1), torch.ones(1).double())


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: state_jacobians(RNNCell(3, 2), torch.zeros(2, 3)), r"\(batch, time, 3\).*\(2, 3\)"),
        (lambda: state_gradients(RNNCell(3, 2), torch.zeros(2, 0, 3), loss_of), r"\(2, 0, 3\)"),
        (lambda: weight_contributions(RNNCell(3, 2), torch.zeros(2, 1, 4), loss_of), r"\(2, 1, 4\)"),
        (lambda: gate_activity(LSTMCell(3, 2), torch.zeros(2, 1, 4)), r"\(2, 1, 4\)"),
        (lambda: state_jacobians(FeedForwardCell(3, 2), torch.zeros(2, 1, 3)), "remembers nothing"),
        (lambda: propagation(RNNCell(3, 2), torch.zeros(2, 4, 3), lags=[1, 5]), r"within 1\.\.4.*\[1, 5\]"),
        (lambda: propagation(RNNCell(3, 2), torch.zeros(2, 4, 3), lags=[]), r"within 1\.\.4.*\[\]"),
        (lambda: propagation(_Linear(torch.full((3, 3), math.nan)), torch.zeros(1, 4, 3)), "Jacobian of step 4"),
        (lambda: spectrum(torch.zeros(2, 3)), r"\(2, 3\)"),
        (lambda: spectrum(torch.full((2, 2), math.inf)), "finite"),
        (lambda: slot_gradients(torch.zeros(2, 3, 4)), r"\(2, 3, 4\)"),
    ],
)
def test_impossible_questions_are_refused(call: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()
