"""Cells that take many steps at once: the same as step by step, and layers of them mixed at will."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import memnet
from memnet import (
    Block,
    DeltaCell,
    MambaCell,
    MesaCell,
    MLSTMCell,
    NTMCell,
    RWKV7Cell,
    SequenceModule,
    Stack,
    TitansCell,
    TTTCell,
)
from memnet.mixers import Mixer, ShortConvolution
from memnet.state import state_tensors
from memnet.unroll import unroll
from tests import slow_mixers as slow
from tests.by_heart import losses_by_heart
from tests.compiler import needs_compiler
from tests.gradient_sizes import numbers_of_parts

SMALL: dict[str, Any] = {"num_heads": 2, "key_size": 4, "value_size": 3}
MIXERS: dict[str, Callable[[], Mixer]] = {
    "linear attention": lambda: DeltaCell(3, 5, rule="sum", **SMALL),
    "linear attention, elu": lambda: DeltaCell(3, 5, rule="sum", features="elu", **SMALL),
    "delta": lambda: DeltaCell(3, 5, convolution=1, **SMALL),
    "gated delta": lambda: DeltaCell(3, 5, decay="head", strength="twice", **SMALL),
    "kda": lambda: DeltaCell(3, 5, decay="channel", output_gate=False, **SMALL),
    "gated delta, levels": lambda: DeltaCell(3, 5, decay="head", num_levels=4, **SMALL),
    "delta product, levels": lambda: DeltaCell(3, 5, num_factors=2, decay="channel", num_levels=6, **SMALL),
    "linear attention, elu, levels": lambda: DeltaCell(3, 5, rule="sum", features="elu", num_levels=3, **SMALL),
    "mamba": lambda: MambaCell(3, 5, num_heads=2, head_size=3, state_size=4),
    "mamba, turned": lambda: MambaCell(3, 5, num_heads=4, head_size=2, state_size=4, num_groups=2, rotation=True),
    "mamba, levels": lambda: MambaCell(3, 5, num_heads=2, head_size=3, state_size=4, rotation=True, num_levels=7),
    "mlstm": lambda: MLSTMCell(3, 5, convolution=0, **SMALL),
    "mlstm, convolved": lambda: MLSTMCell(3, 5, gate_cap=0.0, **SMALL),
    "rwkv-7": lambda: RWKV7Cell(3, 5, num_heads=2, head_size=3, rank=2),
    "ttt-linear": lambda: TTTCell(3, 5, num_heads=2, head_size=3, mini_batch=3),
    "ttt-mlp": lambda: TTTCell(3, 5, num_heads=2, head_size=3, mini_batch=4, memory="mlp", convolution=0),
    "titans-linear": lambda: TitansCell(3, 5, num_heads=2, head_size=3, mini_batch=3, memory="linear"),
    "titans-mlp": lambda: TitansCell(3, 5, num_heads=2, head_size=3, mini_batch=4),
    "mesa": lambda: MesaCell(3, 5, num_steps=6, **SMALL),
    "mesa, exact": lambda: MesaCell(3, 5, solver="exact", output_gate=True, **SMALL),
    "mesa, linear": lambda: MesaCell(3, 5, solver="exact", output_norm=False, linear_keys=True, **SMALL),
    "delta product": lambda: DeltaCell(3, 5, decay="head", num_factors=3, strength="closed", **SMALL),
    "delta, strengths convolved": lambda: DeltaCell(
        3, 5, num_factors=2, strength="hard", convolution=3, convolved_strength=True, **SMALL
    ),
}
every_mixer = pytest.mark.parametrize("name", MIXERS)


def drawn(name: str) -> Mixer:
    """A mixer in float64 with every parameter from N(0, 0.5^2)."""
    torch.manual_seed(0)
    mixer = MIXERS[name]().double()
    for parameter in mixer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return mixer


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def assert_equal(actual: Any, expected: Any, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(
        torch.as_tensor(actual), torch.as_tensor(expected), rtol=tolerance, atol=tolerance, check_dtype=False
    )


def assert_is(name: str, layer: Callable[..., Any], *options: str, tolerance: float = 1e-12) -> None:
    """Step by step a mixer gives what slow loops over whole layers, told its options, make of its weights."""
    mixer, input = drawn(name), normal(2, 6, 3)
    weights = {one: value.numpy() for one, value in mixer.state_dict().items()}
    output, _ = unroll(mixer, input, mixer.initial_state(2))
    for row in range(2):
        expected = layer(weights, input[row].numpy(), **{one: getattr(mixer, one) for one in options})
        assert_equal(output[row], expected, tolerance)


@every_mixer
def test_many_steps_at_once_are_the_steps_one_by_one(name: str) -> None:
    """In chunks of any size, from a state, past the ends of rows; outputs, states, and gradients of all of it."""
    mixer, input, lengths = drawn(name), normal(4, 37, 3).requires_grad_(), torch.tensor([37, 0, 20, 1])
    _, start = unroll(mixer, normal(4, 5, 3, seed=1), mixer.initial_state(4))
    real = torch.arange(37) < lengths.unsqueeze(1)

    def results(run: Callable[..., Any]) -> list[Tensor]:
        output, last = run()
        loss = output[real].square().sum() + sum(one.square().sum() for one in state_tensors(last))
        gradients = torch.autograd.grad(loss, [input, *mixer.parameters()], retain_graph=True)
        return [output[real], *state_tensors(last), *gradients]

    expected = results(lambda: unroll(mixer, input, start, lengths=lengths))
    for mixer.chunk_size in (1, 5, 16, 64):
        for one, other in zip(results(lambda: mixer.scan(input, start, lengths)), expected, strict=True):
            scale = float(other.detach().abs().max()) if other.numel() else 0.0
            assert_equal(one, other, 1e-12 * max(1.0, scale))


@every_mixer
def test_each_length_and_no_lengths(name: str) -> None:
    mixer = drawn(name)
    mixer.chunk_size = 4
    for time in (1, 3, 4, 5, 9):
        input = normal(2, time, 3)
        output, last = mixer.scan(input, mixer.initial_state(2), None)
        expected, state = unroll(mixer, input, mixer.initial_state(2))
        assert_equal(output, expected)
        for one, other in zip(state_tensors(last), state_tensors(state), strict=True):
            assert_equal(one, other)


@every_mixer
def test_the_gradient_of_no_chunk_is_as_large_as_the_sequence(name: str) -> None:
    """That of an index or a slice is as large as what it is of: for each chunk, it would be their number squared."""
    mixer, numbers = drawn(name), list[int]()
    mixer.chunk_size = 2
    for time in (40, 80):
        output, last = mixer.scan(normal(2, time, 3), mixer.initial_state(2), None)
        numbers.append(numbers_of_parts((output, *state_tensors(last))))
    assert numbers[1] < 2.2 * numbers[0], numbers


@pytest.mark.parametrize("decay", [-1e5, -torch.inf])
@pytest.mark.parametrize("name", ["gated delta", "kda", "delta product", "mamba", "mlstm", "mesa", "titans-linear"])
def test_a_strong_decay_leaves_the_digits_of_what_follows(name: str, decay: float) -> None:
    """In float32, within a chunk; also where nothing at all is kept."""
    mixer: Any = drawn(name).float()
    input = normal(2, 24, 3).float().requires_grad_()
    steered, _ = mixer.prepare(*mixer.project(input), mixer.initial_state(2).tail, None)
    logs = {"log_decay", "log_forget", "log_kept", "log_momentum"}.intersection(steered._fields)
    token = torch.arange(24).view(1, 24, *[1] * (getattr(steered, min(logs)).dim() - 2)) == 9
    steered = steered._replace(**{one: getattr(steered, one).masked_fill(token, decay) for one in logs})
    reads, last = mixer.remember_all(mixer.first_memory(2), steered, None)
    memory, expected = mixer.first_memory(2), []
    for one in zip(*(part.unbind(1) for part in steered), strict=True):
        read, memory = mixer.remember(memory, type(steered)(*one))
        expected.append(read)
    assert_equal(reads, torch.stack(expected, 1), 1e-4)
    for one, other in zip(state_tensors(last), state_tensors(memory), strict=True):
        assert_equal(one, other, 1e-4)
    (gradient,) = torch.autograd.grad(reads.square().sum(), input)
    assert gradient.isfinite().all()


def test_a_short_convolution_is_that_of_the_slow_loops_and_of_torch() -> None:
    torch.manual_seed(0)
    convolution, input = ShortConvolution(5, 4).double(), normal(2, 7, 5)
    output, tail = convolution(input, torch.zeros(2, 3, 5).double())
    for row in range(2):
        assert_equal(output[row], slow.convolved(input[row].numpy(), convolution.weight[:, 0].detach().numpy()))
    padded = nn.functional.pad(input.transpose(1, 2), (3, 0))
    expected = nn.functional.silu(nn.functional.conv1d(padded, convolution.weight, groups=5))
    assert_equal(output, expected.transpose(1, 2))
    assert torch.equal(tail, input[:, 4:])
    _, tail = convolution(input, torch.zeros(2, 3, 5).double(), torch.tensor([1, 7]))
    assert torch.equal(tail[0], torch.cat([torch.zeros(2, 5).double(), input[0, :1]]))


# ------------------------------------------------------------------------------------------------- blocks and stacks


def test_a_stack_mixes_layers_of_any_kind() -> None:
    """An NTM and an LSTM among layers of memory: each as it is alone, the whole as its equations."""
    torch.manual_seed(0)
    ntm = NTMCell(6, controller="feedforward", hidden_size=4, num_slots=5, slot_size=3)
    blocks = [Block(DeltaCell(6, 6, **SMALL)), Block(ntm, expansion=0), memnet.LSTMCell(6, 6)]
    model = SequenceModule(Stack(3, blocks), 2).double()
    input, lengths = normal(3, 9, 3), torch.tensor([9, 4, 0])
    model.backend = "eager"
    expected, state = model(input, lengths=lengths)
    for backend in ("chunked", "auto"):
        model.backend = backend
        output, last = model(input, lengths=lengths)
        assert_equal(output, expected)
        for one, other in zip(state_tensors(last), state_tensors(state), strict=True):
            assert_equal(one, other)
    stack: Any = model.cell
    hidden = stack.embedding(input)
    first = stack.blocks[0]
    mixed, _ = unroll(first.mixer, first.mixer_norm(hidden), first.initial_state(3))
    hidden = hidden + mixed
    hidden = hidden + first.feed_forward(first.feed_forward_norm(hidden))
    mixed, _ = unroll(ntm, stack.blocks[1].mixer_norm(hidden), ntm.initial_state(3))
    hidden = hidden + stack.blocks[1].merge(mixed)
    hidden, _ = unroll(stack.blocks[2], hidden, stack.blocks[2].initial_state(3))
    assert_equal(output[0], model.readout(stack.norm(hidden))[0])
    assert [part.name for part in model.trace(input).parts if "memory" in part.name] == [
        "memory, layer 1",
        "memory, layer 2",
    ]


@pytest.mark.parametrize("backend", ["eager", "auto"])
def test_layers_without_norms_see_features_as_they_are(backend: Any) -> None:
    torch.manual_seed(0)
    model: Any = memnet.DeltaNet(3, 2, hidden_size=6, num_layers=1, normed=False, **SMALL).double()
    (block,), input = model.cell.blocks, normal(2, 5, 3)
    model.backend = backend
    hidden = model.cell.embedding(input)
    hidden = hidden + block.mixer.scan(hidden, block.initial_state(2), None)[0]
    expected = model.readout(hidden + block.feed_forward(hidden))
    assert_equal(model(input)[0], expected)


def test_layers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="all of one size"):
        Stack(3, [Block(DeltaCell(6, 6, **SMALL)), Block(DeltaCell(5, 5, **SMALL))])
    with pytest.raises(ValueError, match="at least one"):
        Stack(3, [])
    block, lstm = Block(DeltaCell(6, 6, **SMALL)), memnet.LSTMCell(6, 6)
    for blocks in ([block, block], [Block(lstm), Block(DeltaCell(6, 6, **SMALL)), Block(lstm)]):
        with pytest.raises(ValueError, match="every block must have weights of its own"):
            Stack(3, blocks)
    with pytest.raises(ValueError, match='"chunked" has no form for LSTM'):
        memnet.LSTM(3, 2).backend = "chunked"
    with pytest.raises(ValueError, match='"chunked" is for steps'):
        memnet.MemN2N(9, max_words=3).backend = "chunked"


def test_layers_with_an_operator_run_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In "chunked" those that have no chunks; where none covers the call, as fast as each can."""
    ntm = NTMCell(6, controller="feedforward", hidden_size=4, num_slots=5, slot_size=3)
    delta = DeltaCell(6, 6, **SMALL)
    model, ran = SequenceModule(Stack(3, [Block(ntm), Block(delta)]), 2), []

    def operator(cell: Any) -> Any:
        def run(input: Tensor, state: Any, lengths: Tensor | None) -> Any:
            ran.append(cell)
            return unroll(cell, input, state, lengths=lengths)

        return run

    for cell in (ntm, delta):
        monkeypatch.setattr(cell, "native_refusal", lambda *_: None)
        monkeypatch.setattr(cell, "unroll_native", operator(cell))
    for backend, expected in (("auto", [ntm, delta]), ("native", [ntm, delta]), ("chunked", [ntm]), ("eager", [])):
        ran.clear()
        model.backend = backend
        model(torch.rand(2, 4, 3))
        assert ran == expected
        assert model.backend_used == ("native" if backend == "auto" else backend)
    monkeypatch.setattr(ntm, "native_refusal", lambda *_: "one reason")
    monkeypatch.setattr(delta, "native_refusal", lambda *_: "another")
    model.backend = "auto"
    model(torch.rand(2, 4, 3))
    assert (model.backend_used, model.backend_refusal) == ("chunked", "one reason; another")
    alone = Stack(3, [Block(memnet.NormalizedLSTMCell(6, 6))])
    assert not alone.has_scan
    assert not alone.has_native


