"""The Neural Turing Machine: its step against one slow loop from the paper, its slots, its options, its trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from memnet import NTM, NTMCell, NTMState
from memnet.state import state_tensors
from tests.slow_equations import SlowNTM

INPUT, OUTPUT, BATCH = 3, 2, 3
CONTROLLERS = ["feedforward", "rnn-tanh", "rnn-relu", "lstm", "gru"]
ADDRESSINGS = ["content-and-location", "content", "location"]
READ_ORDERS = ["before-write", "after-write"]

every_controller = pytest.mark.parametrize("controller", CONTROLLERS)


def small(**options: Any) -> NTM:
    torch.manual_seed(0)
    defaults = {"hidden_size": 5, "num_slots": 6, "slot_size": 4}
    model = NTM(INPUT, OUTPUT, **(defaults | options)).double()
    model.backend = "eager"
    return model


def drawn_anew(model: NTM) -> NTM:
    """Every parameter from N(0, 0.5^2), so that no zero or identity hides a mistake."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def input_of(batch: int = BATCH, time: int = 5, seed: int = 0) -> Tensor:
    return normal(batch, time, INPUT, seed=seed)


def some_state(model: NTM, batch: int = BATCH) -> NTMState:
    """A state amid a sequence: memory with contents, weightings that are spread out."""
    cell = model.cell
    return NTMState(
        cell.controller.initial_state(batch),
        normal(batch, cell.num_reads, cell.slot_size, seed=1),
        normal(batch, cell.num_slots, cell.slot_size, seed=2),
        torch.softmax(normal(batch, cell.num_reads, cell.num_slots, seed=3), -1),
        torch.softmax(normal(batch, cell.num_writes, cell.num_slots, seed=4), -1),
    )


def assert_close(actual: Tensor, expected: Tensor | np.ndarray, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected), rtol=tolerance, atol=tolerance)


def assert_equals_slow_loop(**options: Any) -> None:
    """Outputs and states over five steps. The memory starts with contents of its own in every slot."""
    paper = {
        "controller": "lstm",
        "num_layers": 1,
        "num_slots": 6,
        "slot_size": 4,
        "num_reads": 1,
        "num_writes": 1,
        "shift_range": 1,
        "addressing": "content-and-location",
        "read_order": "after-write",
    }
    settings: dict[str, Any] = paper | options
    model, input = drawn_anew(small(**settings)), input_of()
    start = model.initial_state(BATCH)
    contents = normal(BATCH, settings["num_slots"], settings["slot_size"], seed=5)
    output, state = model(input, start._replace(memory=contents))
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    for row in range(BATCH):
        machine = SlowNTM(weights, **settings)
        machine.memory = contents[row].numpy()
        for time, now in enumerate(input[row].numpy()):
            assert_close(output[row, time], machine.step(now))
        assert_close(state.memory[row], machine.memory)
        assert_close(state.reads[row], machine.reads)
        assert_close(state.read_weights[row], machine.read_weights)
        assert_close(state.write_weights[row], machine.write_weights)


@every_controller
@pytest.mark.parametrize("addressing", ADDRESSINGS)
@pytest.mark.parametrize("read_order", READ_ORDERS)
def test_a_step_is_the_papers(controller: str, addressing: str, read_order: str) -> None:
    assert_equals_slow_loop(
        controller=controller, addressing=addressing, read_order=read_order, num_reads=2, num_writes=3
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_reads": 3},
        {"num_writes": 3, "shift_range": 2},
        {"shift_range": 0, "num_reads": 2},
        {"shift_range": 3, "num_slots": 7},
        {"shift_range": 0, "num_slots": 1, "num_writes": 2},
        {"slot_size": 1, "num_reads": 2},
        {"num_layers": 2, "num_reads": 2},
        {"num_layers": 2, "controller": "feedforward"},
    ],
    ids=str,
)
def test_a_step_is_the_papers_at_other_sizes(options: dict[str, Any]) -> None:
    assert_equals_slow_loop(**options)


