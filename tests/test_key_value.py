"""Key-value memories, without text and on stories, against slow loops from the paper."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from memnet import KeyValueMemory, KeyValueMemoryNetwork
from memnet.models.key_value import address_keys, read_values
from tests.slow_stories import key_value_network, key_value_reads
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


def normal(*shape: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


QUERY, KEYS, VALUES = normal(3, 4, seed=0), normal(3, 5, 4, seed=1), normal(3, 5, 4, seed=2)
PRESENT = torch.tensor([[True] * 5, [True, False, True, True, False], [False] * 5])


@pytest.mark.parametrize("num_hops", [1, 2, 4])
def test_reads_are_the_papers(num_hops: int) -> None:
    store = drawn_anew(KeyValueMemory(4, num_hops=num_hops))
    read = store(QUERY, KEYS, VALUES, PRESENT)
    assert read.reads.shape == (3, num_hops, 4)
    assert read.attention.shape == (3, num_hops, 5)
    for row in range(3):
        slots = PRESENT[row]
        query, attention, reads = key_value_reads(
            QUERY[row].numpy(),
            list(KEYS[row][slots].numpy()),
            list(VALUES[row][slots].numpy()),
            [rotation.detach().numpy() for rotation in store.rotations],
        )
        assert_close(read.query[row], query)
        assert_close(read.reads[row], np.array(reads))
        assert_close(read.attention[row][:, slots], np.array(attention).reshape(num_hops, -1))
        assert (read.attention[row][:, ~slots] == 0).all()


def test_a_store_without_a_mask_has_every_slot() -> None:
    store = drawn_anew(KeyValueMemory(4))
    whole = store(QUERY, KEYS, VALUES, torch.ones(3, 5, dtype=torch.bool))
    for one, other in zip(store(QUERY, KEYS, VALUES), whole, strict=True):
        assert torch.equal(one, other)
    assert_close(whole.attention.sum(-1), torch.ones(3, 2, dtype=torch.float64))


def test_an_untrained_store_adds_up_what_it_reads() -> None:
    read = KeyValueMemory(4, num_hops=3).double()(QUERY, KEYS, VALUES)
    assert_close(read.query, QUERY + read.reads.sum(1))


def test_a_key_that_fits_alone_fetches_its_value() -> None:
    keys = 50 * torch.eye(4).expand(2, -1, -1)
    weights = address_keys(torch.eye(4)[[2, 0]], keys, torch.ones(2, 4, dtype=torch.bool))
    values = torch.arange(8.0).view(1, 4, 2).expand(2, -1, -1)
    assert_close(read_values(weights, values), [[4, 5], [0, 1]])


def test_slots_have_no_order_and_what_is_absent_does_not_matter() -> None:
    store, order = drawn_anew(KeyValueMemory(4)), torch.tensor([3, 0, 4, 1, 2])
    read = store(QUERY, KEYS, VALUES, PRESENT)
    other = store(QUERY, KEYS[:, order], VALUES[:, order], PRESENT[:, order])
    assert_close(other.query, read.query)
    assert_close(other.attention, read.attention[..., order])
    absent = ~PRESENT.unsqueeze(-1)
    assert torch.equal(
        store(QUERY, KEYS.masked_fill(absent, 9.0), VALUES.masked_fill(absent, 7.0), PRESENT).query, read.query
    )


def test_it_is_differentiable_in_query_keys_and_values() -> None:
    store = drawn_anew(KeyValueMemory(4))
    inputs = [tensor.clone().requires_grad_() for tensor in (QUERY, KEYS, VALUES)]
    assert torch.autograd.gradcheck(lambda *args: store(*args, PRESENT).query, inputs, fast_mode=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((QUERY[:, :3], KEYS, VALUES), r"query must be \(batch, 4\), not \(3, 3\)"),
        ((QUERY[0], KEYS, VALUES), r"query must be \(batch, 4\), not \(4,\)"),
        ((QUERY, KEYS[:2], VALUES), r"keys must be \(3, slot, 4\), not \(2, 5, 4\)"),
        ((QUERY, KEYS, VALUES[:, :4]), r"values must be \(3, 5, 4\) as keys, not \(3, 4, 4\)"),
        ((QUERY, KEYS, VALUES, PRESENT[:, :4]), r"present must be bool \(3, 5\), not torch.bool \(3, 4\)"),
        ((QUERY, KEYS, VALUES, PRESENT.long()), r"present must be bool \(3, 5\), not torch.int64 \(3, 5\)"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KeyValueMemory(4).double()(*arguments)


def small(**options: Any) -> KeyValueMemoryNetwork:
    torch.manual_seed(0)
    return KeyValueMemoryNetwork(VOCAB, max_words=MAX_WORDS, embedding_size=3, **options).double()


@pytest.mark.parametrize(
    ("memories", "tables", "times"), [*product(["sentence", "window"], ["shared", "separate"], [True, False])]
)
@pytest.mark.parametrize(
    "options",
    [
        {"encoding": "position-facebook", "max_sentences": 6, "num_hops": 2, "window": 3},
        {"encoding": "position-paper", "max_sentences": 2, "num_hops": 1, "window": 1},
        {"encoding": "bag-of-words", "max_sentences": 5, "num_hops": 3, "window": 5},
    ],
)
def test_answers_on_stories_are_the_papers(memories: str, tables: str, times: bool, options: dict[str, Any]) -> None:
    model = drawn_anew(small(memories=memories, tables=tables, times=times, **options))
    trace = model.trace(story_of(), question_of())
    for row, (story, question) in enumerate(zip(STORIES, QUESTIONS, strict=True)):
        logits, attention = key_value_network(
            weights_of(model),
            story,
            question,
            vocab_size=VOCAB,
            max_words=MAX_WORDS,
            memories=memories,
            tables=tables,
            with_times=times,
            **options,
        )
        assert_close(trace.logits[row], logits)
        kept = slice(max(0, len(story) - options["max_sentences"]), len(story))
        for hop, weights in enumerate(attention):
            if memories == "window":
                words = torch.tensor([len(words) for words in story[kept]], dtype=torch.int64)
                real = torch.arange(4) < words.unsqueeze(1)
                assert_close(trace.words[row, hop, kept][real], np.array(weights))
            else:
                assert_close(trace.attention[row, hop, kept], np.array(weights))
                assert trace.words is None
    if memories == "window":
        assert trace.words.shape == (4, options["num_hops"], 5, 4)
        assert_close(trace.attention, trace.words.sum(-1))


def test_shared_and_separate_tables() -> None:
    shared = {name for name, _ in small(tables="shared").named_parameters() if "rotations" not in name}
    assert shared == {"words.0.weight", "ages.0.weight"}
    separate = {name for name, _ in small().named_parameters() if "rotations" not in name}
    assert separate == {f"words.{index}.weight" for index in range(3)} | {"ages.0.weight", "ages.1.weight"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_hops": 0}, "num_hops must be at least 1, not 0"),
        ({"window": 4}, "window must be odd, not 4"),
        ({"window": 0}, "window must be at least 1, not 0"),
        ({"memories": "triples"}, "memories must be one of sentence, window, not 'triples'"),
        ({"tables": "tied"}, "tables must be one of shared, separate, not 'tied'"),
        ({"encoding": "mean"}, "encoding must be one of bag-of-words, .* not 'mean'"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)


@pytest.mark.parametrize("memories", ["sentence", "window"])
def test_it_learns_where_two_people_are(memories: Any) -> None:
    torch.manual_seed(0)
    model = KeyValueMemoryNetwork(VOCAB, max_words=MAX_WORDS, embedding_size=20, memories=memories)
    story, question, answer = two_fact_stories()
    assert overfit(model, story, question, answer, rate=0.02, updates=200) == 1.0