@pytest.mark.parametrize(
    "place", ["", "norm", "blocks.0", "blocks.1.mixer", "blocks.0.feed_forward", "blocks.1.mixer_norm"]
)
def test_hooks_of_any_part_of_a_stack_run_at_every_step(place: str) -> None:
    torch.manual_seed(0)
    model = SequenceModule(Stack(3, [Block(DeltaCell(6, 6, **SMALL)), Block(DeltaCell(6, 6, **SMALL))]), 2)
    ran: list[Any] = []
    model.cell.get_submodule(place).register_forward_hook(lambda *told: ran.append(told))
    model(torch.rand(2, 4, 3))
    assert (model.backend_used, model.backend_refusal, len(ran)) == ("eager", "it runs no hooks", 4)


@pytest.mark.parametrize("name", ["remember_all", "scan"])
def test_what_a_class_brings_of_its_own_is_run(name: str) -> None:
    def doubled(self: DeltaCell, *given: Any, **named: Any) -> Any:
        first, rest = getattr(DeltaCell, name)(self, *given, **named)
        return 2 * first, rest

    torch.manual_seed(0)
    cell = type("Own", (DeltaCell,), {name: doubled})(6, 6, **SMALL)
    model, input = SequenceModule(cell, 2), torch.rand(2, 4, 6)
    found, _ = model(input)
    assert model.backend_used == "chunked"
    expected, _ = (
        doubled(cell, input, cell.initial_state(2), None)
        if name == "scan"
        else cell.scan(input, cell.initial_state(2), None)
    )
    assert torch.equal(found, model.readout(expected))