@pytest.mark.parametrize("addressing", ["content-and-location", "location"])
def test_a_whole_run_is_the_papers_from_its_own_start(addressing: str) -> None:
    """Constant memory and every head on slot 0."""
    settings: dict[str, Any] = {
        "controller": "lstm",
        "num_layers": 1,
        "num_slots": 6,
        "slot_size": 4,
        "num_reads": 2,
        "num_writes": 2,
        "shift_range": 1,
        "addressing": addressing,
        "read_order": "after-write",
    }
    model, input = drawn_anew(small(**settings)), input_of(batch=1)
    output, state = model(input)
    machine = SlowNTM({name: tensor.numpy() for name, tensor in model.state_dict().items()}, **settings)
    assert_close(output[0], np.stack([machine.step(now) for now in input[0].numpy()]), 1e-10)
    assert_close(state.memory[0], machine.memory, 1e-10)


@pytest.mark.parametrize("addressing", ADDRESSINGS)
def test_head_parameters_keep_their_ranges_and_shapes(addressing: str) -> None:
    model = small(addressing=addressing, num_reads=2, num_writes=3, shift_range=2)
    heads = model.cell.parameters_of_heads(3 * normal(BATCH, model.cell.heads.out_features))
    content, location = addressing != "location", addressing != "content"
    assert heads.key.shape == (BATCH, 5, 4 * content)
    assert heads.strength.shape == (BATCH, 5, 1 * content)
    assert heads.gate.shape == (BATCH, 5, 1 * (content and location))
    assert heads.shift.shape == (BATCH, 5, 5 * location)
    assert heads.sharpening.shape == (BATCH, 5, 1 * location)
    assert heads.erase.shape == heads.add.shape == (BATCH, 3, 4)
    for open_ended, low in ((heads.strength, 0), (heads.sharpening, 1)):
        assert (open_ended > low).all()
    for bounded, low in ((heads.key, -1), (heads.gate, 0), (heads.erase, 0), (heads.add, -1)):
        assert ((bounded > low) & (bounded < 1)).all()
    for signed in (heads.key, heads.add) if content else (heads.add,):
        assert signed.min() < 0
    if location:
        assert_close(heads.shift.sum(-1), torch.ones(BATCH, 5, dtype=torch.float64))


@every_controller
def test_every_row_of_the_heads_layer_gets_a_gradient(controller: str) -> None:
    """Each parameter of each head is heeded: key, strength, gate, shift, sharpening, erase and add."""
    model = drawn_anew(small(controller=controller, num_reads=2, num_writes=2))
    model(input_of(), some_state(model))[0].square().sum().backward()
    bias = model.cell.heads.bias.grad
    assert bias is not None
    assert (bias != 0).all()


@every_controller
@pytest.mark.parametrize("num_layers", [1, 2])
def test_the_next_step_sees_the_reads(controller: str, num_layers: int) -> None:
    """The controller's input holds the last reads, so its hidden state changes with every one of them."""
    model = drawn_anew(small(controller=controller, num_layers=num_layers, num_reads=2))
    _, state = model(input_of())
    reads = state.reads.detach().requires_grad_()
    output, _ = model.cell(input_of()[:, 0], state._replace(reads=reads))
    (gradient,) = torch.autograd.grad(output[:, : model.cell.controller.output_size].sum(), reads)
    assert (gradient.abs().sum(0) > 0).all()


@every_controller
@pytest.mark.parametrize("read_order", READ_ORDERS)
def test_gradients_pass_through_the_memory_alone(controller: str, read_order: str) -> None:
    """Everything else of the state is cut, and a vector written now is still felt three steps later."""
    model = small(controller=controller, read_order=read_order)
    first = input_of(time=1).requires_grad_()
    _, state = model(first)
    cut = model.initial_state(BATCH)._replace(memory=state.memory)
    output, _ = model(input_of(time=3, seed=1), cut)
    (gradient,) = torch.autograd.grad(output[:, -1].sum(), first)
    assert gradient.abs().max() > 0


def test_each_read_order_reads_its_memory() -> None:
    for read_order in READ_ORDERS:
        model = drawn_anew(small(read_order=read_order, num_reads=2))
        before = some_state(model)
        _, after = model.cell(input_of()[:, 0], before)
        memory = after.memory if read_order == "after-write" else before.memory
        assert_close(after.reads, after.read_weights @ memory)
        assert not torch.allclose(after.memory, before.memory)


