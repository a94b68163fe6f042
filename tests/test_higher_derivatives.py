"""Every model takes the compiled operator by itself, and who asks for more than it has gets the plain answer."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from memnet import LRUA, NTM, RNN, EntNet, GRUCell, KeyValueMemoryNetwork, LSTMCell, MemN2N, StackedCell, StackRNN, Tape
from memnet.sequence import BackendModule, SequenceModule
from memnet.state import state_tensors
from tests.stories import MAX_WORDS, VOCAB, drawn_anew, question_of, story_of

INPUT = torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
LENGTHS = torch.tensor([4, 2, 0])


def ntm(**options: Any) -> NTM:
    return NTM(3, 2, hidden_size=3, num_slots=4, slot_size=2, **options)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "ntm-feedforward": lambda: ntm(controller="feedforward", addressing="location"),
    "ntm-rnn": lambda: ntm(controller="rnn-tanh", memory_init="learned", weights_init="learned", num_reads=2),
    "ntm-lstm": lambda: ntm(num_layers=2, learned_initial_state=True),
    "ntm-gru": lambda: ntm(controller="gru", addressing="content", memory_init="random"),
    "lrua": lambda: LRUA(3, 2, hidden_size=3, num_slots=4, slot_size=2, num_reads=2, learned_strength=True),
    "stack-rnn": lambda: StackRNN(3, 2, hidden_size=3, num_slots=2, slot_size=2, num_stacks=2, num_tops=2),
    "tape-rnn": lambda: Tape(3, 2, hidden_size=3, num_slots=3, slot_size=2, num_tapes=2, write_units=4),
    "lstm-gru": lambda: SequenceModule(StackedCell([LSTMCell(3, 2), GRUCell(5, 3)], skip=True), 2),
    "rnn": lambda: RNN(3, 2, hidden_size=3, num_layers=2, learned_initial_state=True),
    "memn2n": lambda: MemN2N(VOCAB, max_words=MAX_WORDS, embedding_size=3),
    "memn2n-layerwise": lambda: MemN2N(VOCAB, max_words=MAX_WORDS, tying="layerwise", nonlinearity="relu"),
    "entnet": lambda: EntNet(VOCAB, max_words=MAX_WORDS, embedding_size=3, num_slots=2),
    "entnet-tied": lambda: EntNet(VOCAB, max_words=MAX_WORDS, embedding_size=3, keys=[5, 2]),
    "key-value": lambda: KeyValueMemoryNetwork(VOCAB, max_words=MAX_WORDS, embedding_size=3),
    "windows": lambda: KeyValueMemoryNetwork(VOCAB, max_words=MAX_WORDS, embedding_size=3, memories="window", window=3),
}


def automatic(model: Any) -> Any:
    model = drawn_anew(model)
    model.backend = "auto"
    return model


def used(model: Any) -> BackendModule:
    return model.memory if isinstance(model, EntNet) else model  # type: ignore[no-any-return]


def called(model: Any) -> Tensor:
    """A number that depends on all that the model returns."""
    if isinstance(model, SequenceModule):
        output, state = model(INPUT, lengths=LENGTHS)
        return sum((tensor.cos().sum() for tensor in state_tensors(state)), output.sin().sum())
    logits: Tensor = model(story_of(), question_of())
    return logits.sin().sum()


def first_and_second(model: nn.Module) -> list[Tensor]:
    """The gradient by all weights, and that of its own squared length."""
    wanted = [*([INPUT] if isinstance(model, SequenceModule) else []), *model.parameters()]
    options: dict[str, Any] = {"allow_unused": True, "materialize_grads": True}
    first = torch.autograd.grad(called(model), wanted, create_graph=True, **options)
    length = torch.stack([one.square().sum() for one in first]).sum()
    return [*first, *torch.autograd.grad(length, wanted, **options)]


@pytest.mark.parametrize("name", MODELS)
def test_second_derivatives_by_themselves_are_those_of_the_plain_computation(name: str) -> None:
    model = MODELS[name]()
    assert model.backend == "auto"
    model = automatic(model)
    found = first_and_second(model)
    assert (used(model).backend_used, used(model).backend_refusal) == ("native", None)
    model.backend = "eager"
    for one, other in zip(found, first_and_second(model), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_step_of_learning_that_is_itself_learned_through() -> None:
    """The weights of the inner call are others again by the time of the backward pass."""
    model, found = drawn_anew(ntm()), []
    for backend in ("auto", "eager"):
        model.backend = backend
        weights = dict(model.named_parameters())
        inner = functional_call(model, weights, (INPUT,))[0].square().sum()
        steps = torch.autograd.grad(inner, list(weights.values()), create_graph=True)
        moved = {name: weight - 0.1 * step for (name, weight), step in zip(weights.items(), steps, strict=True)}
        outer = functional_call(model, moved, (INPUT,))[0].cos().sum()
        found.append(torch.autograd.grad(outer, list(weights.values())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_jacobians_in_one_go_and_forward_mode() -> None:
    model = automatic(ntm())
    rows = INPUT.detach()[:1, :2]

    def run(rows: Tensor) -> Tensor:
        return model(rows)[0]  # type: ignore[no-any-return]

    at_once = torch.autograd.functional.jacobian(run, rows, vectorize=True)
    torch.testing.assert_close(at_once, torch.func.jacrev(run)(rows))
    assert torch.autograd.gradcheck(run, (rows.requires_grad_(),), check_batched_grad=True, check_forward_ad=True)


@pytest.mark.parametrize("name", ["ntm-lstm", "memn2n", "entnet", "key-value"])
def test_copies_answer_as_the_model_they_were_made_of(name: str) -> None:
    model = automatic(MODELS[name]())
    expected = called(model)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(called(other), expected)
        assert used(other).backend_used == "native"
