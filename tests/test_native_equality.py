"""Compiled operators of cells compute what the plain step does: outputs, states and gradients."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.func import functional_call

import memnet
from memnet import sequence
from memnet.sequence import SequenceModule
from memnet.state import State, detach_state, map_state, state_tensors
from tests.compiler import needs_compiler

pytestmark = needs_compiler


def drawn_ntm(draw: random.Random) -> memnet.NTM:
    """Any configuration, in float64, with parameters that no zero or identity hides."""
    shift_range = draw.randint(0, 3)
    model = memnet.NTM(
        3,
        2,
        controller=draw.choice(["feedforward", "rnn-tanh", "rnn-relu", "lstm", "gru"]),
        hidden_size=draw.randint(1, 21),
        num_layers=draw.randint(1, 3),
        num_slots=draw.choice([2 * shift_range + 1, 8, 9, 16, 17, 20]),
        slot_size=draw.randint(1, 9),
        num_reads=draw.randint(1, 3),
        num_writes=draw.randint(1, 3),
        shift_range=shift_range,
        addressing=draw.choice(["content-and-location", "content-and-location", "content", "location"]),
        read_order=draw.choice(["before-write", "after-write"]),
        memory_init=draw.choice(["constant", "learned", "random"]),
        weights_init=draw.choice(["first", "learned"]),
        learned_initial_state=draw.choice([True, False]),
    )
    return far_from_zero(model)


def drawn_dnc(draw: random.Random) -> memnet.DNC:
    """Any configuration, see drawn_ntm."""
    masked, linked = draw.random() < 0.5, draw.random() < 0.8
    model = memnet.DNC(
        3,
        2,
        controller=draw.choice(["feedforward", "rnn-tanh", "rnn-relu", "lstm", "gru"]),
        hidden_size=draw.randint(1, 21),
        num_layers=draw.randint(1, 2),
        num_slots=draw.choice([1, 3, 8, 9, 16, 20, 35, 130]),
        slot_size=draw.randint(1, 9),
        num_reads=draw.randint(1, 6),
        num_writes=draw.randint(1, 3),
        masked=masked,
        mask_floor=draw.choice([0.0, 0.1]) * masked,
        deallocate=draw.choice([True, False]),
        sharp_links=linked and draw.choice([True, False]),
        linked=linked,
        usage_gradient=draw.choice([True, False]),
        normalized=draw.choice([True, False]),
        learned_initial_state=draw.choice([True, False]),
    )
    return far_from_zero(model)


def drawn_lrua(draw: random.Random) -> memnet.LRUA:
    """Any configuration, see drawn_ntm; of columns enough that no usages differ by rounding alone."""
    heads = draw.randint(1, 4)
    model = memnet.LRUA(
        3,
        2,
        controller=draw.choice(["feedforward", "rnn-tanh", "rnn-relu", "lstm", "gru"]),
        hidden_size=draw.randint(1, 21),
        num_layers=draw.randint(1, 3),
        num_slots=max(heads, draw.choice([1, 3, 8, 9, 16, 20, 35, 130])),
        slot_size=draw.randint(2, 9),
        num_reads=heads,
        usage_decay=draw.choice([0.0, 0.5, 0.99]),
        learned_strength=draw.choice([True, False]),
        learned_initial_state=draw.choice([True, False]),
    )
    return far_from_zero(model)


def drawn_sam(draw: random.Random) -> memnet.SAM:
    """Any configuration, see drawn_ntm; also one slot, one head, and all slots read, as by a dense cell."""
    heads, count = draw.randint(1, 4), draw.choice([1, 2, 3, 5])
    fewest = max(heads, count)
    model = memnet.SAM(
        3,
        2,
        controller=draw.choice(["feedforward", "rnn-tanh", "rnn-relu", "lstm", "gru"]),
        hidden_size=draw.randint(1, 21),
        num_layers=draw.randint(1, 3),
        num_slots=max(draw.choice([fewest, 8, 9, 16, 17, 35, 150]), fewest),
        slot_size=draw.choice([1, 3, 8, 9, 17, 33]),
        num_reads=heads,
        slots_per_read=count,
        used_above=draw.choice([0.0, 0.005, 0.3]),
        learned_initial_state=draw.choice([True, False]),
    )
    return far_from_zero(model)


def drawn_stacks(draw: random.Random) -> memnet.StackRNN:
    """Any configuration, see drawn_ntm; also stacks that are full long before the end, and whole actions."""
    tops = draw.randint(1, 3)
    model = memnet.StackRNN(
        3,
        2,
        controller=draw.choice(["feedforward", "rnn-tanh", "rnn-relu", "lstm", "gru"]),
        hidden_size=draw.randint(1, 21),
        num_layers=draw.randint(1, 3),
        num_stacks=draw.randint(1, 3),
        num_slots=max(tops, draw.choice([1, 2, 3, 8, 40])),
        slot_size=draw.choice([1, 2, 3, 7, 8, 9, 17]),
        num_tops=tops,
        pushed_values=draw.choice(["sigmoid", "linear"]),
        empty_value=draw.choice([-1.0, 0.0, 0.3]),
        round_actions=draw.choice([True, False]),
        learned_initial_state=draw.choice([True, False]),
    )
    return far_from_zero(model).train(draw.random() < 0.6)  # type: ignore[no-any-return]


def drawn_tapes(draw: random.Random) -> memnet.Tape:
    """Any configuration, see drawn_ntm; of an input that ends before a last feature that is not zero, at once."""
    rule = draw.choice(["write-and-move", "write-and-move", "rotate-and-add"])
    model = memnet.Tape(
        3,
        2,
        controller=draw.choice(["feedforward", "rnn-tanh", "rnn-relu", "lstm", "gru"]),
        hidden_size=draw.randint(1, 21),
        num_layers=draw.randint(1, 3),
        rule=rule,
        jump=rule == "write-and-move" and draw.choice([True, False]),
        num_tapes=draw.randint(1, 3),
        num_slots=draw.choice([1, 2, 3, 8, 21]),
        slot_size=draw.choice([1, 2, 3, 7, 8, 9, 17]),
        write_units=draw.choice([0, 1, 5, 16, 19]),
        round_actions=draw.choice([True, False]),
        learned_initial_state=draw.choice([True, False]),
    )
    return far_from_zero(model).train(draw.random() < 0.6)  # type: ignore[no-any-return]


def drawn_recurrent(draw: random.Random) -> SequenceModule:
    """Any configuration, see drawn_ntm; also layers of several kinds and sizes."""
    options = {
        "num_layers": draw.randint(1, 3),
        "skip": draw.choice([True, False]),
        "recurrent_bias": draw.choice([True, False]),
        "learned_initial_state": draw.choice([True, False]),
    }
    size = draw.choice([1, 2, 3, 4, 8, 9, 16, 21, 33])
    kind = draw.choice([memnet.LSTM, memnet.GRU, memnet.RNN, partial(memnet.RNN, nonlinearity="relu"), None])
    if kind is not None:
        return far_from_zero(kind(3, 2, hidden_size=size, **options))  # type: ignore[no-any-return]
    layers = [memnet.LSTMCell(3, size), memnet.GRUCell(size, 5), memnet.RNNCell(5, 9, nonlinearity="relu")]
    return far_from_zero(SequenceModule(memnet.StackedCell(layers), 2))  # type: ignore[no-any-return]


def drawn_associations(draw: random.Random) -> SequenceModule:
    """Any configuration, see drawn_ntm, of one layer or two; also strengths that are exactly 0, 1 or 2."""
    options = {"hidden_size": draw.choice([1, 6]), "num_layers": draw.randint(1, 2), "num_heads": draw.randint(1, 3)}
    keys, values = draw.choice([1, 2, 7, 8, 17]), draw.choice([1, 2, 7, 8, 9, 17, 33, 70])
    kind, convolution = draw.choice(["delta", "delta", "sum", "mamba", "mlstm", "rwkv"]), draw.choice([0, 1, 3])
    if kind == "mamba":
        rotation = keys % 2 == 0 and draw.choice([True, False])
        options |= {"head_size": values, "state_size": keys, "rotation": rotation, "convolution": convolution}
        return far_from_zero(memnet.Mamba(3, 2, **options))  # type: ignore[no-any-return]
    if kind == "rwkv":
        return far_from_zero(memnet.RWKV7(3, 2, **options, head_size=keys, rank=2))  # type: ignore[no-any-return]
    options |= {"key_size": keys, "value_size": values, "convolution": convolution}
    if kind == "mlstm":
        return far_from_zero(memnet.MLSTM(3, 2, **options))  # type: ignore[no-any-return]
    decay, factors = draw.choice(["none", "head", "channel"]), draw.randint(1, 3)
    features = draw.choice(["unit", "elu"]) if kind == "sum" else "unit"
    strength = draw.choice(["sigmoid", "hard", "twice", "closed"])
    made = memnet.DeltaNet(
        *(3, 2), rule=kind, decay=decay, num_factors=factors, features=features, strength=strength, **options
    )
    return far_from_zero(made)  # type: ignore[no-any-return]


def far_from_zero(model: Any) -> Any:
    model = model.double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


DRAWN: dict[str, Callable[[random.Random], Any]] = {
    "NTM": drawn_ntm,
    "DNC": drawn_dnc,
    "LRUA": drawn_lrua,
    "SAM": drawn_sam,
    "Stack-RNN": drawn_stacks,
    "Tape-RNN": drawn_tapes,
    "recurrent": drawn_recurrent,
    "association": drawn_associations,
}
KINDS: dict[str, Any] = {
    "NTM": memnet.NTM,
    "DNC": memnet.DNC,
    "LRUA": partial(memnet.LRUA, num_reads=1),
    "SAM": memnet.SAM,
    "Stack-RNN": memnet.StackRNN,
    "Tape-RNN": memnet.Tape,
}
every_kind = pytest.mark.parametrize("kind", DRAWN)
with_memory = pytest.mark.parametrize("kind", KINDS)
MADE: dict[str, Callable[[], Any]] = {
    "NTM": partial(memnet.NTM, 3, 2, hidden_size=5, num_slots=20, slot_size=4),
    "DNC": partial(memnet.DNC, 3, 2, hidden_size=5, num_slots=20, slot_size=4),
    "LRUA": partial(memnet.LRUA, 3, 2, hidden_size=5, num_slots=20, slot_size=4, learned_strength=True),
    "SAM": partial(memnet.SAM, 3, 2, hidden_size=5, num_slots=20, slot_size=4),
    "Stack-RNN": partial(memnet.StackRNN, 3, 2, hidden_size=5, num_slots=20, slot_size=4, num_tops=2),
    "Tape-RNN": partial(memnet.Tape, 3, 2, hidden_size=5, num_slots=20, slot_size=4, jump=True),
    "DeltaNet": partial(memnet.DeltaNet, 3, 2, hidden_size=5, num_heads=1, key_size=4, value_size=3, decay="head"),
    "LSTM": partial(memnet.LSTM, 3, 2, hidden_size=5, num_layers=2, skip=True),
    "GRU": partial(memnet.GRU, 3, 2, hidden_size=9),
    "RNN": partial(memnet.RNN, 3, 2, hidden_size=5, num_layers=2, nonlinearity="relu", recurrent_init="uniform"),
}
every_model = pytest.mark.parametrize("name", MADE)


def results(
    model: Any,
    backend: sequence.Backend,
    input: Tensor,
    state: State = None,
    lengths: Tensor | None = None,
    *,
    output_counts: bool = True,
    state_counts: bool = True,
) -> list[Tensor]:
    """Output, final state, and the gradients of a random loss on them to all that can have one."""
    model.backend = backend
    output, last = model(input, state, lengths=lengths)
    assert model.backend_used == backend
    generator = torch.Generator().manual_seed(7)
    counted = [output] * output_counts + state_tensors(last) * state_counts
    loss = sum((tensor * torch.randn(tensor.shape, generator=generator).to(tensor)).sum() for tensor in counted)
    leaves = [*model.parameters(), input, *([] if state is None else state_tensors(state))]
    leaves = [leaf for leaf in leaves if leaf.requires_grad]
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return [output.detach(), *state_tensors(detach_state(last)), *gradients]


def assert_equal_to_eager(*args: Any, tolerance: float = 1e-10, **kwargs: Any) -> None:
    model, *rest = args
    expected, found = (results(model, backend, *rest, **kwargs) for backend in ("eager", "native"))
    for one, other in zip(found, expected, strict=True):
        # Of gradients as large as these may be, the small ones are rounded as the large ones are.
        size = max(1.0, float(other.abs().max())) if other.numel() else 1.0
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * size)


def drawn_input(draw: random.Random, most: int = 12) -> Tensor:
    return torch.randn(draw.choice([1, 2, 3, 9, 17]), draw.randint(1, most), 3, dtype=torch.float64)


def drawn_state(model: Any, batch: int) -> State:
    """A state in the middle of a sequence, every part of it a leaf; no slots alike, for rounding to choose from."""
    with torch.no_grad():
        state = model.initial_state(batch)
        if hasattr(state, "memory"):
            state = state._replace(memory=state.memory + torch.randn_like(state.memory))
        _, state = model(torch.randn(batch, 3, 3, dtype=torch.float64), state)
    return map_state(lambda tensor: tensor.clone().requires_grad_(), state)


@every_kind
@pytest.mark.parametrize("seed", range(24))
def test_outputs_state_and_every_gradient_equal_the_plain_step(kind: str, seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    model, input = DRAWN[kind](draw), drawn_input(draw).requires_grad_(draw.random() < 0.7)
    batch, time = input.shape[:2]
    state = drawn_state(model, batch) if draw.random() < 0.5 else None
    lengths = torch.tensor([draw.randint(0, time) for _ in range(batch)]) if draw.random() < 0.5 else None
    counts = draw.choice([(True, True), (True, False), (False, True)])
    assert_equal_to_eager(model, input, state, lengths, output_counts=counts[0], state_counts=counts[1])


@pytest.mark.parametrize("steps", [20, 90])
def test_what_few_steps_found_is_kept_and_that_of_many_found_again(steps: int) -> None:
    torch.manual_seed(0)
    model = far_from_zero(memnet.NTM(3, 2, hidden_size=5, num_slots=130, slot_size=4, addressing="content"))
    assert_equal_to_eager(model, torch.randn(3, steps, 3, dtype=torch.float64))


@every_kind
@pytest.mark.parametrize("seed", range(60, 67))
def test_float32_is_as_near_the_truth_as_the_plain_step(kind: str, seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    model, input = DRAWN[kind](draw), drawn_input(draw, most=6)
    truth = results(model, "eager", input)
    model, input = model.float(), input.float()
    eager, found = (results(model, backend, input) for backend in ("eager", "native"))
    for one, other, true in zip(found, eager, truth, strict=True):
        if not true.numel():
            continue
        size = 1 + true.abs().max()
        assert (one - true).abs().max() <= 4 * (other - true).abs().max() + 1e-5 * size


@pytest.mark.parametrize("asked", [False, True])
def test_slots_of_a_stack_that_nothing_has_reached_have_a_gradient_where_one_is_asked_for(asked: bool) -> None:
    torch.manual_seed(0)
    model = far_from_zero(memnet.StackRNN(3, 2, hidden_size=5, num_slots=30, slot_size=3, num_tops=2))
    memory = model.initial_state(2).memory
    memory[0, 0, 4] = 0.3
    state, input = model.initial_state(2)._replace(memory=memory.requires_grad_(asked)), torch.randn(2, 20, 3).double()
    assert_equal_to_eager(model, input, state)
    if asked:
        assert (results(model, "native", input, state)[-1] != 0).all()


@pytest.mark.parametrize("slots", [1, 3, 30])
@pytest.mark.parametrize("whole", [False, True])
def test_a_tape_jumps_as_far_as_the_input_of_a_row_is_long(slots: int, whole: bool) -> None:
    torch.manual_seed(slots)
    options: dict[str, Any] = {
        "num_tapes": 2,
        "num_slots": slots,
        "slot_size": 3,
        "write_units": 4,
        "round_actions": True,
    }
    model = far_from_zero(memnet.Tape(3, 2, hidden_size=5, jump=True, **options)).train(not whole)
    input = torch.randn(4, 12, 3, dtype=torch.float64)
    input[:, :, 2] = torch.arange(12) >= torch.tensor([0, 4, 7, 12]).unsqueeze(1)
    assert_equal_to_eager(model, input)
    state = model.initial_state(4)._replace(
        length=torch.tensor([0.0, 2.0, -5.0, 40.0]).double().requires_grad_(),
        reading=torch.tensor([1.0, 1.0, 1.0, 0.0]).double().requires_grad_(),
    )
    assert_equal_to_eager(model, input, state, torch.tensor([12, 9, 12, 5]))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("NTM", {"controller": "feedforward"}),
        ("NTM", {"controller": "lstm"}),
        ("NTM", {"controller": "gru"}),
        ("DNC", {"masked": True, "deallocate": True, "sharp_links": True, "normalized": True, "num_writes": 2}),
    ],
)
def test_gradients_equal_finite_differences(kind: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = KINDS[kind](3, 2, hidden_size=4, num_slots=5, slot_size=3, num_reads=2, **options).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    model.backend = "native"
    names = [name for name, _ in model.named_parameters()]
    layout = drawn_state(model, 2)

    def run(input: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        leaves = iter(rest[len(names) :])
        parameters = dict(zip(names, rest, strict=False))
        state = map_state(lambda _: next(leaves), layout)
        output, last = torch.func.functional_call(model, parameters, (input, state))
        return output, *state_tensors(last)

    inputs = [torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True), *model.parameters()]
    assert gradcheck(run, [*inputs, *state_tensors(layout)], fast_mode=True, atol=1e-6, rtol=1e-4)
    assert model.backend_used == "native"


def ends(state: State) -> Tensor:
    """A number that depends on all of a state."""
    return sum((tensor.sum() for tensor in state_tensors(state)), torch.zeros(()))


@every_kind
@pytest.mark.parametrize("seed", range(3))
def test_chunks_equal_the_whole(kind: str, seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    model, input = DRAWN[kind](draw), torch.randn(3, 9, 3, dtype=torch.float64)
    model.backend = "native"
    whole, last = model(input)
    expected = torch.autograd.grad(whole.square().sum() + ends(last), list(model.parameters()))
    outputs, state = [], None
    for chunk in input.split([1, 5, 3], 1):
        output, state = model(chunk, state)
        outputs.append(output)
    found = torch.autograd.grad(torch.cat(outputs, 1).square().sum() + ends(state), list(model.parameters()))
    for one, other in zip(
        [*outputs, *state_tensors(state), *found],
        [*whole.split([1, 5, 3], 1), *state_tensors(last), *expected],
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("slots", [1, 2, 100])
@pytest.mark.parametrize(
    "model",
    [
        memnet.NTM(3, 2, shift_range=0),
        memnet.DNC(3, 2),
        memnet.LRUA(3, 2, num_reads=1),
        memnet.SAM(3, 2, num_reads=1, slots_per_read=1),
        memnet.StackRNN(3, 2, num_stacks=2),
        memnet.Tape(3, 2, num_tapes=2, write_units=5),
    ],
    ids=list(KINDS),
)
def test_inference_gives_the_same_bits_as_training(model: Any, slots: int, dtype: torch.dtype) -> None:
    model = model.to(dtype)
    model.num_slots = slots
    model.backend = "native"
    input, lengths = torch.randn(11, 7, 3, dtype=dtype), torch.tensor([7, 0, 3, 1, 7, 6, 5, 4, 2, 1, 0])
    trained, state = model(input, lengths=lengths)
    assert trained.requires_grad
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            output, last = model(input, lengths=lengths)
        assert torch.equal(output, trained)
        assert all(
            torch.equal(one, other) for one, other in zip(state_tensors(last), state_tensors(state), strict=True)
        )


@every_model
def test_padding_does_not_matter_even_where_it_is_no_number(name: str) -> None:
    torch.manual_seed(0)
    model = MADE[name]()
    model.backend = "native"
    input, lengths = torch.randn(3, 5, 3), torch.tensor([5, 2, 0])
    padding = (torch.arange(5) >= lengths.unsqueeze(1)).unsqueeze(-1)
    expected = results(model, "native", input.masked_fill(padding, 0.0), None, lengths)
    found = results(model, "native", input.masked_fill(padding, torch.nan), None, lengths)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@every_model
def test_no_number_stays_no_number(name: str) -> None:
    torch.manual_seed(0)
    model = MADE[name]()
    input = torch.randn(2, 4, 3)
    input[0, 1, 0] = torch.nan
    for backend in ("eager", "native"):
        model.backend = backend
        output, state = model(input)
        assert output[0, 0].isfinite().all()
        assert output[0, 1:].isnan().all()
        assert output[1].isfinite().all()
        assert any(tensor[0].isnan().all() for tensor in state_tensors(state))


@pytest.mark.parametrize("size", [30.0, 300.0, 3000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@with_memory
def test_saturated_heads_keep_finite_gradients(kind: str, size: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    # Links of next to nothing are sharpened to a whole one: gradients grow by up to 1e6 a step, too much for float32.
    options = {{"Stack-RNN": "num_tops", "Tape-RNN": "num_tapes"}.get(kind, "num_reads"): 2}
    options |= {"sharp_links": True} if kind == "DNC" and dtype == torch.float64 else {}
    model = KINDS[kind](3, 2, hidden_size=8, num_slots=20, slot_size=4, **options).to(dtype)
    nn.init.normal_((model.cell.heads if kind == "NTM" else model.cell.interface).bias, std=size)
    input = torch.randn(3, 6, 3, dtype=dtype)
    eager, found = (results(model, backend, input) for backend in ("eager", "native"))
    for one, other in zip(found, eager, strict=True):
        assert one.isfinite().all()
        if kind == "LRUA" and dtype == torch.float32:  # which slot was used least is left to rounding
            continue
        tolerance = 1e-8 if dtype == torch.float64 else 1e-2
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@with_memory
def test_numbers_below_all_normal_ones_are_torchs_own_again_after_an_operator(kind: str) -> None:
    model, tiny = KINDS[kind](3, 2, hidden_size=5, num_slots=6), torch.full((100,), 1e-40)
    model.backend = "native"
    model(torch.randn(2, 4, 3))[0].sum().backward()
    assert (tiny * 1 > 0).all()


def test_the_graph_can_be_walked_twice_and_changed_weights_are_noticed() -> None:
    model, input = memnet.NTM(3, 2, hidden_size=5, num_slots=6), torch.randn(2, 4, 3)
    model.backend = "native"
    output, _ = model(input)
    parameters = list(model.parameters())
    first = torch.autograd.grad(output.sum(), parameters, retain_graph=True)
    second = torch.autograd.grad(output.sum(), parameters, retain_graph=True)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    with torch.no_grad():
        model.cell.heads.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


@with_memory
def test_frozen_parts_get_no_gradient(kind: str) -> None:
    torch.manual_seed(0)
    model, input = KINDS[kind](3, 2, hidden_size=5, num_slots=6).double(), torch.randn(2, 4, 3, dtype=torch.float64)
    model.cell.controller.requires_grad_(False)
    assert_equal_to_eager(model, input)
    model.requires_grad_(False)
    assert_equal_to_eager(model, input.requires_grad_())


def test_threads_do_not_meet() -> None:
    torch.manual_seed(0)
    model, inputs = memnet.NTM(3, 2, hidden_size=20), torch.randn(8, 4, 12, 3)
    model.backend = "native"
    with torch.no_grad():
        expected = [model(input)[0] for input in inputs]
        found: list[Any] = [None] * 8

        def run(index: int) -> None:
            with torch.no_grad():
                found[index] = model(inputs[index])[0]

        threads = [threading.Thread(target=run, args=(index,)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_weights_that_are_views_of_their_negatives_are_read_as_they_are() -> None:
    model = memnet.DNC(
        4, 3, controller="lstm", hidden_size=8, num_slots=6, slot_size=5, num_reads=2, normalized=True
    ).double()
    own = dict(model.named_parameters())
    negative = {name: torch._neg_view(-one.detach()) for name, one in own.items()}
    input = torch.randn(2, 7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found: dict[str, Tensor] = {}
    for backend in ("eager", "auto"):
        model.backend = backend
        given = input.clone().requires_grad_()
        functional_call(model, negative, given)[0].square().sum().backward()
        assert given.grad is not None
        found[backend] = given.grad
    torch.testing.assert_close(found["auto"], found["eager"], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("make", KINDS.values(), ids=list(KINDS))
def test_a_layer_whose_weight_is_no_parameter_is_computed_step_by_step(make: Callable[..., SequenceModule]) -> None:
    model = make(4, 3, controller="lstm", hidden_size=8, num_layers=1, num_slots=6, slot_size=5)
    input = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    before = model(input)[0]
    assert model.backend_used == "native"
    layer: Any = model.cell.controller
    frozen = layer.bias_hh.detach().clone()
    del layer.bias_hh
    layer.register_buffer("bias_hh", frozen)
    after = model(input)[0]
    assert model.backend_used == "eager"
    torch.testing.assert_close(after, before)


def test_a_layer_whose_forward_was_replaced_runs_it() -> None:
    model = memnet.NTM(3, 2)
    model.cell.heads.forward = lambda hidden: hidden.new_zeros(*hidden.shape[:-1], model.cell.heads.out_features)
    found = model(torch.ones(1, 4, 3))[0]
    assert (model.backend_used, model.backend_refusal) == ("eager", "it runs no hooks")
    model.backend = "eager"
    assert torch.equal(found, model(torch.ones(1, 4, 3))[0])


def test_a_bias_that_is_the_norms_too_has_both_gradients() -> None:
    torch.manual_seed(0)
    model, found = memnet.DNC(3, 2, normalized=True).double(), []
    assert model.cell.norm is not None
    model.cell.norm.bias = model.cell.interface.bias
    for backend in ("auto", "eager"):
        model.backend = backend
        loss = model(torch.ones(1, 4, 3, dtype=torch.float64))[0].square().sum()
        found.append(torch.autograd.grad(loss, model.cell.interface.bias)[0])
    torch.testing.assert_close(*found)
