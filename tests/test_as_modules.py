"""What people do with any torch module: export, hooks, half precision, repr, help; and what they pass by mistake."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.rnn import pack_padded_sequence

import memnet
from memnet.sequence import SequenceModule
from memnet.state import state_tensors, with_leaves
from tests.stories import MAX_WORDS, VOCAB, question_of, story_of

INPUT, LENGTHS = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 5])


def ntm(**options: Any) -> memnet.NTM:
    return memnet.NTM(3, 2, hidden_size=6, num_slots=7, slot_size=4, **options)


SEQUENCES: dict[str, Callable[[], SequenceModule]] = {
    "ntm": ntm,
    "ntm-two-layers": lambda: ntm(num_layers=2, num_reads=2, learned_initial_state=True, weights_init="learned"),
    "ntm-feedforward": lambda: ntm(controller="feedforward", addressing="location"),
    "rnn": lambda: memnet.RNN(3, 2, hidden_size=6),
    "gru": lambda: memnet.GRU(3, 2, hidden_size=6),
    "gru-skip": lambda: memnet.GRU(3, 2, hidden_size=6, num_layers=3, skip=True),
    "transformer": lambda: memnet.Transformer(3, 2, hidden_size=8, num_heads=2, num_slots=4),
}
STORIES: dict[str, Callable[[], memnet.StoryModel]] = {
    "memn2n": lambda: memnet.MemN2N(VOCAB, max_words=MAX_WORDS, embedding_size=4, max_sentences=3),
    "entnet": lambda: memnet.EntNet(VOCAB, max_words=MAX_WORDS, embedding_size=4, num_slots=2),
    "key-value": lambda: memnet.KeyValueMemoryNetwork(VOCAB, max_words=MAX_WORDS, embedding_size=4),
    "reader": lambda: memnet.StoryReader(memnet.GRU(3, VOCAB, hidden_size=4), VOCAB),
}
every_sequence = pytest.mark.parametrize("name", SEQUENCES)
every_story = pytest.mark.parametrize("name", STORIES)


def fresh(models: dict[str, Any], name: str) -> Any:
    torch.manual_seed(0)
    return models[name]().eval()


# ------------------------------------------------------------------------------------------------- torch.export


@pytest.mark.parametrize("name", ["ntm", "gru", "transformer"])
def test_an_exported_sequence_model_takes_other_lengths(name: str) -> None:
    model, input = fresh(SEQUENCES, name), INPUT[:, :3]
    exported = torch.export.export(model, (input,), {"lengths": torch.tensor([3, 1])}).module()
    model.backend = "eager"
    for lengths in (torch.tensor([3, 2]), torch.tensor([0, 3])):
        output, state = exported(input, lengths=lengths)
        expected, last = model(input, lengths=lengths)
        torch.testing.assert_close(output, expected)
        torch.testing.assert_close(state_tensors(state), state_tensors(last))


def test_a_traced_transformer_reads_the_state_that_it_is_given() -> None:
    model, first, second = fresh(SEQUENCES, "transformer"), INPUT[:, :3], INPUT[:, 2:]
    state = model(first)[1]
    leaves = state_tensors(state)

    def run(input: torch.Tensor, *tensors: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = model(input, with_leaves(state, tensors))[0]
        return output

    empty = [torch.zeros_like(one) for one in leaves]
    traced = make_fx(run)(second, *empty)
    torch.testing.assert_close(traced(second, *leaves), run(second, *leaves))


@every_story
def test_an_exported_model_of_stories_takes_other_stories(name: str) -> None:
    model, story, question = fresh(STORIES, name), story_of()[:, :3, :2], question_of()[:, :2]
    lengths = torch.arange(len(story)) % 3
    exported = torch.export.export(model, (story, question), {"story_lengths": lengths}).module()
    model.backend = "eager"
    story, lengths = story.flip(0), lengths.flip(0)
    expected = model(story, question, story_lengths=lengths)
    torch.testing.assert_close(exported(story, question, story_lengths=lengths), expected)


# ------------------------------------------------------------------------------------------------- hooks


@every_sequence
@pytest.mark.parametrize("backend", ["auto", "compile"])
def test_hooks_on_every_cell_run_at_every_step_and_change_nothing(name: str, backend: Any) -> None:
    model = fresh(SEQUENCES, name)
    output, state = model(INPUT, lengths=LENGTHS)
    model.backend = backend
    cells = [module for module in model.modules() if isinstance(module, memnet.Cell)]
    calls = dict.fromkeys(cells, 0)

    def count(module: nn.Module, *_: Any) -> None:
        calls[module] += 1  # type: ignore[index]

    for cell in cells:
        hook = cell.register_forward_hook(count)
        watched, last = model(INPUT, lengths=LENGTHS)
        hook.remove()
        assert calls[cell] == INPUT.size(1)
        torch.testing.assert_close(watched, output)
        torch.testing.assert_close(state_tensors(last), state_tensors(state))
    assert list(calls.values()) == [INPUT.size(1)] * len(cells)


def test_a_hook_may_change_what_a_cell_gives() -> None:
    model = fresh(SEQUENCES, "rnn")
    model.cell.register_forward_hook(lambda _, __, given: (torch.zeros_like(given[0]), given[1]))
    output, _ = model(INPUT)
    torch.testing.assert_close(output, model.readout.bias.expand_as(output))


def test_hooks_run_on_the_cell_of_an_entity_network() -> None:
    model, calls = fresh(STORIES, "entnet"), []
    model.cell.register_forward_pre_hook(lambda *_: calls.append(1))
    model(story_of(), question_of())
    assert len(calls) == story_of().size(1)


# ------------------------------------------------------------------------------------------------- half precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("addressing", ["content-and-location", "location", "content"])
def test_an_ntm_in_half_precision_has_finite_gradients_near_those_of_float32(
    dtype: torch.dtype, addressing: Any
) -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        model = ntm(addressing=addressing, memory_init="random" if addressing == "content" else "constant")
        input = torch.randn(4, 20, 3)
        model.backend = "eager"
        model(input)[0].square().mean().backward()
        exact = {key: one.grad for key, one in model.named_parameters()}
        model.zero_grad()
        model.to(dtype)
        output, state = model(input.to(dtype))
        assert output.dtype == dtype
        assert state.memory.dtype == state.read_weights.dtype == torch.float32
        output.float().square().mean().backward()
        for key, one in model.named_parameters():
            assert one.grad is not None
            assert one.grad.isfinite().all(), key
        found = torch.cat([one.grad.float().flatten() for one in model.parameters() if one.grad is not None])
        wanted = torch.cat([one.flatten() for one in exact.values() if one is not None])
        assert torch.cosine_similarity(found, wanted, 0) > 0.95


# ------------------------------------------------------------------------------------------------- what is passed


@every_sequence
def test_what_is_no_tensor_is_named(name: str) -> None:
    model = fresh(SEQUENCES, name)
    with pytest.raises(
        TypeError, match=r"lengths must be a tensor of integers \(2,\), not list; torch.tensor makes one"
    ):
        model(INPUT, lengths=[3, 5])
    packed = pack_padded_sequence(INPUT, LENGTHS, batch_first=True, enforce_sorted=False)
    with pytest.raises(TypeError, match=r"input must be a tensor \(batch, time, 3\), not PackedSequence; pad_packed"):
        model(packed)


@every_story
def test_what_is_no_tensor_is_named_by_models_of_stories(name: str) -> None:
    model, story = fresh(STORIES, name), story_of()
    with pytest.raises(TypeError, match="story_lengths must be a tensor of integers"):
        model(story, question_of(), story_lengths=[1] * len(story))
    with pytest.raises(TypeError, match="question must be a tensor of int64"):
        model(story, question_of().tolist())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16])
def test_lengths_may_be_any_integers(dtype: torch.dtype) -> None:
    model, input, lengths = fresh(SEQUENCES, "rnn"), torch.randn(2, 8, 3), torch.tensor([3, 8])
    output, state = model(input, lengths=lengths)
    model.checkpoint_steps = 4
    again, last = model(input, lengths=lengths.to(dtype))
    torch.testing.assert_close(again, output)
    torch.testing.assert_close(state_tensors(last), state_tensors(state))


# ------------------------------------------------------------------------------------------------- repr and help


def test_repr_tells_sizes_and_what_is_not_the_default() -> None:
    shown = repr(ntm(addressing="content", memory_init="random"))
    assert "NTMCell(\n    input_size=3, num_slots=7, slot_size=4, num_reads=1, num_writes=1, shift_range=1, " in shown
    assert "addressing='content', memory_init='random'" in shown
    assert "LSTMCell(input_size=7, hidden_size=6)" in shown
    assert "read_order" not in shown
    assert "num_hops=3" in repr(fresh(STORIES, "memn2n"))
    assert "EntNetCell(\n      width=4, num_slots=2" in repr(fresh(STORIES, "entnet"))


EXPORTED = {name: getattr(memnet, name) for name in memnet.__all__}
PUBLIC = [one for one in EXPORTED.values() if inspect.isclass(one) and issubclass(one, nn.Module)]


@pytest.mark.parametrize("public", PUBLIC, ids=lambda one: one.__name__)
def test_every_argument_is_in_the_docstring(public: type[nn.Module]) -> None:
    """In its own, or in that of a class that it points to."""
    own = inspect.getdoc(public) or ""
    pointed = [EXPORTED[name] for name in set(re.findall(r"\w+", own)) & EXPORTED.keys()]
    told = "\n".join([own, *(inspect.getdoc(one) or "" for one in pointed if inspect.isclass(one))])
    arguments = [name for name in inspect.signature(public).parameters if name not in ("args", "kwargs")]
    assert [name for name in arguments if not re.search(rf"\b{name}\b", told)] == []