@pytest.mark.parametrize("addressing", ["content-and-location", "location"])
@pytest.mark.parametrize("memory_init", ["constant", "learned"])
@pytest.mark.parametrize("weights_init", ["first", "learned"])
@every_controller
def test_the_slots_differ_after_two_steps(
    controller: str, weights_init: str, memory_init: str, addressing: str
) -> None:
    """All slots start with the same contents, and the start of the weightings alone tells them apart."""
    model = small(controller=controller, addressing=addressing, memory_init=memory_init, weights_init=weights_init)
    start = model.initial_state(BATCH)
    assert torch.equal(start.memory, start.memory[:, :1].expand_as(start.memory))
    _, state = model(input_of(time=2), start)
    differences = (state.memory.unsqueeze(1) - state.memory.unsqueeze(2)).abs().amax(-1)
    assert (differences[:, ~torch.eye(6, dtype=torch.bool)] > 1e-12).all()


@pytest.mark.parametrize("addressing", ["content", "content-and-location"])
def test_content_alone_does_not_know_the_order_of_slots(addressing: str) -> None:
    """With the locations out of play (a gate of one, no rotation) the slots may be permuted as one likes."""
    model = drawn_anew(small(addressing=addressing, shift_range=0, num_reads=2, num_writes=2))
    if addressing == "content-and-location":
        gates = slice(4 * 4 + 4, 4 * 4 + 4 + 4)
        nn.init.constant_(model.cell.heads.bias[gates], 1e4)
    order, state, input = torch.tensor([3, 0, 5, 1, 4, 2]), some_state(model), input_of()
    output, last = model(input, state)
    permuted = state._replace(
        memory=state.memory[:, order],
        read_weights=state.read_weights[..., order],
        write_weights=state.write_weights[..., order],
    )
    assert not torch.allclose(permuted.memory, state.memory)
    same, other = model(input, permuted)
    assert_close(same, output)
    assert_close(other.memory, last.memory[:, order])
    assert_close(other.read_weights, last.read_weights[..., order])
    assert_close(other.write_weights, last.write_weights[..., order])


def test_with_locations_a_rotation_of_the_slots_rotates_the_results() -> None:
    """Equation 8 knows neighbours on a ring, and no slot is special but by the start."""
    model = drawn_anew(small(num_reads=2))
    state, input = some_state(model), input_of()
    output, last = model(input, state)
    rotated = state._replace(
        memory=state.memory.roll(2, 1),
        read_weights=state.read_weights.roll(2, -1),
        write_weights=state.write_weights.roll(2, -1),
    )
    same, other = model(input, rotated)
    assert_close(same, output)
    assert_close(other.memory, last.memory.roll(2, 1))
    assert_close(other.read_weights, last.read_weights.roll(2, -1))


def test_the_start_of_the_memory() -> None:
    constant, learned, random = (small(memory_init=kind) for kind in ("constant", "learned", "random"))
    assert torch.equal(constant.initial_state(2).memory, torch.full((2, 6, 4), 1e-6).double())
    row = learned.initial_state(2).memory[:, 0]
    assert row.abs().min() > 1e-3
    assert torch.equal(learned.initial_state(2).memory, row.unsqueeze(1).expand(-1, 6, -1))
    drawn = random.initial_state(2).memory
    assert torch.equal(drawn[0], drawn[1])
    assert len(drawn[0].unique()) == 24
    large = NTM(INPUT, OUTPUT, num_slots=1000, memory_init="random").initial_state(1).memory
    assert 0.09 < large.std() < 0.11
    assert abs(large.mean()) < 0.02


@pytest.mark.parametrize(
    ("memory_init", "trainable", "trained"),
    [
        ("constant", None, False),
        ("constant", False, False),
        ("constant", True, True),
        ("learned", None, True),
        ("learned", True, True),
        ("random", None, False),
        ("random", False, False),
        ("random", True, True),
    ],
)
def test_what_of_the_memory_is_trained(memory_init: str, trainable: bool | None, trained: bool) -> None:
    model = small(memory_init=memory_init, trainable_memory=trainable)
    assert ("cell.initial_memory" in dict(model.named_parameters())) == trained
    assert ("cell.initial_memory" in dict(model.named_buffers())) == (not trained)
    assert "cell.initial_memory" in model.state_dict()


