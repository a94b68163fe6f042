"""Controllers and recurrent baselines: equal to torch.nn on the same weights, and to the papers' parameter counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import memnet
from memnet.cells import (
    Cell,
    FeedForwardCell,
    GRUCell,
    LSTMCell,
    LSTMState,
    NormalizedLSTMCell,
    RNNCell,
    StackedCell,
    make_controller,
)
from memnet.state import State, state_tensors
from tests import slow_equations as slow

INPUT, HIDDEN = 3, 5
CONTROLLERS = ["feedforward", "rnn-tanh", "rnn-relu", "lstm", "gru"]
RECURRENT = CONTROLLERS[1:]


def input_of(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def drawn_anew(module: nn.Module, seed: int = 0) -> Any:
    """The module in float64 with every parameter from N(0, 0.5^2), so that no zero or identity hides a mistake."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.double().parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return module


def run(cell: Cell, input: Tensor, state: State) -> tuple[Tensor, State]:
    """Step by step over (batch, time, features), by forward alone."""
    outputs = []
    for now in input.unbind(1):
        output, state = cell(now, state)
        outputs.append(output)
    return torch.stack(outputs, 1), state


def assert_equal(actual: Tensor, expected: np.ndarray | Tensor) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected), rtol=1e-12, atol=1e-12)


