"""Greedy decoding, beam search and drawing words, beside enumerating everything."""

import itertools
import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from memnet import beam_search, greedy, sampled
from memnet.decoding import Decoded


class History(NamedTuple):
    """A row's number, and a number for the words before."""

    row: Tensor
    code: Tensor


class Chances:
    """A model without structure: the logits after every history are drawn apart."""

    def __init__(self, vocabulary: int, seed: int) -> None:
        self.vocabulary = vocabulary
        self.table = 2 * torch.randn(3, 400, vocabulary, generator=torch.Generator().manual_seed(seed)).double()

    def start(self) -> History:
        return History(torch.arange(3), torch.zeros(3, dtype=torch.int64))

    def step(self, words: Tensor, state: History) -> tuple[Tensor, History]:
        code = state.code * self.vocabulary + words + 1
        return self.table[state.row, code], History(state.row, code)

    def everything(self, row: int, max_words: int) -> list[tuple[float, tuple[int, ...]]]:
        """All sequences with their log-probabilities: those that end within max_words words, the others cut there."""
        found = []
        for count in range(max_words + 1):
            for words in itertools.product(range(1, self.vocabulary), repeat=count):
                spoken = [*words, 0] if count < max_words else list(words)
                total, state, last = 0.0, History(torch.tensor([row]), torch.tensor([0])), 0
                for word in spoken:
                    logits, state = self.step(torch.tensor([last]), state)
                    chances = [math.exp(one) for one in logits[0].tolist()]
                    total += math.log(chances[word] / sum(chances))
                    last = word
                found.append((total, words))
        return found


@pytest.mark.parametrize("normalization", ["none", "length"])
@pytest.mark.parametrize("seed", range(3))
def test_a_beam_as_wide_as_there_are_sequences_is_exact(seed: int, normalization: str) -> None:
    model, longest = Chances(3, seed), 4
    every = [model.everything(row, longest) for row in range(3)]
    wide = len(every[0])
    found = beam_search(
        model.step,
        model.start(),
        beam=wide,
        max_words=longest,
        normalization=normalization,  # type: ignore[arg-type]
    )
    for row in range(3):

        def score(one: tuple[float, tuple[int, ...]]) -> float:
            total, words = one
            return total / min(len(words) + 1, longest) if normalization == "length" else total

        expected = sorted(every[row], key=score, reverse=True)
        given = [tuple(word for word in words if word) for words in found.words[row].tolist()]
        assert given == [words for _, words in expected]
        torch.testing.assert_close(found.score[row], torch.tensor([score(one) for one in expected]).double())
        torch.testing.assert_close(found.log_probability[row], torch.tensor([one for one, _ in expected]).double())
    assert found.log_probability.exp().sum(1).tolist() == pytest.approx([1, 1, 1])


def slow_beam(model: Chances, row: int, beam: int, longest: int) -> list[tuple[float, tuple[int, ...]]]:
    """Beam search in words: every sequence is continued in every way, and the likeliest stay."""
    kept: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for _ in range(longest):
        found = []
        for total, words in kept:
            if words and words[-1] == 0:
                found.append((total, words))
                continue
            state = History(torch.tensor([row]), torch.tensor([0]))
            for word in (0, *words):
                logits, state = model.step(torch.tensor([word]), state)
            chances = [math.exp(one) for one in logits[0].tolist()]
            found += [(total + math.log(one / sum(chances)), (*words, word)) for word, one in enumerate(chances)]
        kept = sorted(found, reverse=True)[:beam]
    return [(total, tuple(word for word in words if word)) for total, words in kept]