@needs_compiler
def test_memories_as_large_as_chunks_are_faster_with_run_in_chunks() -> None:
    model = memnet.DeltaNet(3, 2, hidden_size=6, num_heads=1, key_size=130, value_size=130)
    model(torch.rand(2, 4, 3))
    told = "chunks are faster for memories of more than 16,384 numbers"
    assert (model.backend_used, model.backend_refusal) == ("chunked", told)
    model.cell.blocks[0] = Block(DeltaCell(6, 6, **SMALL))
    model(torch.rand(2, 4, 3))
    assert model.backend_used == "native"


def test_a_controller_may_be_a_mixer() -> None:
    model = memnet.NTM(3, 2, controller=DeltaCell, hidden_size=8, num_slots=5)
    output, state = model(torch.rand(2, 4, 3))
    assert output.shape == (2, 4, 2)
    assert state.controller.memory.shape == (2, 2, 32, 32)


def test_a_norm_is_that_of_torch() -> None:
    norm, input = memnet.blocks.RMSNorm(6, eps=1e-3), torch.randn(4, 6)
    nn.init.normal_(norm.weight)
    assert_equal(norm(input), nn.functional.rms_norm(input, (6,), norm.weight, 1e-3), 1e-6)
    assert norm(torch.zeros(1, 6)).abs().max() == 0


