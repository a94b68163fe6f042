"""Compiled bags of words are the plain ones: vectors and every gradient, alone and in the models that read them."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn import functional

from memnet import EntNet, KeyValueMemoryNetwork, MemN2N, sequence
from memnet.encoding import CountedSentences, Encoding, NativeSentences, Sentences, sentence_weights
from memnet.native import bag as native_bag
from tests.compiler import needs_compiler
from tests.stories import MAX_WORDS, VOCAB, called, drawn_anew, question_of, stacked, story_of

pytestmark = needs_compiler


def plain(words: Tensor, tables: list[Tensor], weights: Tensor) -> list[Tensor]:
    return [(functional.embedding(words, table) * weights).sum(-2) for table in tables]


def drawn_words(draw: random.Random, vocabulary: int) -> Tensor:
    """Sentences, some empty or with nils in between, with any axes in front and any strides."""
    axes = [draw.choice([1, 2, 5]) for _ in range(draw.choice([0, 1, 2, 3]))]
    words = torch.randint(0, vocabulary, (*axes, draw.choice([1, 2, 7, 12])))
    words[torch.rand(words.shape[:-1]) < 0.2] = 0
    if draw.random() < 0.1:
        words.zero_()
    return words.mT.contiguous().mT if words.dim() > 1 and draw.random() < 0.3 else words


def drawn_call(draw: random.Random, dtype: torch.dtype = torch.float64) -> tuple[Tensor, list[Tensor], Tensor]:
    """Words, tables whose nil is zero, and weights of every row or for all; of tables and weights some are trained."""
    vocabulary, width = draw.choice([1, 2, 5, 30]), draw.choice([1, 2, 7, 8, 9, 15, 16, 17, 20, 33, 70])
    words = drawn_words(draw, vocabulary)
    tables = []
    for _ in range(draw.choice([1, 2, 4])):
        table = torch.randn(width, vocabulary, dtype=dtype).T if draw.random() < 0.3 else torch.randn(vocabulary, width)
        table = table.to(dtype)
        table[0] = 0
        tables.append(table.requires_grad_(draw.random() < 0.8))
    shape = words.shape if draw.random() < 0.4 else words.shape[-1:]
    weights = torch.randn(*shape, width, dtype=dtype)
    if draw.random() < 0.2:
        weights = torch.ones(*shape, 1, dtype=dtype).expand(*shape, width)
    return words, tables, weights.requires_grad_(draw.random() < 0.5)


def results(run: Any, words: Tensor, tables: list[Tensor], weights: Tensor, counted: list[bool]) -> list[Tensor]:
    """Bags, and the gradients of a random loss on those that count; without nil's, which is worth nothing."""
    bags = run(words, tables, weights)
    generator = torch.Generator().manual_seed(7)
    noise = [torch.randn(bag.shape, generator=generator).to(bag) for bag in bags]
    leaves = [leaf for leaf in (*tables, weights) if leaf.requires_grad]
    parts = [(bag * one).sum() for bag, one, counts in zip(bags, noise, counted, strict=True) if counts]
    parts += [0 * leaf.sum() for leaf in leaves]
    gradients = torch.autograd.grad(torch.stack(parts).sum(), leaves) if leaves else []
    kept = [one if leaf is weights else one[1:] for one, leaf in zip(gradients, leaves, strict=True)]
    return [*(bag.detach() for bag in bags), *kept]