@pytest.mark.parametrize("beam", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_a_narrow_beam_is_that_of_a_slow_search(seed: int, beam: int) -> None:
    model = Chances(4, seed)
    found = beam_search(model.step, model.start(), beam=beam, max_words=4)
    for row in range(3):
        expected = slow_beam(model, row, beam, 4)
        given = [tuple(word for word in words if word) for words in found.words[row].tolist()]
        assert given == [words for _, words in expected]
        assert found.log_probability[row].tolist() == pytest.approx([total for total, _ in expected])


@pytest.mark.parametrize("normalization", ["none", "length"])
@pytest.mark.parametrize("seed", range(10))
def test_a_beam_of_one_is_greedy(seed: int, normalization: str) -> None:
    model = Chances(4, seed)
    one = greedy(model.step, model.start(), max_words=4)
    other = beam_search(
        model.step,
        model.start(),
        beam=1,
        max_words=4,
        normalization=normalization,  # type: ignore[arg-type]
    )
    assert torch.equal(one.words, other.words)
    torch.testing.assert_close(one.log_probability, other.log_probability)


def test_greedy_takes_the_likeliest_word_and_stops_at_its_end() -> None:
    model = Chances(3, 5)
    found = greedy(model.step, model.start(), max_words=4)
    for row in range(3):
        state, last, expected = History(torch.tensor([row]), torch.tensor([0])), 0, list[int]()
        while len(expected) < 4 and (last or not expected):
            logits, state = model.step(torch.tensor([last]), state)
            last = int(logits.argmax())
            expected.append(last)
        words = found.words[row, 0].tolist()
        assert words[: len(expected)] == expected
        assert not any(words[len(expected) :])


@pytest.mark.parametrize("normalization", ["none", "length"])
def test_each_row_has_a_limit_of_its_own(normalization: str) -> None:
    model, limits = Chances(4, 3), [1, 4, 2]

    def search(limit: int | Tensor) -> list[Decoded]:
        wide = beam_search(model.step, model.start(), beam=3, max_words=limit, normalization=normalization)  # type: ignore[arg-type]
        return [greedy(model.step, model.start(), max_words=limit), wide]

    together = search(torch.tensor(limits))
    for row, limit in enumerate(limits):
        for found, alone in zip(together, search(limit), strict=True):
            width = min(found.words.size(2), alone.words.size(2))
            assert torch.equal(found.words[row, :, :width], alone.words[row, :, :width])
            assert not found.words[row, :, width:].any()
            assert not alone.words[row, :, width:].any()
            assert found.score[row].tolist() == alone.score[row].tolist()


def test_the_beam_does_not_lose_what_has_ended() -> None:
    model = Chances(4, 1)
    for beam in (2, 3, 5):
        found = beam_search(model.step, model.start(), beam=beam, max_words=4)
        for row in range(3):
            every = {words: total for total, words in model.everything(row, 4)}
            given = [tuple(word for word in words if word) for words in found.words[row].tolist()]
            assert len(set(given)) == beam
            for words, total in zip(given, found.log_probability[row].tolist(), strict=True):
                assert every[words] == pytest.approx(total)
            assert found.score[row].tolist() == sorted(found.score[row].tolist(), reverse=True)


def test_places_without_a_sequence_have_no_probability() -> None:
    model = Chances(2, 0)
    found = beam_search(model.step, model.start(), beam=4, max_words=1)
    assert found.log_probability.isfinite().sum(1).tolist() == [2, 2, 2]
    assert (found.log_probability[:, 2:] == -torch.inf).all()


class Same(Chances):
    """Many rows of the first one."""

    def start(self) -> History:
        return History(torch.zeros(4000, dtype=torch.int64), torch.zeros(4000, dtype=torch.int64))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_sequences_are_drawn_by_their_chances(temperature: float) -> None:
    model = Same(3, 2)
    # So the chances of everything are those at the temperature, as logits are logarithms up to a constant.
    generator = torch.Generator().manual_seed(0)
    words = sampled(model.step, model.start(), max_words=2, generator=generator, temperature=temperature)
    model.table /= temperature
    drawn = [tuple(word for word in row if word) for row in words.tolist()]
    for total, sequence in model.everything(0, 2):
        chance = math.exp(total)
        spread = math.sqrt(chance * (1 - chance) / len(drawn))
        assert abs(drawn.count(sequence) / len(drawn) - chance) < 4 * spread + 1e-9, sequence
    # After the end of a sequence there is nothing.
    assert not words[words[:, 0] == 0].any()


def test_a_small_temperature_is_greedy() -> None:
    model = Chances(4, 1)
    words = sampled(
        model.step, model.start(), max_words=3, generator=torch.Generator().manual_seed(0), temperature=1e-9
    )
    expected = greedy(model.step, model.start(), max_words=3).words[:, 0]
    assert words.tolist() == expected.tolist()


def test_bad_arguments_are_named() -> None:
    model = Chances(3, 0)
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=f"temperature must be above 0, not {wrong}"):
            sampled(model.step, model.start(), max_words=1, generator=torch.Generator(), temperature=wrong)
    with pytest.raises(ValueError, match="beam must be at least 1, not 0"):
        beam_search(model.step, model.start(), beam=0, max_words=4)
    with pytest.raises(ValueError, match="max_words must be at least 1, not 0"):
        greedy(model.step, model.start(), max_words=0)
    with pytest.raises(ValueError, match=r"max_words must be int64 \(3,\), not torch.int64 \(2,\)"):
        greedy(model.step, model.start(), max_words=torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="normalization must be one of none, length, not 'words'"):
        beam_search(model.step, model.start(), beam=1, max_words=4, normalization="words")  # type: ignore[arg-type]
