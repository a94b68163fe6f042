"""The recurrent entity network: its step against slow loops from the paper, keys, masks, normalisation, padding."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from memnet import EntNet, EntNetCell, EntNetState
from memnet.unroll import unroll
from tests.slow_stories import entity_step, entnet
from tests.stories import (
    MAX_WORDS,
    QUESTIONS,
    STORIES,
    VOCAB,
    assert_close,
    drawn_anew,
    overfit,
    question_of,
    story_of,
    two_fact_stories,
    weights_of,
)


def small(**options: Any) -> EntNet:
    torch.manual_seed(0)
    return EntNet(VOCAB, max_words=MAX_WORDS, **({"embedding_size": 3} | options)).double()


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@pytest.mark.parametrize("gate_bias", [True, False])
@pytest.mark.parametrize("normalization", ["unit", "none"])
@pytest.mark.parametrize("keys", [{"num_slots": 2}, {"keys": [5, 2, 7]}], ids=["free", "tied"])
@pytest.mark.parametrize("max_sentences", [2, 70])
def test_answers_gates_and_memories_are_the_papers(
    gate_bias: bool, normalization: str, keys: dict[str, Any], max_sentences: int
) -> None:
    model = drawn_anew(small(gate_bias=gate_bias, normalization=normalization, max_sentences=max_sentences, **keys))
    trace = model.trace(story_of(), question_of())
    for row, (story, question) in enumerate(zip(STORIES, QUESTIONS, strict=True)):
        logits, gates, memories = entnet(
            weights_of(model),
            story,
            question,
            vocab_size=VOCAB,
            tied=keys.get("keys", []),
            unit=normalization == "unit",
            max_sentences=max_sentences,
        )
        assert_close(trace.logits[row], logits)
        assert_close(trace.memories[row], memories)
        kept = slice(max(0, len(story) - max_sentences), len(story))
        assert_close(trace.gates[row, kept], np.array(gates).reshape(-1, trace.gates.size(-1)))
        assert trace.gates[row].ne(0).any(-1).sum() == len(gates)


def test_the_cell_is_a_step_that_the_one_unroll_runs() -> None:
    cell, sentences = drawn_anew(EntNetCell(3, 4)), normal(2, 5, 3)
    gates, state = unroll(cell, sentences, cell.initial_state(2))
    stepwise = cell.initial_state(2)
    for time in range(5):
        opened, stepwise = cell(sentences[:, time], stepwise)
        assert_close(opened, gates[:, time])
    assert_close(stepwise.memories, state.memories)
    for row in range(2):
        memories = cell.keys.detach().numpy()
        for time, sentence in enumerate(sentences[row].numpy()):
            memories, opened = entity_step(weights_of(cell), memories, sentence, unit=True)
            assert_close(gates[row, time], opened)
        assert_close(state.memories[row], memories)


def test_memories_start_at_the_keys_and_have_length_one_after_a_sentence() -> None:
    model = drawn_anew(small(num_slots=4))
    start = model.cell.initial_state(2).memories
    assert torch.equal(start, model.cell.keys.expand(2, -1, -1))
    assert not torch.allclose(start.norm(dim=-1), torch.ones(2, 4, dtype=torch.float64))
    state = model.cell.initial_state(2)
    for sentence in normal(6, 2, 3).unbind(0):
        _, state = model.cell(sentence, state)
        assert_close(state.memories.norm(dim=-1), torch.ones(2, 4, dtype=torch.float64))


def test_a_vector_of_length_zero_stays_zero() -> None:
    cell = drawn_anew(EntNetCell(3, 2))
    for name, parameter in cell.named_parameters():
        if name.startswith("from_"):
            nn.init.zeros_(parameter)
    state = EntNetState(torch.zeros(1, 2, 3, dtype=torch.float64, requires_grad=True))
    _, after = cell(normal(1, 3), state)
    assert (after.memories == 0).all()
    after.memories.sum().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in cell.parameters())


@pytest.mark.parametrize("normalization", ["unit", "none"])
def test_where_no_sentence_is_nothing_changes(normalization: str) -> None:
    """Bit for bit, at the end, in between, and before anything was said."""
    cell = drawn_anew(EntNetCell(3, 4, normalization=normalization))
    sentences, silence = normal(2, 5, 3), torch.zeros(2, 1, 3, dtype=torch.float64)
    _, expected = unroll(cell, sentences, cell.initial_state(2))
    parts = [silence, sentences[:, :2], silence, silence, sentences[:, 2:], silence]
    gates, state = unroll(cell, torch.cat(parts, 1), cell.initial_state(2))
    assert torch.equal(state.memories, expected.memories)
    assert (gates[:, [0, 3, 4, 8]] == 0).all()
    assert (gates[:, [1, 2, 5, 6, 7]] > 0).all()


def test_one_activation_serves_cell_and_answer() -> None:
    model = drawn_anew(small())
    slopes = [name for name, _ in model.named_parameters() if "activation" in name]
    assert slopes == ["memory.cell.activation.weight"]
    empty = story_of([[]])
    before = model(empty, question_of()[:1])
    nn.init.constant_(model.cell.activation.weight, -3.0)
    assert not torch.allclose(model(empty, question_of()[:1]), before)
    assert_close(small().cell.activation.weight, np.ones(3))


def test_tied_keys_are_the_words_themselves() -> None:
    model = drawn_anew(small(keys=[5, 2, 7]))
    assert torch.equal(model.word_table()[[5, 2, 7]], model.cell.keys)
    assert torch.equal(model.word_table()[[1, 3, 4, 6]], model.words.weight)
    assert (model.word_table()[0] == 0).all()
    assert model.cell.keys.shape == (3, 3)
    free = drawn_anew(small(num_slots=3))
    assert torch.equal(free.word_table()[1:], free.words.weight)


def test_every_weight_starts_as_in_the_original_code() -> None:
    facebook, ones = (EntNet(400, max_words=20, embedding_size=60, mask_init=init) for init in ("facebook", "ones"))
    assert facebook.cell.keys.shape == (20, 60)
    for model in (facebook, ones):
        for name, parameter in model.named_parameters():
            if "mask" in name or "activation" in name:
                continue
            assert 0.06 < parameter.std() < 0.14, name
            assert abs(parameter.mean()) < 0.06, name
        assert (model.question_mask == 1).all()
        assert (model.cell.activation.weight == 1).all()
    assert 0.09 < facebook.sentence_mask.std() < 0.11
    assert (ones.sentence_mask == 1).all()
    biases = {name for name, _ in facebook.named_parameters() if "bias" in name}
    assert biases == {"memory.cell.gate_bias", "memory.cell.from_memory.bias"}
    assert EntNet(8, max_words=4, gate_bias=False).cell.gate_bias is None


def test_sentence_and_question_have_masks_of_their_own() -> None:
    model = drawn_anew(small())
    story, question = story_of(), question_of()
    model(story, question).square().sum().backward()
    for mask in (model.sentence_mask, model.question_mask):
        assert mask.grad is not None
        assert (mask.grad != 0).all()
    assert model.sentence_mask.shape == model.question_mask.shape == (MAX_WORDS, 3)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_compiled_step_agrees_with_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager", fullgraph=True))
    model, results = drawn_anew(small()), []
    for backend in ("eager", "compile"):
        model.backend = backend
        assert model.backend == model.memory.backend == backend
        logits = model(story_of(), question_of())
        results.append([logits, *torch.autograd.grad(logits.sin().sum(), list(model.parameters()))])
    for one, other in zip(*results, strict=True):
        assert_close(one, other, 1e-10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_slots": 0}, "num_slots must be at least 1, not 0"),
        ({"keys": []}, r"keys must be different word ids 1..7, at least one, not \[\]"),
        ({"keys": [0, 1]}, r"keys must be different word ids 1..7, .* not \[0, 1\]"),
        ({"keys": [1, 8]}, r"keys must be different word ids 1..7, .* not \[1, 8\]"),
        ({"keys": [1, 2, 1]}, r"keys must be different .* not \[1, 2, 1\]"),
        ({"keys": [1, 2], "num_slots": 3}, "num_slots must be 2 as there are tied keys, or None, not 3"),
        ({"normalization": "layer"}, "normalization must be one of unit, none, not 'layer'"),
        ({"mask_init": "zeros"}, "mask_init must be one of facebook, ones, not 'zeros'"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)


@pytest.mark.parametrize("options", [{"num_slots": 5}, {"keys": [1, 2]}], ids=["free", "tied"])
def test_it_learns_where_two_people_are(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = EntNet(VOCAB, max_words=MAX_WORDS, embedding_size=20, **options)
    story, question, answer = two_fact_stories()
    assert overfit(model, story, question, answer, rate=0.01, updates=200) == 1.0