def test_the_start_of_the_weightings_and_reads() -> None:
    first = small(num_reads=2, num_writes=3).initial_state(BATCH)
    on_slot_0 = torch.tensor([1.0, 0, 0, 0, 0, 0], dtype=torch.float64)
    assert torch.equal(first.read_weights, on_slot_0.expand(BATCH, 2, 6))
    assert torch.equal(first.write_weights, on_slot_0.expand(BATCH, 3, 6))
    assert torch.equal(first.reads, torch.zeros(BATCH, 2, 4, dtype=torch.float64))

    model = small(num_reads=2, num_writes=3, weights_init="learned", learned_initial_state=True)
    assert (model.initial_state(1).read_weights[..., 0] > 0.99).all()
    drawn_anew(model)
    state = model.initial_state(BATCH)
    logits = model.cell.initial_weights
    assert logits is not None
    weights = torch.cat([state.read_weights, state.write_weights], 1)
    assert_close(weights, (logits.exp() / logits.exp().sum(-1, keepdim=True)).expand(BATCH, -1, -1))
    assert model.cell.initial_reads is not None
    assert torch.equal(state.reads, model.cell.initial_reads.expand(BATCH, -1, -1))


@pytest.mark.parametrize("memory_init", ["constant", "learned"])
@pytest.mark.parametrize("slots", [3, 2048])
def test_another_number_of_slots_takes_the_same_weights(slots: int, memory_init: str) -> None:
    model = NTM(INPUT, OUTPUT, num_slots=128, memory_init=memory_init)
    narrow = model.initial_state(2).memory
    other = NTM(INPUT, OUTPUT, num_slots=slots, memory_init=memory_init)
    other.load_state_dict(model.state_dict())
    model.num_slots = slots
    assert model.num_slots == model.cell.num_slots == slots
    input = input_of(2).float()
    output, state = model(input)
    expected, last = other(input)
    assert state.memory.shape == (2, slots, 20)
    assert state.read_weights.shape == state.write_weights.shape == (2, 1, slots)
    assert torch.equal(output, expected)
    assert torch.equal(state.memory, last.memory)
    kept = min(slots, 128)
    assert torch.equal(model.initial_state(2).memory[:, :kept], narrow[:, :kept])


def test_slots_grow_after_training_and_back() -> None:
    model = NTM(INPUT, OUTPUT, num_slots=128)
    input = input_of(2).float()
    before, state = model(input)
    model.num_slots = 2048
    wide, _ = model(input)
    assert wide.isfinite().all()
    with pytest.raises(ValueError, match=r"128, 20\).*2048, 20\)"):
        model(input, state)
    model.num_slots = 128
    assert torch.equal(model(input)[0], before)


def test_random_memory_repeats_its_rows() -> None:
    model = small(memory_init="random")
    rows = model.initial_state(1).memory[0]
    model.num_slots = 15
    assert torch.equal(model.initial_state(1).memory[0], torch.cat([rows, rows, rows[:3]]))
    model.num_slots = 4
    assert torch.equal(model.initial_state(1).memory[0], rows[:4])


def test_learned_weights_of_added_slots_start_at_zero() -> None:
    model = drawn_anew(small(weights_init="learned"))
    before = model.initial_state(1).read_weights
    model.num_slots = 9
    wide = model.initial_state(1)
    assert_close(wide.read_weights[..., :6], before)
    assert (wide.read_weights[..., 6:] == 0).all()
    model(input_of(), None)[0].sum().backward()
    logits = model.cell.initial_weights
    assert logits is not None
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    model.num_slots = 4
    assert_close(model.initial_state(1).read_weights, before[..., :4] / before[..., :4].sum(-1, keepdim=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_slots": 0}, "num_slots must be at least 1, not 0"),
        ({"slot_size": 0}, "slot_size must be at least 1, not 0"),
        ({"num_reads": 0}, "num_reads must be at least 1, not 0"),
        ({"num_writes": -1}, "num_writes must be at least 1, not -1"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, not 0"),
        ({"num_layers": 0}, "num_layers must be at least 1, not 0"),
        ({"shift_range": -1}, "shift_range must be at least 0, not -1"),
        ({"shift_range": 3}, "shift_range 3 needs at least 7 slots, not 6"),
        ({"num_slots": 1}, "shift_range 1 needs at least 3 slots, not 1"),
        ({"controller": "transformer"}, "transformer"),
        ({"addressing": "contents"}, "content-and-location, content, location, not 'contents'"),
        ({"read_order": "during-write"}, "before-write, after-write, not 'during-write'"),
        ({"memory_init": "zeros"}, "constant, learned, random, not 'zeros'"),
        ({"weights_init": "uniform"}, "first, learned, not 'uniform'"),
        ({"memory_init": "learned", "trainable_memory": False}, "trainable_memory"),
    ],
    ids=str,
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NTM(0, 2), "input_size must be at least 1, not 0"),
        (lambda: NTM(3, 0), "output_size must be at least 1, not 0"),
        (lambda: NTMCell(-3), "input_size must be at least 1, not -3"),
    ],
)
def test_impossible_features_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(("slots", "message"), [(0, "at least 1, not 0"), (4, "at least 5 slots, not 4")])
def test_a_refused_number_of_slots_changes_nothing(slots: int, message: str) -> None:
    model = small(shift_range=2)
    with pytest.raises(ValueError, match=message):
        model.num_slots = slots
    assert model.num_slots == 6
    assert model.initial_state(1).memory.shape == (1, 6, 4)