@pytest.mark.parametrize("seed", range(40))
def test_bags_and_every_gradient_equal_the_plain_ones(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    words, tables, weights = drawn_call(draw)
    assert native_bag.refusal(words, *tables, weights) is None
    counted = [draw.random() < 0.8 for _ in tables]
    expected, found = (results(run, words, tables, weights, counted) for run in (plain, native_bag.word_bags))
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("seed", range(80, 90))
def test_single_precision_and_inference(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    words, tables, weights = drawn_call(draw, torch.float32)
    trained = native_bag.word_bags(words, tables, weights)
    with torch.no_grad():
        found = native_bag.word_bags(words, tables, weights)
    for one, other, expected in zip(found, trained, plain(words, tables, weights), strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-5)


def test_gradients_equal_finite_differences() -> None:
    torch.manual_seed(0)
    words = torch.tensor([[1, 2, 1], [0, 3, 0], [0, 0, 0]])
    first, second = (torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    for shape in ((3, 3), (3, 3, 3)):
        weights = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        assert gradcheck(
            lambda *given: tuple(native_bag.word_bags(words, given[1:], given[0])), [weights, first, second]
        )


def test_no_number_comes_from_memory_that_was_not_written() -> None:
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        for seed in range(20):
            test_bags_and_every_gradient_equal_the_plain_ones(seed)
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_graph_can_be_walked_twice_and_changed_tensors_are_noticed() -> None:
    table, weights = torch.randn(5, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    (bag,) = native_bag.word_bags(torch.tensor([1, 2, 0, 2]), [table], weights)
    first, second = (torch.autograd.grad(bag.sum(), [table, weights], retain_graph=True) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    with torch.no_grad():
        weights.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        bag.sum().backward()


@pytest.mark.parametrize("word", [-1, 5])
def test_words_that_no_table_has_are_refused(word: int) -> None:
    with pytest.raises(IndexError, match="index out of range"):
        native_bag.word_bags(torch.tensor([1, word]), [torch.ones(5, 3)], torch.ones(2, 3))


def test_tensors_of_another_size_are_refused_by_name() -> None:
    words, table = torch.ones(2, 4, dtype=torch.int64), torch.ones(5, 3)
    for tables, weights in (
        ([table, torch.ones(4, 3)], torch.ones(4, 3)),
        ([table], torch.ones(4, 2)),
        ([table], torch.ones(5, 3)),
        ([table], torch.ones(1, 4, 3)),
    ):
        with pytest.raises(ValueError, match=r"is given where \(.*\) is expected"):
            native_bag.word_bags(words, tables, weights)


@pytest.mark.parametrize("encoding", ["bag-of-words", "position-paper", "position-facebook"])
@pytest.mark.parametrize("times", [False, True])
def test_sentences_have_the_same_vectors_scores_and_blends(encoding: Encoding, times: bool) -> None:
    torch.manual_seed(0)
    words, tables = story_of(), [functional.pad(torch.randn(VOCAB - 1, 3).double(), (0, 0, 1, 0)) for _ in range(2)]
    weights = sentence_weights(words, encoding, width=3, max_words=4, times=times, dtype=torch.float64)
    query, shares = torch.randn(len(words), 3).double(), torch.rand(words.shape[:2]).double()
    found = []
    for sentences in (
        Sentences(words, weights),
        NativeSentences(words, weights),
        CountedSentences(words, weights, VOCAB),
    ):
        one, other = sentences.prepare_all(tables)
        found.append([sentences.vectors(one), sentences.score(other, query), sentences.blend(one, shares)])
    for results in found[1:]:
        for one, other in zip(results, found[0], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


# ---------------------------------------------------------------------------------------------- the models


def memn2n(**options: Any) -> MemN2N:
    return MemN2N(VOCAB, max_words=MAX_WORDS, embedding_size=3, max_sentences=4, **options)


def key_value(**options: Any) -> KeyValueMemoryNetwork:
    return KeyValueMemoryNetwork(VOCAB, max_words=MAX_WORDS, embedding_size=3, max_sentences=4, window=3, **options)


MODELS: dict[str, Any] = {
    "memn2n": memn2n,
    "memn2n-layerwise": lambda: memn2n(tying="layerwise", encoding="position-paper", score_times=True),
    "memn2n-bag": lambda: memn2n(encoding="bag-of-words", mask_empty=True, nonlinearity="relu"),
    "key-value": key_value,
    "key-value-shared": lambda: key_value(tables="shared", encoding="position-paper"),
    "key-value-windows": lambda: key_value(memories="window"),
    "entnet": lambda: EntNet(VOCAB, max_words=MAX_WORDS, embedding_size=3, keys=[5, 2]),
}


def used(model: Any) -> sequence.BackendModule:
    return model.memory if isinstance(model, EntNet) else model  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", MODELS)
def test_models_answer_and_learn_as_by_the_plain_computation(name: str) -> None:
    model = drawn_anew(MODELS[name]())
    found = []
    for backend in ("eager", "native"):
        model.backend = backend
        trace = model.trace(story_of(), question_of())
        assert used(model).backend_used == backend
        gradients = torch.autograd.grad(trace.logits.sin().sum(), list(model.parameters()))
        with torch.no_grad():
            found.append([model(story_of(), question_of()), trace.logits, *gradients])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_bags_of_an_entity_network_are_compiled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    run = native_bag.word_bags
    monkeypatch.setattr(native_bag, "word_bags", lambda *args: calls.append(args) or run(*args))
    model = MODELS["entnet"]()
    for backend, times in (("eager", 0), ("auto", 2), ("native", 4)):
        model.backend = backend
        model(story_of(), question_of())
        assert len(calls) == times


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize(
    ("name", "case"),
    [
        *(("memn2n", case) for case in ("torch.func", "torch.compile", "autocast", "bfloat16")),
        ("key-value", "torch.func"),
    ],
)
def test_auto_runs_eagerly_what_is_not_covered_and_says_why(name: str, case: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    model.backend = "auto"
    expected = model(story_of(), question_of())
    assert (model.backend_used, model.backend_refusal) == ("native", None)
    found = called(model, case)
    assert model.backend_used == "eager"
    assert case in model.backend_refusal
    rough = case in ("autocast", "bfloat16")
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.05 if rough else 1e-5)


def test_native_says_once_why_it_runs_eagerly() -> None:
    sequence._warn_once.cache_clear()
    model = memn2n().eval()
    model.backend = "native"
    with pytest.warns(UserWarning, match='"native" cannot run this: .*torch.func'):
        stacked(model)
    stacked(model)  # a second warning would be an error
    sequence._warn_once.cache_clear()


@pytest.mark.parametrize(("backend", "told"), [("compile", "compile.*steps.*MemN2N"), ("nativ", "'nativ'")])
def test_a_backend_that_cannot_be_is_refused(backend: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        memn2n().backend = backend
