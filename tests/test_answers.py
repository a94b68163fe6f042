"""Answers without gradients are forward's, bit for bit: whatever the model, and whatever becomes of it in between."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

import memnet
from memnet import answers
from memnet.state import state_tensors
from tests.compiler import needs_compiler
from tests.test_native_equality import DRAWN

pytestmark = needs_compiler


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def made(kind: str = "NTM", seed: int = 0) -> tuple[Any, Tensor]:
    """A model that has answered often enough to be known as it is."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    model = DRAWN[kind](draw)
    model.backend = "native"
    input = torch.randn(draw.choice([1, 2, 9]), draw.randint(1, 12), 3, dtype=torch.float64)
    for _ in range(3):
        model(input)
    return model, input


def asked(model: Any, input: Tensor) -> list[Tensor]:
    """What forward gives that takes nothing as known: output, and state."""
    given = input if input.requires_grad else input.clone().requires_grad_()
    with torch.enable_grad():
        output, state = model(given)
    return [one.detach().clone() for one in (output, *state_tensors(state))]


def told(model: Any, input: Tensor) -> list[Tensor]:
    output, state = model(input)
    return [output, *state_tensors(state)]


def same(these: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(these, others, strict=True))


def knows(monkeypatch: pytest.MonkeyPatch, model: Any, input: Tensor) -> bool:
    """Whether a call is answered by what is known."""
    found = []
    usual = answers.Answers.__call__
    with monkeypatch.context() as patched:

        def call(self: Any, *given: Any) -> Any:
            found.append(usual(self, *given))
            return found[-1]

        patched.setattr(answers.Answers, "__call__", call)
        model(input)
    return any(one is not None for one in found)