# ------------------------------------------------------------------------------------------------- learning

LEARNERS: dict[str, Callable[[], SequenceModule]] = {
    "deltanet": lambda: memnet.DeltaNet(5, 4, hidden_size=16, num_layers=1, num_heads=1, key_size=8, value_size=8),
    "mamba": lambda: memnet.Mamba(5, 4, hidden_size=16, num_layers=1, head_size=8, state_size=8),
    "mlstm": lambda: memnet.MLSTM(5, 4, hidden_size=16, num_layers=1, key_size=8, value_size=8),
    "ttt": lambda: memnet.TTT(5, 4, hidden_size=16, num_layers=1, head_size=8, mini_batch=4),
    "titans": lambda: memnet.Titans(5, 4, hidden_size=16, num_layers=1, head_size=8, mini_batch=4),
    "mesa": lambda: memnet.Mesa(5, 4, hidden_size=16, num_layers=1, key_size=8, value_size=8, num_steps=8),
    "rwkv-7": lambda: memnet.RWKV7(5, 4, hidden_size=16, num_layers=1, head_size=8, rank=8),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_it_learns_by_heart_what_follows(name: str) -> None:
    """In four sequences of random symbols."""
    torch.manual_seed(0)
    model, symbols = LEARNERS[name](), torch.randint(4, (4, 11))
    input = nn.functional.pad(nn.functional.one_hot(symbols[:, :-1], 4).float(), (0, 1), value=1.0)
    follows = symbols[:, 1:].flatten()
    losses = losses_by_heart(model, lambda: nn.functional.cross_entropy(model(input)[0].flatten(0, 1), follows))
    assert losses[0] > 1.2
    # At such a rate a step may go too far, and come back.
    assert min(losses) < 0.2, losses
