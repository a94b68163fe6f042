"""What every model of stories keeps, one list of models through one suite of properties."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.func import functional_call, grad, stack_module_state

import memnet
from memnet import StoryModel
from tests.stories import MAX_WORDS, QUESTIONS, STORIES, VOCAB, assert_close, drawn_anew, question_of, story_of

memn2n = partial(memnet.MemN2N, VOCAB, max_words=MAX_WORDS, embedding_size=3, max_sentences=6)
key_value = partial(memnet.KeyValueMemoryNetwork, VOCAB, max_words=MAX_WORDS, embedding_size=3, max_sentences=6)
entnet = partial(memnet.EntNet, VOCAB, max_words=MAX_WORDS, embedding_size=3, num_slots=2)
small_ntm = partial(memnet.NTM, 3, VOCAB, hidden_size=4, num_slots=5, slot_size=3)

MODELS: dict[str, Callable[[], StoryModel]] = {
    "memn2n": memn2n,
    "memn2n-masked": lambda: memn2n(mask_empty=True, encoding="position-paper"),
    "memn2n-layerwise": lambda: memn2n(tying="layerwise", nonlinearity="relu", num_hops=2),
    "memn2n-one-hop-bag": lambda: memn2n(num_hops=1, encoding="bag-of-words"),
    "memn2n-short-memory": lambda: memn2n(max_sentences=2),
    "key-value": key_value,
    "key-value-shared": lambda: key_value(tables="shared", encoding="bag-of-words", max_sentences=2),
    "key-value-windows": lambda: key_value(memories="window", window=3, num_hops=3),
    "key-value-timeless": lambda: key_value(times=False, tables="shared", memories="window"),
    "entnet": entnet,
    "entnet-tied": lambda: entnet(num_slots=None, keys=[5, 2, 7], gate_bias=False),
    "entnet-plain": lambda: entnet(normalization="none", mask_init="ones", max_sentences=2),
    "ntm": lambda: memnet.StoryReader(small_ntm(), VOCAB),
    "lstm-one-hot": lambda: memnet.StoryReader(memnet.LSTM(VOCAB, VOCAB, hidden_size=3), VOCAB, embedding="one-hot"),
    "gru": lambda: memnet.StoryReader(memnet.GRU(3, VOCAB, hidden_size=3), VOCAB),
}
BLIND_TO_ORDER = {"key-value-timeless"}

every_model = pytest.mark.parametrize("name", MODELS)
every_sentence_model = pytest.mark.parametrize(
    "name", [name for name in MODELS if name.startswith(("memn2n", "key-value", "entnet"))]
)


one_of_a_class = pytest.mark.parametrize("name", ["memn2n", "key-value", "entnet", "gru"])


def fresh(name: str, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return MODELS[name]().double()


def anew(name: str, seed: int = 0) -> Any:
    return drawn_anew(fresh(name), seed)


def tensors_of(trace: Any) -> list[Tensor]:
    return [part for part in trace if isinstance(part, Tensor)]


@every_model
def test_every_word_gets_a_logit(name: str) -> None:
    model = fresh(name)
    logits = model(story_of(), question_of())
    assert logits.shape == (4, VOCAB)
    assert logits.dtype == torch.float64
    assert logits.isfinite().all()


@every_model
def test_a_row_alone_is_the_row_in_a_batch(name: str) -> None:
    """Neither longer neighbours nor more padding change an answer, empty slots counted or not."""
    model = anew(name)
    together = model(story_of(), question_of())
    for row, (story, question) in enumerate(zip(STORIES, QUESTIONS, strict=True)):
        longest = max([len(words) for words in story], default=0)
        alone = model(story_of([story], len(story), longest), question_of([question], len(question)))
        wide = model(story_of([story], 9, 7), question_of([question], 6))
        assert_close(alone[0], together[row])
        assert_close(wide[0], together[row])


@every_model
def test_lengths_end_a_story(name: str) -> None:
    """What stands after them is not read; without them the last sentence with a word is the last."""
    model, lengths = anew(name), torch.tensor([2, 1, 0, 3])
    shorter = [story[:length] for story, length in zip(STORIES, lengths.tolist(), strict=True)]
    expected = model(story_of(shorter), question_of())
    assert_close(model(story_of(), question_of(), story_lengths=lengths), expected)
    assert_close(model(story_of(shorter), question_of(), story_lengths=lengths.int()), expected)
    assert not torch.allclose(model(story_of(), question_of())[3], expected[3])


@every_model
def test_a_story_without_sentences_is_answered(name: str) -> None:
    model = anew(name)
    expected = model(story_of()[2:3], question_of()[2:3])
    assert expected.isfinite().all()
    for shape in ((1, 0, 4), (1, 3, 0), (1, 0, 0), (1, 1, 1)):
        empty = torch.zeros(shape, dtype=torch.int64)
        assert_close(model(empty, question_of()[2:3]), expected)
        assert model.trace(empty, question_of()[2:3]).logits.shape == (1, VOCAB)
    model(torch.zeros(1, 0, 4, dtype=torch.int64), question_of()[2:3]).sum().backward()
    assert all(one.grad is None or one.grad.isfinite().all() for one in model.parameters())


@every_model
def test_every_word_and_the_order_of_sentences_matter(name: str) -> None:
    model, story, question = anew(name), story_of(), question_of()
    expected = model(story, question)[0]
    last = {"memn2n-short-memory": 1, "key-value-shared": 1, "entnet-plain": 1}.get(name, 0)
    for sentence in range(last, 3):
        changed = story.clone()
        changed[0, sentence, 0] = 6
        assert not torch.allclose(model(changed, question)[0], expected)
    changed = question.clone()
    changed[0, 1] = 6
    assert not torch.allclose(model(story, changed)[0], expected)
    swapped = model(story[:, [0, 2, 1, 3, 4]], question)[0]
    assert torch.allclose(swapped, expected) == (name in BLIND_TO_ORDER)


@every_model
def test_every_parameter_gets_a_gradient(name: str) -> None:
    model = fresh(name)
    model(story_of(), question_of()).square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key


@every_model
def test_gradients_equal_finite_differences(name: str) -> None:
    model = anew(name)
    names = [key for key, _ in model.named_parameters()]
    story, question = story_of([STORIES[0], STORIES[1]], 3), question_of(QUESTIONS[:2])

    def run(*parameters: Tensor) -> Tensor:
        return functional_call(model, dict(zip(names, parameters, strict=True)), (story, question))

    assert gradcheck(run, list(model.parameters()), fast_mode=True, atol=1e-6, rtol=1e-4)


@every_model
def test_a_state_dict_holds_the_whole_model(name: str) -> None:
    model, other = anew(name, 0), anew(name, 1)
    expected = model(story_of(), question_of())
    assert not torch.allclose(other(story_of(), question_of()), expected)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(story_of(), question_of()), expected)


@every_model
def test_no_tensor_is_stored_twice(name: str) -> None:
    """Tied weights are one tensor with one name."""
    stored = list(MODELS[name]().state_dict().values())
    assert len({tensor.data_ptr() for tensor in stored}) == len(stored)


@every_model
def test_nothing_stays_behind_when_a_model_moves(name: str) -> None:
    model = MODELS[name]()
    for module in model.modules():
        assert not any(isinstance(value, Tensor) for value in vars(module).values())
    model.to("meta")
    assert all(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])


@every_model
def test_a_duplicate_computes_the_same_and_shares_nothing(name: str) -> None:
    model = anew(name)
    expected = model(story_of(), question_of())
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(story_of(), question_of()), expected)
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.zero_()
    assert torch.equal(model(story_of(), question_of()), expected)


@every_model
def test_vmap_over_stacked_parameters_agrees_with_a_loop(name: str) -> None:
    """Several seeds train at once, each on stories of its own where the model reads sentences."""
    models = [anew(name, seed) for seed in range(3)]
    parameters, buffers = stack_module_state(models)
    orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]]
    own = not isinstance(models[0], memnet.StoryReader)
    stories = torch.stack([story_of()[order if own else orders[0]] for order in orders])
    questions = torch.stack([question_of()[order if own else orders[0]] for order in orders])
    models[0].validate = not own

    def call(parameters: Any, buffers: Any, story: Tensor, question: Tensor) -> Any:
        return functional_call(models[0], (parameters, buffers), (story, question))

    def loss(*args: Any) -> Tensor:
        return call(*args).square().sum()

    data, axes = ((stories, questions), (0, 0, 0, 0)) if own else ((stories[0], questions[0]), (0, 0, None, None))
    outputs = torch.vmap(call, axes)(parameters, buffers, *data)
    gradients = torch.vmap(grad(loss), axes)(parameters, buffers, *data)
    models[0].validate = True
    for index, model in enumerate(models):
        logits = model(stories[index], questions[index])
        assert_close(outputs[index], logits)
        logits.square().sum().backward()
        for key, parameter in model.named_parameters():
            assert_close(gradients[key][index], parameter.grad, 1e-10)


@every_model
@pytest.mark.parametrize("lengths", [None, torch.tensor([2, 1, 0, 4])])
def test_a_trace_shows_what_forward_does(name: str, lengths: Tensor | None) -> None:
    model = anew(name)
    trace = model.trace(story_of(), question_of(), story_lengths=lengths)
    assert torch.equal(trace.logits, model(story_of(), question_of(), story_lengths=lengths))
    if hasattr(trace, "attention") and not name.startswith("entnet"):
        ends = torch.tensor([3, 1, 0, 5]) if lengths is None else lengths
        past = torch.arange(5) >= ends.unsqueeze(1)
        assert trace.attention.shape[::2] == (4, 5)
        assert (trace.attention.transpose(1, 2)[past] == 0).all()


@every_model
def test_models_run_in_single_precision_and_under_autocast(name: str) -> None:
    model = anew(name).float()
    expected = model(story_of(), question_of())
    assert expected.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(story_of(), question_of())
    torch.testing.assert_close(logits.float(), expected, rtol=0.1, atol=0.1)
    logits.float().square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@every_sentence_model
def test_nil_words_are_worth_nothing_after_training(name: str) -> None:
    """Noise on every weight, momentum, decay: a nil in a sentence still adds zero."""
    model = fresh(name)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(story_of(), question_of()).square().sum().backward()
        optimizer.step()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.01)
    model.eval()
    tables = [table for key, table in model.named_modules() if isinstance(table, memnet.encoding.WordTable)]
    assert tables
    assert all((table()[0] == 0).all() for table in tables)
    assert_close(model(story_of(words=7), question_of(words=6)), model(story_of(), question_of()))
    assert (model(story_of(), question_of())[:, 0] == 0).all()


@one_of_a_class
@pytest.mark.parametrize(
    ("story", "question", "message"),
    [
        (story_of()[0], question_of(), r"story must be int64 \(batch, sentence, word\), not torch.int64 \(5, 4\)"),
        (story_of().int(), question_of(), r"story must be int64 .*int32 \(4, 5, 4\)"),
        (story_of().double(), question_of(), "story must be int64 .*float64"),
        (story_of(), question_of()[0], r"question must be int64 \(batch, word\), not torch.int64 \(4,\)"),
        (story_of(), question_of().bool(), "question must be int64 .*bool"),
        (story_of(), question_of()[:3], "same batch .* not 4 and 3"),
        (story_of()[:0], question_of()[:0], "at least one, not 0 and 0"),
        (story_of(), question_of()[:, :0], "question must have room for at least one word, not 0"),
        (story_of() + VOCAB - 7, question_of(), "story must hold ids 0..7, not 1..8"),
        (story_of() - 1, question_of(), "story must hold ids 0..7, not -1..6"),
        (story_of(), question_of() + 5, "question must hold ids 0..7, not 5..12"),
        (story_of().to("meta"), question_of(), "story is on meta, the model on cpu"),
        (story_of(), question_of().to("meta"), "question is on meta, the model on cpu"),
    ],
)
def test_wrong_stories_and_questions_are_refused(name: str, story: Tensor, question: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fresh(name)(story, question)


@one_of_a_class
@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (torch.tensor([3.0, 1, 0, 5]), "integers.*float32"),
        (torch.tensor([True] * 4), "integers.*bool"),
        (torch.tensor([3, 1, 0]), r"integers \(4,\), not torch.int64 \(3,\)"),
        (torch.tensor([3, 1, 0, 6]), r"0\.\.5, not 0\.\.6"),
        (torch.tensor([3, 1, -1, 5]), r"0\.\.5, not -1\.\.5"),
        (torch.tensor([3, 1, 0, 5], device="meta"), "story_lengths are on meta"),
    ],
)
def test_wrong_lengths_are_refused(name: str, lengths: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fresh(name)(story_of(), question_of(), story_lengths=lengths)


@every_sentence_model
def test_a_sentence_that_is_too_long_is_refused(name: str) -> None:
    model = fresh(name)
    with pytest.raises(ValueError, match="story must have at most 4 words a sentence, not 5"):
        model(story_of([[[1, 2, 3, 4, 5]]], 2, 6), question_of()[:1])
    with pytest.raises(ValueError, match="question must have at most 4 words a sentence, not 6"):
        model(story_of()[:1], question_of([[1, 2, 3, 4, 5, 6]], 7))


@pytest.mark.parametrize("make", [memnet.MemN2N, memnet.KeyValueMemoryNetwork, memnet.EntNet])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": 1}, "vocab_size must be at least 2, not 1"),
        ({"vocab_size": 2.5}, "vocab_size must be a whole number, not 2.5"),
        ({"max_words": 0}, "max_words must be at least 1, not 0"),
        ({"embedding_size": 0}, "embedding_size must be at least 1, not 0"),
        ({"max_sentences": 0}, "max_sentences must be at least 1, not 0"),
    ],
)
def test_impossible_sizes_are_refused(make: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**({"vocab_size": 8, "max_words": 4} | options))