@pytest.mark.parametrize("kind", ["NTM", "DNC", "LRUA", "Stack-RNN", "Tape-RNN", "recurrent"])
@pytest.mark.parametrize("seed", range(12))
def test_answers_are_those_of_forward(kind: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, input = made(kind, seed)
    model(input[:, :1])
    for given in (input, -input, input[:, :1], input.transpose(0, 1).contiguous().transpose(0, 1)):
        assert knows(monkeypatch, model, given)
        before = told(model, given)
        assert same(before, asked(model, given))
        first, *rest = told(model, input)
        # Nobody else's numbers are written.
        first.zero_()
        for one in rest:
            one.zero_()
        assert same(before, told(model, given))
    assert model.backend_used == "native"


def moved(name: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        one = model.get_parameter(name) if name in dict(model.named_parameters()) else model.get_buffer(name)
        # As some write into weights, which torch does not count.
        one.data.mul_(0.5).add_(0.01)

    return change


def swapped(model: Any) -> None:
    model.cell.heads.weight = nn.Parameter(model.cell.heads.weight + 1)


def elsewhere(model: Any) -> None:
    model.cell.controller.weight_hh.data = model.cell.controller.weight_hh.data + 1


def turned(model: Any) -> None:
    weight = model.cell.controller.weight_hh
    weight.data = weight.data.t().contiguous().t()


def watched(model: Any) -> None:
    model.cell.controller.register_forward_hook(lambda module, given, output: (output[0] + 1, output[1]))


def readout_watched(model: Any) -> None:
    model.readout.register_forward_hook(lambda module, given, output: output + 1)


def with_own_forward(model: Any) -> None:
    model.cell.controller.forward = lambda input, state: memnet.LSTMCell.forward(
        model.cell.controller, 2 * input, state
    )


def with_own_start(model: Any) -> None:
    usual = model.cell.initial_state
    model.cell.initial_state = lambda batch: usual(batch)._replace(reads=usual(batch).reads + 1)


class Squashed(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).tanh()


def other_readout(model: Any) -> None:
    model.readout = Squashed(model.readout.in_features, 2)


CHANGES: dict[str, Callable[[Any], object]] = {
    "weights": moved("cell.controller.weight_ih"),
    "readout": moved("readout.bias"),
    "first memory": moved("cell.initial_memory"),
    "first reads": moved("cell.initial_reads"),
    "first hidden state": moved("cell.controller.initial_hidden"),
    "slots": lambda model: setattr(model, "num_slots", 9),
    "heads": lambda model: setattr(model.cell, "read_order", "before-write"),
    "floor": lambda model: setattr(model.cell, "norm_floor", 10.0),
    "no longer so": lambda model: model.eval(),
    "another weight": swapped,
    "a weight elsewhere": elsewhere,
    "a weight otherwise": turned,
    "a hook": watched,
    "a hook of the readout": readout_watched,
    "a hook of the model": lambda model: model.register_forward_pre_hook(lambda module, given: (given[0] + 1,)),
    "a forward": with_own_forward,
    "a first state": with_own_start,
    "another readout": other_readout,
    "by steps": lambda model: setattr(model, "backend", "eager"),
    "of another kind": lambda model: setattr(model, "__class__", type("Own", (memnet.NTM,), {})),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_in_between_is_seen(change: str) -> None:
    torch.manual_seed(0)
    model = memnet.NTM(3, 2, hidden_size=5, num_slots=7, slot_size=4, learned_initial_state=True)
    input = torch.randn(2, 5, 3)
    for _ in range(3):
        before = told(model, input)
        asked(model, input)
    CHANGES[change](model)
    with_graph = asked(model, input)
    found = [told(model, input) for _ in range(4)]
    fresh = copy.deepcopy(model)
    expected = asked(fresh, input)
    assert all(same(one, expected) for one in (*found, with_graph, asked(model, input)))
    assert same(expected, before) == (change in ("no longer so", "a weight otherwise", "of another kind"))


@pytest.mark.parametrize("way", ["unroll", "initial_state"])
def test_a_model_with_a_way_of_its_own_goes_it(way: str) -> None:
    class Own(memnet.NTM):
        pass

    model, input = memnet.NTM(3, 2, hidden_size=5), torch.randn(1, 4, 3)
    usual, calls = getattr(model, way), []
    setattr(Own, way, lambda self, *given, **more: calls.append(way) or usual(*given, **more))
    model.__class__ = Own
    for _ in range(4):
        model(input)
    assert calls == 4 * [way]


def test_a_weight_may_be_part_of_a_first_state_too() -> None:
    model = memnet.NTM(3, 2, controller="rnn-tanh", hidden_size=5, num_slots=7, learned_initial_state=True)
    model.cell.controller.initial_hidden = model.cell.controller.bias_ih
    input = torch.randn(1, 4, 3)
    for _ in range(5):
        assert same(told(model, input), asked(model, input))
        model.cell.controller.bias_ih.data.add_(1)


def test_it_answers_in_the_numbers_that_the_model_has_become() -> None:
    model, input = made()
    model.float()
    for _ in range(3):
        assert same(told(model, input.float()), asked(model, input.float()))
    with pytest.raises(ValueError, match="float64"):
        model(input)


def test_who_transforms_or_watches_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    model, input = made()
    model.backend = "auto"
    model(input)
    assert knows(monkeypatch, model, input)
    parameters = {name: 2 * one for name, one in model.named_parameters()}
    expected = functional_call(model, parameters, (input,))[0]
    assert not torch.equal(expected, model(input)[0])
    model(input)
    several = vmap(lambda given: functional_call(model, parameters, (given,))[0])(torch.stack([input, input]))
    torch.testing.assert_close(several[1], expected)
    model(input)
    monkeypatch.setenv("MEMNET_NATIVE", "0")
    for _ in range(3):
        assert not knows(monkeypatch, model, input)
        assert model.backend_used == "eager"


@pytest.mark.parametrize(
    "given", [torch.tensor(1.0), torch.ones(0, 4, 3), torch.ones(1, 4, 2), torch.ones(1, 4, 3, device="meta")]
)
def test_what_is_no_input_is_told_as_by_forward(given: Tensor) -> None:
    model = memnet.NTM(3, 2, hidden_size=5, num_slots=7)
    for _ in range(3):
        model(torch.ones(1, 4, 3))
    with pytest.raises(ValueError, match="input"):
        model(given)


def test_answers_of_inference_mode_serve_after_it() -> None:
    model, input = memnet.NTM(3, 2, hidden_size=5, num_slots=7, learned_initial_state=True), torch.ones(1, 4, 3)
    with torch.inference_mode():
        for _ in range(3):
            inside = told(model, input)
    outside = told(model, input)
    assert same(inside, outside)
    assert not any(one.is_inference() for one in outside)
    with torch.enable_grad():
        model(input, model(input.clone().requires_grad_())[1])[0].sum().backward()


def test_copies_know_nothing() -> None:
    model, input = made()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), copy.copy(model)):
        assert other._answers is None
        assert same(told(other, input), told(model, input))


def test_a_large_first_state_is_made_anew_and_shapes_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_MOST_NUMBERS", 0)
    monkeypatch.setattr(answers, "_MOST_SHAPES", 2)
    model, input = made(seed=2)
    for steps in (1, 2, 3, 1, 2, 3):
        given = input[:1, :1].expand(1, steps, 3).contiguous()
        assert same(told(model, given), asked(model, given))
        model.cell.initial_memory.data.add_(1)


def test_what_ran_last_is_told_of_an_answer_too() -> None:
    model, input = made()
    model.backend = "auto"
    for _ in range(3):
        model(input)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(input)
    assert model.backend_used == "eager"
    model(input)
    assert (model.backend_used, model.backend_refusal) == ("native", None)
    model.trace(input)
    model(input)
    assert model.backend_used == "native"
