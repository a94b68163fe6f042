"""Words to vectors: position weights, word tables, counts, ages, and what is kept of a long story."""

from __future__ import annotations

from itertools import combinations
from math import ceil, comb

import numpy as np
import pytest
import torch
from torch import Tensor

from memnet.encoding import (
    CountedSentences,
    Encoding,
    Sentences,
    WordTable,
    bag_of_words,
    facebook_positions,
    keep_newest,
    last_filled,
    noisy_time_index,
    paper_positions,
    sentence_weights,
    time_index,
)
from tests.slow_stories import encoded, facebook_weight, paper_weight
from tests.stories import QUESTIONS, STORIES, assert_close, question_of, story_of

SIZES = [(1, 1), (1, 4), (3, 2), (7, 20), (12, 5)]
ENCODINGS: list[Encoding] = ["bag-of-words", "position-paper", "position-facebook"]

every_encoding = pytest.mark.parametrize("encoding", ENCODINGS)


def places(num_words: int) -> Tensor:
    return torch.arange(1, num_words + 1, dtype=torch.float64)


@pytest.mark.parametrize(("num_words", "width"), SIZES)
def test_position_weights_are_the_published_formulas(num_words: int, width: int) -> None:
    js, ks = range(1, num_words + 1), range(1, width + 1)
    paper = [[paper_weight(k, j, width, num_words) for k in ks] for j in js]
    facebook = [[facebook_weight(k, j, width, num_words) for k in ks] for j in js]
    assert_close(paper_positions(places(num_words), num_words, width).table(), paper)
    assert_close(facebook_positions(places(num_words), num_words, width).table(), facebook)


def test_position_weights_by_hand() -> None:
    paper = paper_positions(places(2), 2, 2).table()
    assert_close(paper, [[0.5, 0.5], [0.5, 1.0]])
    facebook = facebook_positions(places(3), 3, 2).table()
    assert_close(facebook, [[4 / 3, 2 / 3], [1, 1], [2 / 3, 4 / 3]])
    bag = bag_of_words(places(3), 2).table()
    assert_close(bag, np.ones((3, 2)))


def test_the_two_position_encodings_differ_by_a_factor_and_a_plane() -> None:
    d, J = 20, 7
    j, k = places(J).unsqueeze(1), places(d)
    paper, facebook = (make(places(J), J, d).table() for make in (paper_positions, facebook_positions))
    assert_close(facebook, 2 * paper + (d + J + 1 - 2 * (k + j)) / (d * J))
    assert round(float(facebook.min()), 2) == 0.19
    assert round(float(facebook.max()), 2) == 1.81


@every_encoding
@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("words", [4, 6])
def test_sentences_are_encoded_as_in_the_papers(encoding: Encoding, counted: bool, words: int) -> None:
    """With time words and without, at any amount of padding."""
    table = torch.randn(12, 5, dtype=torch.float64).index_fill(0, torch.tensor([0]), 0.0)
    for times in (False, True):
        ids = question_of(words=words)
        if times:
            ids = torch.cat([ids, torch.tensor([[8], [9], [10], [11]])], 1)
        weights = sentence_weights(ids, encoding, width=5, max_words=6, times=times, dtype=torch.float64)
        sentences = CountedSentences(ids, weights, 12) if counted else Sentences(ids, weights)
        vectors = sentences.vectors(sentences.prepare(table))
        for row, question in enumerate(QUESTIONS):
            time_word = 8 + row if times else None
            assert_close(vectors[row], encoded(table[1:].numpy(), question, encoding, 6, time_word))


@every_encoding
def test_counting_words_changes_nothing(encoding: Encoding) -> None:
    """Vectors, scores, blends and their gradients."""
    story, results = story_of(), []
    weights = sentence_weights(story, encoding, width=3, max_words=4, times=False, dtype=torch.float64)
    for sentences in (Sentences(story, weights), CountedSentences(story, weights, 8)):
        torch.manual_seed(0)
        table, query, shares = (
            torch.randn(size, dtype=torch.float64, requires_grad=True) for size in ((8, 3), (4, 3), (4, 5))
        )
        prepared = sentences.prepare(table * (torch.arange(8) > 0).unsqueeze(1))
        parts = [
            sentences.vectors(prepared),
            sentences.score(prepared, query),
            sentences.blend(prepared, shares),
        ]
        loss = sum((part.sin().sum() for part in parts), torch.zeros(()))
        results.append([*parts, *torch.autograd.grad(loss, [table, query, shares])])
    assert [tuple(part.shape) for part in results[0][:3]] == [(4, 5, 3), (4, 5), (4, 3)]
    for one, other in zip(*results, strict=True):
        assert_close(one, other)