PAIRS: dict[str, tuple[Callable[[], Cell], Callable[[], nn.Module]]] = {
    "rnn-tanh": (lambda: RNNCell(INPUT, HIDDEN), lambda: nn.RNNCell(INPUT, HIDDEN)),
    "rnn-relu": (
        lambda: RNNCell(INPUT, HIDDEN, nonlinearity="relu"),
        lambda: nn.RNNCell(INPUT, HIDDEN, nonlinearity="relu"),
    ),
    "lstm": (lambda: LSTMCell(INPUT, HIDDEN), lambda: nn.LSTMCell(INPUT, HIDDEN)),
    "gru": (lambda: GRUCell(INPUT, HIDDEN), lambda: nn.GRUCell(INPUT, HIDDEN)),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("batch", [1, 4])
def test_a_cell_equals_torchs_and_weights_interchange_both_ways(name: str, batch: int) -> None:
    ours, theirs = PAIRS[name][0](), PAIRS[name][1]().double()
    theirs.load_state_dict(drawn_anew(ours).state_dict())
    for _ in range(2):
        input, state = input_of(batch, 4, INPUT), ours.initial_state(batch)
        expected: Any = None
        for now in input.unbind(1):
            output, state = ours(now, state)
            expected = theirs(now, expected)
            if name == "lstm":
                assert_equal(output, expected[0])
                assert_equal(state.cell, expected[1])
            else:
                assert_equal(output, expected)
            assert torch.equal(state.hidden, output)
        ours.load_state_dict(drawn_anew(theirs, seed=1).state_dict())


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("num_layers", [2, 3])
def test_a_stack_equals_torchs(name: str, num_layers: int) -> None:
    make = {
        "rnn-tanh": nn.RNN,
        "rnn-relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
        "lstm": nn.LSTM,
        "gru": nn.GRU,
    }[name]
    theirs = make(INPUT, HIDDEN, num_layers=num_layers, batch_first=True).double()
    ours = drawn_anew(make_controller(name, INPUT, HIDDEN, num_layers=num_layers))
    theirs.load_state_dict(
        {
            f"{parameter}_l{layer}": ours.state_dict()[f"layers.{layer}.{parameter}"]
            for layer in range(num_layers)
            for parameter in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
    )
    input = input_of(2, 5, INPUT)
    output, state = run(ours, input, ours.initial_state(2))
    expected, last = theirs(input)
    assert_equal(output, expected)
    hidden, cell = last if name == "lstm" else (last, None)
    for layer in range(num_layers):
        assert_equal(state[layer].hidden, hidden[layer])
        if cell is not None:
            assert_equal(state[layer].cell, cell[layer])


@pytest.mark.parametrize("name", CONTROLLERS)
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("recurrent_bias", [False, True])
def test_a_stack_equals_a_slow_loop(name: str, num_layers: int, skip: bool, recurrent_bias: bool) -> None:
    """With skip, every layer sees the input and then the layer below, and every layer reaches the output."""
    cell = drawn_anew(
        make_controller(name, INPUT, HIDDEN, num_layers=num_layers, skip=skip, recurrent_bias=recurrent_bias)
    )
    arrays = {key: value.numpy() for key, value in cell.state_dict().items()}
    prefixes = [f"layers.{layer}." for layer in range(num_layers)] if num_layers > 1 else [""]
    layers = [slow.Layer(name, slow.below(arrays, prefix)) for prefix in prefixes]
    assert all(("bias_hh" in layer.weights) == (recurrent_bias and name != "feedforward") for layer in layers)
    input = input_of(1, 4, INPUT)
    expected = []
    for now in input[0].numpy():
        outputs = [layers[0].step(now)]
        for layer in layers[1:]:
            outputs.append(layer.step(np.concatenate([now, outputs[-1]]) if skip else outputs[-1]))
        expected.append(np.concatenate(outputs) if skip else outputs[-1])
    assert cell.output_size == len(expected[0])
    assert_equal(run(cell, input, cell.initial_state(1))[0][0], np.array(expected))


@pytest.mark.parametrize("name", CONTROLLERS)
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_an_input_projected_in_parts_sums_to_the_whole(name: str, num_layers: int, skip: bool) -> None:
    cell = drawn_anew(make_controller(name, 7, HIDDEN, num_layers=num_layers, skip=skip))
    input = input_of(2, 4, 7)
    whole = cell.project(input)
    for index, (first, weight) in enumerate(zip(cell.project(input[..., :2]), cell.input_weights(), strict=True)):
        rest = [input[..., columns] @ weight[:, columns].T for columns in (slice(2, 3), slice(3, 7))]
        assert_equal(first + rest[0] + rest[1], whole[index])
    one_step = cell.project(input[:, 0])
    for projected, expected in zip(one_step, whole, strict=True):
        assert_equal(projected, expected[:, 0])


def test_relu_networks_start_as_the_identity() -> None:
    torch.manual_seed(0)
    cell = RNNCell(40, 60, nonlinearity="relu")
    assert cell.weight_hh is not None
    assert cell.bias_hh is not None
    assert torch.equal(cell.weight_hh, torch.eye(60))
    assert (cell.bias_ih == 0).all()
    assert (cell.bias_hh == 0).all()
    assert 0.9e-3 < cell.weight_ih.std() < 1.1e-3
    positive = torch.rand(2, 60)
    output, _ = cell(torch.zeros(2, 40), memnet.RNNState(positive))
    assert torch.equal(output, positive)


def test_the_start_of_recurrent_weights_can_be_chosen() -> None:
    for nonlinearity, chosen, expected in (
        ("tanh", "default", "uniform"),
        ("relu", "default", "identity"),
        ("tanh", "identity", "identity"),
        ("relu", "uniform", "uniform"),
    ):
        torch.manual_seed(0)
        cell = memnet.RNN(3, 2, hidden_size=40, nonlinearity=nonlinearity, recurrent_init=chosen).cell
        assert torch.equal(cell.weight_hh, torch.eye(40)) == (expected == "identity")
        assert (cell.bias_ih == 0).all() == (expected == "identity")
        if expected == "uniform":
            assert 0.9 / math.sqrt(40) < cell.weight_hh.abs().max() <= 1 / math.sqrt(40)
    stacked = make_controller("rnn-relu", 3, 4, num_layers=2, recurrent_init="uniform")
    assert not any(torch.equal(layer.weight_hh, torch.eye(4)) for layer in stacked.layers)


@pytest.mark.parametrize("name", ["feedforward", "rnn-tanh", "lstm", "gru"])
def test_weights_start_within_torchs_bounds(name: str) -> None:
    torch.manual_seed(0)
    cell = make_controller(name, 30, 100, forget_bias=0.0)
    for parameter in cell.parameters():
        assert parameter.abs().max() <= 0.1
        assert parameter.std() > 0.05


@pytest.mark.parametrize("num_layers", [1, 2])
def test_forget_bias_raises_the_forget_gate_alone(num_layers: int) -> None:
    states = []
    for forget_bias in (0.0, 2.5):
        torch.manual_seed(0)
        states.append(
            make_controller("lstm", INPUT, HIDDEN, num_layers=num_layers, forget_bias=forget_bias).state_dict()
        )
    for name in states[0]:
        expected = states[0][name].clone()
        if name.endswith("bias_ih"):
            expected[HIDDEN : 2 * HIDDEN] += 2.5
        assert torch.equal(states[1][name], expected), name


def test_the_default_forget_bias_is_one() -> None:
    """Bounds: one plus what torch.nn would draw."""
    bias = LSTMCell(INPUT, 100).bias_ih[100:200]
    assert ((bias >= 0.9) & (bias <= 1.1)).all()


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_learned_initial_state_starts_at_zero_is_used_and_gets_gradients(name: str, num_layers: int) -> None:
    cell = make_controller(name, INPUT, HIDDEN, num_layers=num_layers, learned_initial_state=True)
    learned = {key: parameter for key, parameter in cell.named_parameters() if "initial_" in key}
    assert len(learned) == num_layers * (2 if name == "lstm" else 1)
    assert all((parameter == 0).all() for parameter in learned.values())
    drawn_anew(cell)
    state = cell.initial_state(4)
    for tensor, parameter in zip(state_tensors(state), learned.values(), strict=True):
        assert torch.equal(tensor, parameter.expand(4, -1))
    run(cell, input_of(4, 3, INPUT), state)[0].square().sum().backward()
    for key, parameter in learned.items():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", RECURRENT)
def test_an_initial_state_is_zero_unless_learned(name: str) -> None:
    cell = make_controller(name, INPUT, HIDDEN, num_layers=2)
    assert not any("initial" in key for key in cell.state_dict())
    for tensor in state_tensors(cell.initial_state(3)):
        assert torch.equal(tensor, torch.zeros(3, HIDDEN))


def test_a_feedforward_cell_remembers_nothing() -> None:
    cell = drawn_anew(FeedForwardCell(INPUT, HIDDEN))
    assert state_tensors(cell.initial_state(2)) == []
    input = input_of(2, 4, INPUT)
    output, _ = run(cell, input, cell.initial_state(2))
    assert_equal(output, torch.tanh(input @ cell.weight_ih.T + cell.bias_ih))


@pytest.mark.parametrize(
    ("task", "input_size", "output_size", "hidden_size", "parameters"),
    [
        ("copy", 10, 9, 256, 1352969),
        ("associative recall", 8, 6, 256, 1344518),
        ("n-grams", 1, 1, 128, 331905),
        ("repeat copy", 8, 7, 512, 5312007),
    ],
)
def test_the_papers_lstm_baselines_parameter_for_parameter(
    task: str, input_size: int, output_size: int, hidden_size: int, parameters: int
) -> None:
    with torch.device("meta"):
        model = memnet.LSTM(
            input_size,
            output_size,
            hidden_size=hidden_size,
            num_layers=3,
            skip=True,
            recurrent_bias=False,
            learned_initial_state=True,
        )
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("make", "numbers"),
    [
        (lambda: LSTMCell(0, 5), "input_size must be at least 1, not 0"),
        (lambda: GRUCell(3, -1), "hidden_size must be at least 1, not -1"),
        (lambda: make_controller("lstm", 3, 5, num_layers=0), "num_layers must be at least 1, not 0"),
        (lambda: make_controller("elman", 3, 5), "elman"),
        (lambda: RNNCell(3, 5, nonlinearity="sigmoid"), "sigmoid"),
        (lambda: memnet.RNN(3, 5, nonlinearity="sigmoid"), "sigmoid"),
        (lambda: RNNCell(3, 5, recurrent_init="orthogonal"), "default, uniform, identity, not 'orthogonal'"),
        (lambda: memnet.LSTM(3, 0), "output_size must be at least 1, not 0"),
        (lambda: memnet.GRU(3, 2, num_layers=0), "num_layers must be at least 1, not 0"),
    ],
)
def test_impossible_options_are_refused(make: Callable[[], object], numbers: str) -> None:
    with pytest.raises(ValueError, match=numbers):
        make()


def test_options_reach_the_cells() -> None:
    """The sequence modules hand every option on."""
    for make, cell_type in ((memnet.RNN, RNNCell), (memnet.LSTM, LSTMCell), (memnet.GRU, GRUCell)):
        model = make(3, 2, hidden_size=4, num_layers=2, skip=True, recurrent_bias=False, learned_initial_state=True)
        assert isinstance(model.cell, StackedCell)
        assert model.cell.skip
        assert [type(layer) for layer in model.cell.layers] == [cell_type, cell_type]
        assert model.cell.output_size == 8
        assert not any("bias_hh" in key for key in model.state_dict())
        assert any("initial_hidden" in key for key in model.state_dict())
    assert memnet.RNN(3, 2, nonlinearity="relu").cell.nonlinearity == "relu"
    torch.manual_seed(0)
    high = memnet.LSTM(3, 2, hidden_size=4, forget_bias=9.0).cell.bias_ih[4:8]
    assert (high > 9 - 1 / math.sqrt(4)).all()


def gate_of(cell: Any, part: int, input: Tensor, hidden: Tensor) -> Tensor:
    """sigmoid(W x + b + U h + c) with the weights of one of the cell's gates, in the order of torch.nn."""
    rows = slice(part * HIDDEN, (part + 1) * HIDDEN)
    from_input = input @ cell.weight_ih[rows].T + cell.bias_ih[rows]
    return torch.sigmoid(from_input + hidden @ cell.weight_hh[rows].T + cell.bias_hh[rows])


GATES = {"lstm": {"input": 0, "forget": 1, "output": 3}, "gru": {"reset": 0, "update": 1}, "rnn-tanh": {}}


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_trace_keeps_states_and_gates_of_every_step(name: str, num_layers: int) -> None:
    kind = {"lstm": memnet.LSTM, "gru": memnet.GRU, "rnn-tanh": memnet.RNN}[name]
    model = drawn_anew(kind(INPUT, 2, hidden_size=HIDDEN, num_layers=num_layers))
    model.backend, input = "eager", input_of(4, 6, INPUT)
    _, start = model(input_of(4, 3, INPUT, seed=1))
    output, last = model(input, start)
    trace = model.trace(input, start)
    assert torch.equal(trace.output, output)
    assert all(map(torch.equal, state_tensors(trace.state), state_tensors(last)))
    layers = [(model.cell, trace.states, trace.gates, start)]
    if num_layers > 1:
        layers = list(zip(model.cell.layers, trace.states, trace.gates, start, strict=True))
    below = input
    for cell, states, gates, before in layers:
        assert all(tensor.shape == (4, 6, HIDDEN) for tensor in state_tensors(states))
        past = torch.cat([before.hidden[:, None], states.hidden[:, :-1]], 1)
        assert [*getattr(gates, "_fields", ())] == list(GATES[name])
        for gate, part in GATES[name].items():
            assert_equal(getattr(gates, gate), gate_of(cell, part, below, past))
        below = states.hidden
    assert_equal(model.readout(below), output)


def test_a_trace_heeds_lengths() -> None:
    model, input, lengths = drawn_anew(memnet.GRU(INPUT, 2, hidden_size=HIDDEN)), input_of(3, 5, INPUT), [5, 2, 0]
    model.backend = "eager"
    trace = model.trace(input, lengths=torch.tensor(lengths))
    output, last = model(input, lengths=torch.tensor(lengths))
    assert torch.equal(trace.output, output)
    assert torch.equal(trace.state.hidden, last.hidden)
    assert torch.equal(trace.states.hidden[1, 1], last.hidden[1])


def test_a_normalized_lstm_is_that_of_slow_loops() -> None:
    torch.manual_seed(0)
    cell = NormalizedLSTMCell(3, 4).double()
    assert cell.shift[1].tolist() == [1.0] * 4
    assert cell.shift[[0, 2, 3]].abs().max() == 0
    for parameter in cell.parameters():
        nn.init.normal_(parameter)
    given, hidden, kept = (torch.randn(1, size).double() for size in (3, 4, 4))
    with torch.no_grad():
        found, state = cell(given, LSTMState(hidden, kept))
    input, before = given[0].numpy(), hidden[0].numpy()
    from_input, bias, recurrent = (one.detach().numpy() for one in (cell.weight_ih, cell.bias_ih, cell.weight_hh))
    squashed = []
    for gate in range(4):
        rows = range(4 * gate, 4 * gate + 4)
        sums = [from_input[row] @ input + bias[row] + recurrent[row] @ before for row in rows]
        mean = sum(sums) / 4
        deviation = math.sqrt(sum((one - mean) ** 2 for one in sums) / 4 + 1e-5)
        gain, shift = cell.gain[gate].tolist(), cell.shift[gate].tolist()
        squash = math.tanh if gate == 2 else lambda one: 1 / (1 + math.exp(-one))
        squashed.append([squash(gain[i] * (sums[i] - mean) / deviation + shift[i]) for i in range(4)])
    for i, (let_in, stays, candidate, out) in enumerate(zip(*squashed, strict=True)):
        expected = stays * float(kept[0, i]) + let_in * candidate
        assert float(state.cell[0, i]) == pytest.approx(expected, abs=1e-12)
        assert float(found[0, i]) == pytest.approx(out * math.tanh(expected), abs=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: NormalizedLSTMCell(3, 1),
        lambda: memnet.FastWeights(3, 2, hidden_size=1),
        lambda: memnet.RelationalMemory(3, 2, num_heads=1, head_size=1),
        lambda: memnet.TTT(3, 2, head_size=1),
        lambda: memnet.Captioner(9, feature_size=1),
    ],
)
def test_one_number_that_would_be_normalized_alone_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="_size must be at least 2, not 1"):
        make()


def test_a_normalized_lstm_is_begun_anew_as_it_was_made_and_is_refused_by_its_name_natively() -> None:
    cell = NormalizedLSTMCell(3, 4)
    cell.gain.data.zero_()
    cell.reset_parameters()
    assert (cell.gain == 1).all()
    assert cell.shift[1].tolist() == [1.0] * 4
    model = memnet.DNC(3, 2, controller="normalized-lstm", hidden_size=4, num_slots=3, slot_size=2)
    model(torch.rand(1, 2, 3))
    assert (model.backend_used, model.backend_refusal) == ("eager", "it computes no NormalizedLSTMCell")
