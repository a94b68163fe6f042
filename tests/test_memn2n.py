"""The end-to-end memory network: hops against slow loops from the paper, tying, noise, linear start, empty slots."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from memnet import MemN2N
from memnet.functional.addressing import attention_weights
from tests.slow_stories import memn2n
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

DEFAULTS: dict[str, Any] = {
    "num_hops": 3,
    "tying": "adjacent",
    "encoding": "position-facebook",
    "max_sentences": 6,
    "nonlinearity": None,
    "mask_empty": False,
}


def small(**options: Any) -> MemN2N:
    torch.manual_seed(0)
    return MemN2N(VOCAB, max_words=MAX_WORDS, embedding_size=3, **({"max_sentences": 6} | options)).double()


def anew(**options: Any) -> MemN2N:
    model: MemN2N = drawn_anew(small(**options))
    return model


@pytest.mark.parametrize("linear_start", [False, True])
@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_hops": 1},
        {"num_hops": 4, "mask_empty": True},
        {"encoding": "position-paper"},
        {"encoding": "bag-of-words", "nonlinearity": "relu"},
        {"tying": "layerwise"},
        {"tying": "layerwise", "num_hops": 2, "nonlinearity": "relu", "mask_empty": True},
        {"tying": "layerwise", "encoding": "position-paper", "num_hops": 1},
        {"max_sentences": 2},
        {"max_sentences": 3, "mask_empty": True},
    ],
    ids=str,
)
def test_answers_and_attention_are_the_papers(options: dict[str, Any], counted: bool, linear_start: bool) -> None:
    settings = DEFAULTS | options
    model = anew(**settings)
    model.counted, model.linear_start = counted, linear_start
    trace = model.trace(story_of(), question_of())
    for row, (story, question) in enumerate(zip(STORIES, QUESTIONS, strict=True)):
        if not story and settings["mask_empty"]:
            continue
        logits, attention = memn2n(
            weights_of(model),
            story,
            question,
            vocab_size=VOCAB,
            max_words=MAX_WORDS,
            linear_start=linear_start,
            **settings,
        )
        assert_close(trace.logits[row], logits)
        last = min(len(story), settings["max_sentences"])
        for hop, weights in enumerate(attention):
            assert_close(trace.attention[row, hop, len(story) - last : len(story)], weights)
        assert (trace.attention[row, :, : len(story) - last] == 0).all()
        assert (trace.attention[row, :, len(story) :] == 0).all()


def test_given_ages_are_used() -> None:
    model, ages = anew(), torch.tensor([[6, 4, 1, 0, 0], [5, 0, 0, 0, 0], [0] * 5, [6, 5, 4, 2, 1]])
    logits = model(story_of(), question_of(), times=ages)
    for row, (story, question) in enumerate(zip(STORIES, QUESTIONS, strict=True)):
        expected, _ = memn2n(
            weights_of(model),
            story,
            question,
            vocab_size=VOCAB,
            max_words=MAX_WORDS,
            linear_start=False,
            ages=ages[row, : len(story)].tolist(),
            **DEFAULTS,
        )
        assert_close(logits[row], expected)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (torch.ones(4, 6, dtype=torch.int64), r"times must be int64 \(4, 5\), not torch.int64 \(4, 6\)"),
        (torch.ones(4, 5), r"times must be int64 \(4, 5\), not torch.float32 \(4, 5\)"),
        (torch.full((4, 5), 7), r"times must be 0\.\.6, not 7\.\.7"),
        (torch.full((4, 5), -1), r"times must be 0\.\.6, not -1\.\.-1"),
    ],
)
def test_wrong_ages_are_refused(times: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small()(story_of(), question_of(), times=times)


def test_empty_slots_take_their_share_unless_masked() -> None:
    open_, masked = anew().trace(story_of(), question_of()), anew(mask_empty=True).trace(story_of(), question_of())
    for row, story in enumerate(STORIES):
        sums, whole = open_.attention[row].sum(-1), masked.attention[row].sum(-1)
        assert ((sums > 0) & (sums < 1)).all() or not story
        assert_close(whole, torch.full((3,), float(bool(story)), dtype=torch.float64))
    assert_close(masked.queries[2], masked.queries[2, :1].expand(4, -1))


def test_attention_beside_empty_slots() -> None:
    scores = torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    present = torch.tensor([[True, True, False], [True, False, False], [False] * 3])
    none, two = torch.zeros(3), torch.tensor([2, 2, 2])
    assert_close(attention_weights(scores, present, none)[0, :2], torch.softmax(scores[0, :2], -1))
    assert attention_weights(scores, present, none)[1:].tolist() == [[1, 0, 0], [0, 0, 0]]
    explicit = torch.softmax(torch.tensor([1.0, -2.0, 0.0, 0.0], dtype=torch.float64), -1)
    assert_close(attention_weights(scores, present, two)[0, :2], explicit[:2])
    assert attention_weights(scores, present, two)[2].tolist() == [0, 0, 0]


def test_adjacent_tables_are_one_and_the_same() -> None:
    """A of a hop is C of the one before, B is the first A, W the last C: K + 1 tables and nothing else."""
    model = small(num_hops=3)
    assert [name for name, _ in model.named_parameters()] == [f"embeddings.{index}.weight" for index in range(4)]
    story, question = story_of(), question_of()
    before = model.eval()(story, question)
    for table in model.embeddings:
        with torch.no_grad():
            table.weight.mul_(-1)
            assert not torch.allclose(model(story, question), before)
            table.weight.mul_(-1)
    drawn = torch.stack([table.weight for table in model.embeddings]).flatten(1)
    assert torch.corrcoef(drawn).fill_diagonal_(0).abs().max() < 0.5


def test_layerwise_tables_are_five() -> None:
    model = small(tying="layerwise", num_hops=5)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert shapes == {
        "embeddings.0.weight": (13, 3),
        "embeddings.1.weight": (13, 3),
        "question.weight": (7, 3),
        "answer.weight": (7, 3),
        "update": (3, 3),
    }


def test_weights_start_small_and_apart() -> None:
    model = MemN2N(1000, max_words=4, embedding_size=50)
    for parameter in model.parameters():
        assert 0.098 < parameter.std() < 0.102


def test_linear_start_leaves_the_softmax_out() -> None:
    model = anew(mask_empty=True)
    model.linear_start = True
    scores = model.trace(story_of(), question_of()).attention
    assert (scores < 0).any()
    assert not torch.allclose(scores.sum(-1), torch.ones(4, 3, dtype=torch.float64))
    model.linear_start = False
    trace = model.trace(story_of(), question_of())
    assert_close(trace.attention[0, 0, :3], torch.softmax(scores[0, 0, :3], -1))
    assert "linear_start" not in model.state_dict()


def test_noise_moves_ages_while_training_only() -> None:
    model = anew(time_noise=0.5)
    assert torch.equal(model(story_of(), question_of()), model(story_of(), question_of()))
    model.train()
    drawn = torch.stack([model(story_of(), question_of()) for _ in range(20)])
    assert not torch.allclose(drawn[0, 3], drawn[1:, 3].mean(0))
    assert torch.equal(drawn[0, 2], drawn[1, 2])
    model.time_noise = 0.0
    assert torch.equal(model(story_of(), question_of()), model.eval()(story_of(), question_of()))


def test_noisy_ages_fit_in_memory_and_come_from_a_generator() -> None:
    model, lengths = small(time_noise=0.9), torch.tensor([6, 6, 3, 0])

    def ages(seed: int) -> Tensor:
        return model.draw_times(lengths, 6, torch.Generator().manual_seed(seed))

    assert torch.equal(ages(0), ages(0))
    drawn = torch.stack([ages(seed) for seed in range(50)])
    assert drawn.max() == 6
    assert ((drawn > 0).sum(-1) == lengths).all()
    story, question = story_of(sentences=6), question_of()
    torch.manual_seed(1)
    expected = model(story, question)
    torch.manual_seed(1)
    lengths = torch.tensor([len(story) for story in STORIES])
    assert torch.equal(model(story, question, times=model.draw_times(lengths, 6)), expected)


def test_time_words_may_be_scored() -> None:
    model, plain = anew(score_times=True), anew()
    logits = model(story_of(), question_of())
    assert logits.shape == (4, VOCAB + 6)
    assert_close(logits[:, :VOCAB], plain(story_of(), question_of()))
    last = model.trace(story_of(), question_of()).queries[:, -1]
    assert_close(logits[:, VOCAB:], last @ model.embeddings[-1].weight[VOCAB - 1 :].T)
    assert anew(score_times=True, tying="layerwise")(story_of(), question_of()).shape == (4, VOCAB + 6)


def test_counting_words_changes_no_gradient() -> None:
    results = []
    for counted in (False, True):
        model = anew(nonlinearity="relu")
        model.counted = counted
        logits = model(story_of(), question_of())
        results.append([logits, *torch.autograd.grad(logits.sin().sum(), list(model.parameters()))])
    for one, other in zip(*results, strict=True):
        assert_close(one, other)


def test_small_vocabularies_are_counted() -> None:
    assert MemN2N(30, max_words=7).counted
    assert not MemN2N(5000, max_words=7).counted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_hops": 0}, "num_hops must be at least 1, not 0"),
        ({"tying": "none"}, "tying must be one of adjacent, layerwise, not 'none'"),
        ({"encoding": "position"}, "encoding must be one of bag-of-words, .* not 'position'"),
        ({"nonlinearity": "tanh"}, "nonlinearity must be \"relu\" or None, not 'tanh'"),
        ({"time_noise": -0.1}, r"time_noise must be 0\.\.1, not -0.1"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)


@pytest.mark.parametrize("options", [{}, {"tying": "layerwise"}], ids=str)
def test_it_learns_where_two_people_are(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = MemN2N(VOCAB, max_words=MAX_WORDS, max_sentences=4, time_noise=0.0, **options)
    story, question, answer = two_fact_stories()
    assert overfit(model, story, question, answer, rate=0.02, updates=200) == 1.0