def test_the_nil_word_has_no_weights() -> None:
    torch.manual_seed(0)
    words = WordTable(5, 3)
    assert [tuple(parameter.shape) for parameter in words.parameters()] == [(4, 3)]
    assert torch.equal(words()[1:], words.weight)
    assert (words()[0] == 0).all()
    large = WordTable(1001, 100).weight
    assert 0.099 < large.std() < 0.101
    assert abs(large.mean()) < 0.001


def test_the_last_filled_place() -> None:
    words = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 2, 0], [1, 2, 3]])
    assert last_filled(words).tolist() == [0, 1, 2, 3]


def test_the_newest_sentence_has_age_one() -> None:
    ages = time_index(torch.tensor([3, 0, 4, 1]), 4)
    assert ages.tolist() == [[3, 2, 1, 0], [0, 0, 0, 0], [4, 3, 2, 1], [1, 0, 0, 0]]


def test_noisy_ages_are_ordered_with_gaps_only() -> None:
    lengths = torch.tensor([0, 1, 7, 30, 50]).repeat(200)
    ages = noisy_time_index(lengths, 50, 0.1, torch.Generator().manual_seed(0))
    assert ages.shape == (1000, 50)
    for row, length in zip(ages.tolist(), lengths.tolist(), strict=True):
        assert row[length:] == [0] * (50 - length)
        assert row[:length] == sorted(set(row[:length]), reverse=True)
        if length:
            assert row[length - 1] >= 1
            assert row[0] <= length + ceil(0.1 * length)
    oldest = ages[lengths == 50][:, 0]
    assert oldest.min() == 50
    assert oldest.max() == 55
    assert (ages[lengths == 1][:, 0] > 1).any()


def test_noisy_ages_have_the_published_distribution() -> None:
    """Blanks even on 0..ceil(noise n), then every choice of n among n + blanks alike."""
    n, most, draws = 3, 2, 20000
    lengths = torch.full((draws,), n)
    ages = noisy_time_index(lengths, 5, 0.5, torch.Generator().manual_seed(1))[:, :n]
    seen, counts = np.unique(ages.numpy(), axis=0, return_counts=True)
    share = {tuple(row): count / draws for row, count in zip(seen.tolist(), counts.tolist(), strict=True)}
    expected: dict[tuple[int, ...], float] = {}
    for blanks in range(most + 1):
        for chosen in combinations(range(n + blanks, 0, -1), n):
            expected[chosen] = expected.get(chosen, 0.0) + 1 / (most + 1) / comb(n + blanks, n)
    assert share.keys() == expected.keys()
    for chosen, probability in expected.items():
        assert abs(share[chosen] - probability) < 0.01


def test_noise_comes_from_the_generator_given() -> None:
    lengths = torch.tensor([50] * 4)
    one, same, other = (noisy_time_index(lengths, 50, 0.1, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(noisy_time_index(lengths, 60, 0.0), time_index(lengths, 60))


@pytest.mark.parametrize("most", [1, 2, 3, 5, 9])
def test_the_newest_sentences_are_kept(most: int) -> None:
    story, lengths = story_of(), torch.tensor([len(story) for story in STORIES])
    kept, left, index = keep_newest(story, lengths, most)
    for row, sentences in enumerate(STORIES):
        last = sentences[-most:]
        assert left[row] == len(last)
        assert [[word for word in words if word] for words in kept[row].tolist()][: len(last)] == last
        assert index[row, : len(last)].tolist() == list(range(len(sentences) - len(last), len(sentences)))
    assert kept.size(1) == min(most, 5)