@pytest.mark.parametrize("addressing", ADDRESSINGS)
@pytest.mark.parametrize("read_order", READ_ORDERS)
def test_a_trace_shows_what_forward_does(addressing: str, read_order: str) -> None:
    options: dict[str, Any] = {"num_reads": 2, "num_writes": 3, "shift_range": 2}
    model = drawn_anew(small(addressing=addressing, read_order=read_order, **options))
    input, start = input_of(), some_state(model)
    output, state = model(input, start)
    trace = model.trace(input, start)
    assert torch.equal(trace.output, output)
    for one, other in zip(state_tensors(trace.state), state_tensors(state), strict=True):
        assert torch.equal(one, other)

    assert trace.reads.shape == (BATCH, 5, 2, 4)
    assert trace.read_weights.shape == (BATCH, 5, 2, 6)
    assert trace.write_weights.shape == (BATCH, 5, 3, 6)
    for weights in (trace.read_weights, trace.write_weights):
        assert_close(weights.sum(-1), torch.ones(weights.shape[:-1], dtype=torch.float64))
    assert torch.equal(trace.reads[:, -1], state.reads)
    assert torch.equal(trace.read_weights[:, -1], state.read_weights)
    assert torch.equal(trace.write_weights[:, -1], state.write_weights)

    memory = start.memory
    for time in range(5):
        written = model.trace(input[:, : time + 1], start).state.memory
        readable = written if read_order == "after-write" else memory
        assert_close(trace.reads[:, time], trace.read_weights[:, time] @ readable)
        kept = 1 - torch.einsum("bhs,bhw->bhsw", trace.write_weights[:, time], trace.heads.erase[:, time])
        added = torch.einsum("bhs,bhw->bsw", trace.write_weights[:, time], trace.heads.add[:, time])
        assert_close(memory * kept.prod(1) + added, written)
        assert_close(trace.memory[:, time], written)
        memory = written
    assert trace.heads.shift.shape == (BATCH, 5, 5, 5 * (addressing != "content"))
    assert trace.heads.key.shape == (BATCH, 5, 5, 4 * (addressing != "location"))


def test_a_trace_heeds_lengths_and_state() -> None:
    model, input, lengths = drawn_anew(small()), input_of(), torch.tensor([5, 2, 0])
    _, start = model(input_of(seed=1))
    output, state = model(input, start, lengths=lengths)
    trace = model.trace(input, start, lengths=lengths)
    assert torch.equal(trace.output, output)
    for one, other in zip(state_tensors(trace.state), state_tensors(state), strict=True):
        assert torch.equal(one, other)
    whole = model.trace(input, start)
    assert torch.equal(trace.read_weights[1, :2], whole.read_weights[1, :2])
    with pytest.raises(ValueError, match=r"0\.\.5"):
        model.trace(input, lengths=torch.tensor([5, 2, 6]))


def test_no_number_of_steps_loses_a_weighting() -> None:
    """Float32, sharp heads, a long sequence: the sums stay at one and nothing underflows to NaN."""
    model = small(num_slots=128, num_reads=2).float()
    nn.init.normal_(model.cell.heads.weight, std=20)
    output, state = model(input_of(time=200).float())
    assert output.isfinite().all()
    assert_close(state.read_weights.sum(-1), torch.ones(BATCH, 2), 1e-5)
    output.square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())
