"""Gradients without a graph are those of forward: whatever the model, its first state, and what is asked in between."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import memnet
from experiments.domains.sequences.training import SequenceObjective
from memnet.straight import Straight
from tasks import TASKS, Batch
from tasks.bits import BitTask
from tasks.symbols import SymbolTask
from tests.compiler import needs_compiler
from tests.configurations import configured
from tests.test_native_equality import DRAWN

pytestmark = needs_compiler


def made(kind: str, seed: int) -> tuple[Any, Straight, Tensor]:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    model = DRAWN[kind](draw)
    model.backend = "native"
    straight = model.straight()
    assert straight is not None
    return model, straight, torch.randn(draw.choice([1, 2, 9]), draw.randint(1, 12), 3, dtype=torch.float64)


def answered(straight: Straight, input: Tensor) -> Tensor:
    output = straight(input)
    assert output is not None
    return output


def gradients(model: nn.Module, output: Tensor) -> list[Tensor]:
    """Of a loss, which are then forgotten; zeros where there is none."""
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(7), dtype=output.dtype)
    (output.sigmoid() * weights).sum().backward()
    found = [torch.zeros_like(one) if one.grad is None else one.grad.clone() for one in model.parameters()]
    model.zero_grad()
    return found


@pytest.mark.parametrize("kind", ["NTM", "DNC", "LRUA", "Stack-RNN", "Tape-RNN", "recurrent"])
@pytest.mark.parametrize("seed", range(12))
def test_output_and_gradients_are_those_of_the_plain_step(kind: str, seed: int) -> None:
    model, straight, input = made(kind, seed)
    # Of one shape again, with other numbers, and of another between.
    for given in (input, -input, input[:, :1], input):
        output = answered(straight, given)
        found, native = output.detach().clone(), model(given)[0]
        torch.testing.assert_close(found, native, rtol=1e-13, atol=1e-13)
        of_straight, of_native = gradients(model, output), gradients(model, native)
        model.backend = "eager"
        expected = model(given)[0]
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
        of_eager = gradients(model, expected)
        model.backend = "native"
        for one, other, plain in zip(of_straight, of_native, of_eager, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13 * max(1.0, float(plain.abs().max())))
            torch.testing.assert_close(one, plain, rtol=1e-10, atol=1e-10 * max(1.0, float(plain.abs().max())))


class OfBits(BitTask):
    """Sequences whose losses are those of any bits."""

    name = "of bits"

    def sample(self, batch_size: int, *, length: Any, generator: torch.Generator) -> Batch:
        raise NotImplementedError


class OfSymbols(SymbolTask):
    """The same of so many symbols a step."""

    name = "of symbols"

    def __init__(self, groups: int) -> None:
        self.groups = groups

    def sample(self, batch_size: int, *, length: Any, generator: torch.Generator) -> Batch:
        raise NotImplementedError


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("symbols", [0, 1, 3])
@pytest.mark.parametrize("seed", range(8))
def test_losses_and_all_their_gradients_are_those_of_the_task(seed: int, symbols: int, dtype: torch.dtype) -> None:
    draw, generator = random.Random(f"{seed} {symbols}"), torch.Generator().manual_seed(seed)
    batch, time, size = draw.choice([1, 2, 9]), draw.randint(1, 12), draw.choice([1, 2, 8, 16, 33])
    outputs = size * max(symbols, 1)
    torch.manual_seed(seed)
    model = memnet.NTM(3, outputs, hidden_size=draw.choice([1, 7, 40]), num_slots=5, slot_size=draw.choice([3, 9]))
    model.to(dtype).backend = "native"
    if seed % 4 == 3:
        model.readout.bias = None
    with torch.no_grad():
        # From nearly even odds to answers that are all but sure.
        model.readout.weight.mul_(draw.choice([1, 30, 1000]))
    input = torch.randn(batch, time, 3, generator=generator, dtype=dtype)
    target = torch.randint(2, (batch, time, outputs), generator=generator).to(dtype)
    if symbols:
        right = torch.randint(size, (batch, time, symbols), generator=generator)
        target = nn.functional.one_hot(right, size).flatten(-2).to(dtype)
    # In some nothing is scored, or all is.
    scored = torch.rand(batch, time, generator=generator) < draw.choice([0.0, 0.2, 0.7, 1.0])
    mean, straight, task = seed % 2 == 1, model.straight(), OfSymbols(symbols) if symbols else OfBits()
    assert straight is not None
    assert task.symbols_of_losses == symbols
    losses = task.losses(model(input)[0], Batch(input, target, scored, scored.sum(1)))
    shares = (scored.sum(1) * (symbols or outputs)).clamp(min=1) if mean else 1
    loss = (losses / shares).mean()
    loss.backward()
    expected = [one.grad for one in model.parameters()]
    exact: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10} if dtype == torch.float64 else {}
    for kind in (dtype, torch.bool):
        model.zero_grad()
        told = straight.lose(input, target.to(kind), scored, symbols=symbols, mean=mean)
        assert told is not None
        for one, other in zip(told, (loss, losses.mean(), scored.sum()), strict=True):
            torch.testing.assert_close(one, other.double(), **exact or {"rtol": 2e-6, "atol": 1e-5})
        straight.backward()
        for one, other in zip(model.parameters(), expected, strict=True):
            near = exact or {"rtol": 1e-4, "atol": 1e-5 * max(1.0, float(other.abs().max()))}
            torch.testing.assert_close(one.grad, other, **near)
    with pytest.raises(ValueError, match="is expected"):
        straight.lose(input, target[:, 1:], scored, symbols=symbols)
    with pytest.raises(ValueError, match="not of 40 symbols alike"):
        straight.lose(input, target, scored, symbols=40)


@pytest.mark.parametrize("kind", [memnet.StackRNN, memnet.Tape])
def test_actions_are_rounded_in_evaluation_mode_alone(kind: Any) -> None:
    torch.manual_seed(0)
    model, input = kind(3, 2, hidden_size=9, round_actions=True).double(), torch.randn(2, 9, 3).double()
    straight, found = model.straight(), []
    assert straight is not None
    for trains in (True, False, True):
        model.train(trains)
        output = answered(straight, input)
        found.append(output.detach().clone())
        for one, other in zip(gradients(model, output), gradients(model, model(input)[0]), strict=True):
            torch.testing.assert_close(one, other)
        assert torch.equal(found[-1], model(input)[0])
    assert not torch.equal(found[0], found[1])


def test_gradients_add_up_and_follow_what_the_weights_have_become() -> None:
    model, straight, input = made("NTM", 5)
    whole = gradients(model, model(input)[0])
    answered(straight, input).sum().backward()
    apart = [torch.zeros_like(one) if one.grad is None else one.grad.clone() for one in model.parameters()]
    both = gradients(model, answered(straight, input))
    for one, first, second in zip(both, apart, whole, strict=True):
        torch.testing.assert_close(one, first + second)
    with torch.no_grad():
        for number in (*model.parameters(), *model.buffers()):
            number.mul_(0.5)
    torch.testing.assert_close(answered(straight, input).detach(), model(input)[0].detach(), rtol=1e-14, atol=1e-14)


def test_only_the_last_output_has_a_gradient() -> None:
    _, straight, input = made("NTM", 0)
    first, _ = answered(straight, input), answered(straight, input)
    with pytest.raises(RuntimeError, match="only the last output"):
        first.sum().backward()
    with pytest.raises(RuntimeError, match="call lose"):
        straight.backward()
    scored = torch.ones(first.shape[:2], dtype=torch.bool)
    assert straight.lose(input, first.detach() > 0, scored) is not None
    straight.backward()
    loss = answered(straight, input).square().sum()
    with pytest.raises(RuntimeError, match="only the last output"):
        straight.backward()
    with pytest.raises(RuntimeError, match="differentiated again"):
        loss.backward(create_graph=True)


def test_there_is_none_where_only_forward_can_tell() -> None:
    model, straight, input = made("NTM", 0)
    model.backend = "eager"
    assert straight(input) is None
    model.backend = "native"
    model.readout.register_forward_hook(lambda *_: None)
    assert straight(input) is None
    assert memnet.NeuralStack(3, 2).straight() is None


@pytest.mark.parametrize(
    "what", ["layer", "model", "readout", "weight", "weight, once there", "input", "autocast", "frozen"]
)
def test_whoever_watches_is_heard_though_the_sequence_is_known(what: str) -> None:
    model, _, input = made("NTM", 0)
    weight, seen = model.cell.heads.weight, list[Any]()
    if what == "frozen":
        # As it is kept, which an operator does not read.
        weight.requires_grad_(False).data = weight.data.t().contiguous().t()
    straight = model.straight()
    assert (straight(input) is None) == (what == "frozen")
    with torch.autocast("cpu", enabled=what == "autocast"):
        if what == "layer":
            model.cell.controller.register_forward_hook(lambda *given: seen.append(given))
        elif what == "model":
            model.register_forward_pre_hook(lambda *given: seen.append(given))
        elif what == "readout":
            model.readout.forward = torch.zeros_like
        elif what == "weight":
            weight.register_hook(torch.zeros_like)
        elif what == "weight, once there":
            weight.register_post_accumulate_grad_hook(lambda one: seen.append(one))
        elif what == "input":
            input.requires_grad_()
        assert straight(input) is None


def test_weights_that_lie_otherwise_are_not_read_as_they_lay() -> None:
    model, straight, input = made("NTM", 0)
    answered(straight, input)
    assert straight(input.float()) is None
    weight = model.cell.heads.weight
    usual = weight.data
    for other in (usual.t().contiguous().t(), usual.t(), usual[:1], usual[:, :1]):
        weight.data = other
        with pytest.raises(RuntimeError, match="another shape, dtype or order"):
            straight(input)
    model.float()
    assert straight(input.float()) is None
    with pytest.raises(RuntimeError, match="another shape, dtype or order"):
        straight(input)


@pytest.mark.parametrize("kind", ["NTM", "recurrent"])
def test_an_input_is_read_with_its_sign_and_no_operator_runs_that_is_switched_off(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, straight, input = made(kind, 0)
    expected = answered(straight, -input)
    assert torch.equal(answered(straight, torch._neg_view(input)), expected)
    monkeypatch.setenv("MEMNET_NATIVE", "0")
    assert straight(input) is None


@pytest.mark.parametrize("way", ["forward", "unroll", "initial_state"])
@pytest.mark.parametrize("where", ["class", "model"])
def test_there_is_none_for_a_model_with_a_way_of_its_own(way: str, where: str) -> None:
    usual = getattr(memnet.NTM, way)
    own = type("Own", (memnet.NTM,), {way: lambda *given, **more: usual(*given, **more)})
    model = own(3, 2) if where == "class" else memnet.NTM(3, 2)
    if where == "model":
        setattr(model, way, partial(usual, model))
    assert model.straight() is None


def test_a_first_state_may_be_a_weight_of_something_else_too() -> None:
    torch.manual_seed(0)
    model = memnet.NTM(3, 2, controller="rnn-tanh", learned_initial_state=True)
    model.cell.controller.initial_hidden = model.cell.controller.bias_ih
    straight, input = model.straight(), torch.randn(2, 4, 3)
    assert straight is not None
    found = gradients(model, answered(straight, input))
    for one, other in zip(found, gradients(model, model(input)[0]), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("controller", ["lstm", "gru"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_first_state_of_weights_needs_no_graph_wherever_they_lie(
    controller: Any, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"memory_init": "learned", "weights_init": "learned", "learned_initial_state": True}
    model = memnet.NTM(3, 2, controller=controller, hidden_size=5, num_slots=7, num_reads=2, **options).double()
    for one in model.parameters():
        nn.init.normal_(one, std=0.4)
    straight, input = model.straight(), torch.randn(batch, 4, 3, dtype=torch.float64)
    assert straight is not None
    for _ in range(2):
        expected = gradients(model, model(input)[0])
        with monkeypatch.context() as patched:
            patched.setattr(torch.autograd, "grad", None)
            found = gradients(model, answered(straight, input))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)
        for weight in model.parameters():
            weight.data = 2 * weight.data
    # More slots than the weight has, or a frozen one.
    model.num_slots = 9
    model.cell.initial_reads.requires_grad_(False)
    straight = model.straight()
    assert straight is not None
    for one, other in zip(
        *(gradients(model, way(input)) for way in (straight, lambda given: model(given)[0])), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("options", [{}, {"loss": "mean"}])
@pytest.mark.parametrize("name", ["copy", "parity", "relation-inference"])
def test_an_objective_trains_by_it_to_the_same_numbers(name: str, options: dict[str, Any]) -> None:
    objective = SequenceObjective(configured(name, model="ntm", num_slots=9, **options), TASKS[name]())
    model: Any = objective.new_model()
    batch = objective.draw(model, 0, torch.Generator().manual_seed(1))
    found = []
    for _ in range(2):
        (piece,) = objective.pieces(model, batch)
        piece.backward()
        found.append(
            [
                piece.loss.double(),
                *piece.counts.values(),
                *(one.grad.clone() for one in model.parameters() if one.grad is not None),
            ]
        )
        model.zero_grad()
        model.straight = lambda: None
        objective = SequenceObjective(objective.config, objective.data)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("task", [BitTask, SymbolTask])
def test_a_task_with_losses_of_its_own_is_asked_for_them(task: Any) -> None:
    usual = OfBits if task is BitTask else OfSymbols
    own = type(
        "Own", (usual,), {"groups": 2, "__init__": lambda self: None, "losses": lambda *given: 2 * task.losses(*given)}
    )
    assert own().symbols_of_losses is None
    assert TASKS["adding"]().symbols_of_losses is None
    assert TASKS["mqar"]().symbols_of_losses is None


def test_a_recurrent_network_of_which_a_part_is_trained() -> None:
    torch.manual_seed(0)
    model, input = memnet.GRU(3, 2, hidden_size=5, num_layers=2).double(), torch.randn(1, 4, 3, dtype=torch.float64)
    for frozen in ([*model.cell.layers[0].parameters()], [*model.cell.parameters()]):
        for one in frozen:
            one.requires_grad_(False)
        straight = model.straight()
        assert straight is not None
        for one, other in zip(
            gradients(model, answered(straight, input)), gradients(model, model(input)[0]), strict=True
        ):
            torch.testing.assert_close(one, other)
    weight = model.cell.layers[1].weight_hh
    weight.data = weight.data.t().contiguous().t()
    with pytest.raises(RuntimeError, match="another shape, dtype or order"):
        straight(input)
