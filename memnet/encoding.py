"""From words to vectors: word tables, bags of words, word positions and ages (Sukhbaatar et al. 2015, section 4.1).

Words are ids; 0 is the nil word, which fills sentences and stories up and is worth nothing. Stories are
(batch, sentence, word), oldest sentence first. Every encoding here gives a sentence the vector

    m_k = sum_j l_kj A_{x_j, k}        with weights l_kj = level_j + slope_j ramp_k

for a table A, where j = 1, 2, ... counts words and k = 1..d features.
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.native import bag
from memnet.settings import Described

Encoding: TypeAlias = Literal["bag-of-words", "position-paper", "position-facebook"]


class WordTable(Described):
    """A vector for every word but nil, whose row is zero because it has no weights.

    No gradient, noise or decay can move the nil word, as the original code achieves by zeroing its row after every
    update. Weights start from N(0, 0.1^2).

    num_words: ids 0..num_words - 1, nil included. width: features.
    """

    def __init__(self, num_words: int, width: int) -> None:
        super().__init__()
        self.num_words, self.width = num_words, width
        self.weight = nn.Parameter(torch.empty(num_words - 1, width).normal_(std=0.1))

    def forward(self) -> Tensor:
        """The whole table (num_words, width)."""
        return functional.pad(self.weight, (0, 0, 1, 0))


class PositionWeights(NamedTuple):
    """How much word j counts in feature k: l_kj = level_j + slope_j ramp_k.

    level: (..., word).
    slope: (..., word), or None for zero.
    ramp:  (width,).
    """

    level: Tensor
    slope: Tensor | None
    ramp: Tensor

    def table(self) -> Tensor:
        """The weights l_kj as (..., word, width)."""
        level = self.level.unsqueeze(-1)
        return level.expand(*self.level.shape, len(self.ramp)) if self.slope is None else level + self._sloped()

    def _sloped(self) -> Tensor:
        assert self.slope is not None
        return self.slope.unsqueeze(-1) * self.ramp


def bag_of_words(position: Tensor, width: int) -> PositionWeights:
    """Every word counts alike, l_kj = 1 (Sukhbaatar et al. 2015, section 4.1).

    position: (..., word), j = 1, 2, ...; its dtype is the result's.
    """
    return PositionWeights(torch.ones_like(position), None, position.new_zeros(width))


def paper_positions(position: Tensor, num_words: Tensor | int, width: int) -> PositionWeights:
    """The position encoding as printed (Sukhbaatar et al. 2015, section 4.1).

        l_kj = (1 - j / J) - (k / d) (1 - 2 j / J)

    position:  (..., word), j = 1, 2, ...; its dtype is the result's.
    num_words: J, the sentence's own number of words; broadcasts against position.
    width:     d.
    """
    share = position / num_words
    ramp = torch.arange(1, width + 1, dtype=position.dtype, device=position.device) / width
    return PositionWeights(1 - share, 2 * share - 1, ramp)


def facebook_positions(position: Tensor, num_words: int, width: int) -> PositionWeights:
    """The position encoding of the original code, which gave the published numbers.

        l_kj = 1 + 4 (k - (d + 1) / 2) (j - (J + 1) / 2) / (d J)

    position:  (..., word), j = 1, 2, ...; its dtype is the result's.
    num_words: J, the same for all sentences: the most words of any, and one more where sentences bear a time word.
    width:     d.
    """
    slope = 4 * (position - (num_words + 1) / 2) / (width * num_words)
    ramp = torch.arange(1, width + 1, dtype=position.dtype, device=position.device) - (width + 1) / 2
    return PositionWeights(torch.ones_like(position), slope, ramp)


def sentence_weights(
    words: Tensor, encoding: Encoding, *, width: int, max_words: int, times: bool, dtype: torch.dtype
) -> PositionWeights:
    """The weights of the words of sentences, the time word included.

    In the original code the time word stands at the very end, position J = max_words + 1, and is multiplied by the
    last column of l; sentences without one (questions) use the columns before it. In the paper's encoding J is the
    sentence's own length and the time vector is added as it is.

    words:     (..., word) ids; with times the last column holds time words.
    max_words: words of the longest sentence that the model reads.
    times:     whether the last column holds time words.
    Returns    weights of words' shape, or of its last axis alone.
    """
    columns = words.size(-1) - times
    position = torch.arange(1, columns + 1, dtype=dtype, device=words.device)
    if encoding == "position-paper":
        own_length = last_filled(words[..., :columns]).clamp_min(1).unsqueeze(-1)
        weights = paper_positions(position, own_length, width)
        if not times:
            return weights
        assert weights.slope is not None
        return PositionWeights(
            functional.pad(weights.level, (0, 1), value=1.0), functional.pad(weights.slope, (0, 1)), weights.ramp
        )
    if times:
        position = functional.pad(position, (0, 1), value=max_words + 1)
    if encoding == "bag-of-words":
        return bag_of_words(position, width)
    return facebook_positions(position, max_words + 1, width)


@lru_cache(64)
def weights_by_length(
    encoding: Encoding, *, width: int, columns: int, max_words: int, times: bool, dtype: torch.dtype
) -> Tensor:
    """The weights l_kj of sentences as (kind, word, width): a kind for every length 1..columns, or one for all.

    columns: words of a sentence, without the time word. The others: see sentence_weights. Returns them on the CPU.
    """
    filled = torch.ones(columns, columns, dtype=torch.int64, device="cpu").tril()
    words = functional.pad(filled, (0, int(times)), value=1)
    table = sentence_weights(words, encoding, width=width, max_words=max_words, times=times, dtype=dtype).table()
    return table.expand(-1 if table.dim() > 2 else 1, *table.shape[-2:]).contiguous()


class Sentences:
    """Sentences that any word table can turn into vectors: the plain definition, which looks every word up.

    words:   (..., word) ids.
    weights: of words' shape or of its last axis alone.
    """

    def __init__(self, words: Tensor, weights: PositionWeights) -> None:
        self.words, self.weights = words, weights

    @cached_property
    def _factors(self) -> Tensor:
        return self.weights.table()

    def prepare_all(self, tables: Sequence[Tensor]) -> list[Tensor]:
        """`prepare` for several tables of one size."""
        return [self.prepare(table) for table in tables]

    def prepare(self, table: Tensor) -> Tensor:
        """What the methods below want of a table (num_words, width)."""
        return table

    def vectors(self, prepared: Tensor) -> Tensor:
        """The sentences' vectors, sum_j l_j A_{x_j}: (..., width)."""
        return (functional.embedding(self.words, prepared) * self._factors).sum(-2)

    def score(self, prepared: Tensor, query: Tensor) -> Tensor:
        """The dot product of every sentence's vector with query (batch, width): (batch, sentence)."""
        return (self.vectors(prepared) @ query.unsqueeze(-1)).squeeze(-1)

    def blend(self, prepared: Tensor, shares: Tensor) -> Tensor:
        """The sum of the sentences' vectors, shares (batch, sentence) of each: (batch, width)."""
        return (shares.unsqueeze(-2) @ self.vectors(prepared)).squeeze(-2)


class NativeSentences(Sentences):
    """Sentences whose vectors are computed once for all tables, for calls that native.bag.refusal allows.

    What is prepared are the vectors.
    """

    def prepare_all(self, tables: Sequence[Tensor]) -> list[Tensor]:
        return bag.word_bags(self.words, tables, self._factors)

    def prepare(self, table: Tensor) -> Tensor:
        return self.prepare_all([table])[0]

    def vectors(self, prepared: Tensor) -> Tensor:
        return prepared


class CountedSentences(Sentences):
    """Sentences as counts of words, for small vocabularies: the same results, and no vector for every sentence.

    As l_kj = level_j + slope_j ramp_k, a sentence's vector is n A + (t A) ramp, where n holds the summed levels of
    each word and t the summed slopes. With all rows [n, t] as a matrix N, and T = [A; A ramp], scores are N (T u) and
    blends (p N) T: batch x sentence x 2 num_words numbers to go through, whatever the width.
    """

    def __init__(self, words: Tensor, weights: PositionWeights, num_words: int) -> None:
        super().__init__(words, weights)
        columns, shares = [words], [weights.level]
        if weights.slope is not None:
            columns.append(words + num_words)
            shares.append(weights.slope)
        counts = weights.level.new_zeros(*words.shape[:-1], len(columns) * num_words)
        share = torch.cat([one.expand_as(words) for one in shares], -1)
        self.counts = counts.scatter_add(-1, torch.cat(columns, -1), share)

    def prepare(self, table: Tensor) -> Tensor:
        return table if self.weights.slope is None else torch.cat([table, table * self.weights.ramp])

    def vectors(self, prepared: Tensor) -> Tensor:
        return self.counts @ prepared

    def score(self, prepared: Tensor, query: Tensor) -> Tensor:
        return (self.counts @ (query @ prepared.mT).unsqueeze(-1)).squeeze(-1)

    def blend(self, prepared: Tensor, shares: Tensor) -> Tensor:
        return (shares.unsqueeze(-2) @ self.counts).squeeze(-2) @ prepared


def last_filled(words: Tensor) -> Tensor:
    """Position (from 1) of the last entry along the last axis that is not nil; 0 where there is none."""
    position = torch.arange(1, words.size(-1) + 1, device=words.device)
    return torch.where(words > 0, position, 0).amax(-1)


def time_index(story_lengths: Tensor, num_sentences: int) -> Tensor:
    """The age of every sentence: 1 for the newest, story_lengths for the oldest, 0 after the end.

    story_lengths: (batch,). Returns (batch, num_sentences) integers.
    """
    sentence = torch.arange(num_sentences, device=story_lengths.device)
    return (story_lengths.unsqueeze(-1) - sentence).clamp_min(0)


class TimeNoise(NamedTuple):
    """What noisy ages are made of, numbers evenly from 0..1.

    blanks: (batch, 1). draws: (batch, age), room for the most ages that there can be.
    """

    blanks: Tensor
    draws: Tensor


def draw_time_noise(
    story_lengths: Tensor, num_sentences: int, noise: float, generator: torch.Generator | None = None
) -> TimeNoise:
    """For `noisy_ages` of the same arguments."""
    columns = num_sentences + int(-(-noise * num_sentences // 1))
    blanks, draws = (
        torch.rand(*story_lengths.shape, count, generator=generator, device=story_lengths.device)
        for count in (1, columns)
    )
    return TimeNoise(blanks, draws)


def noisy_ages(story_lengths: Tensor, num_sentences: int, noise: float, drawn: TimeNoise) -> Tensor:
    """What noisy_time_index gives of these numbers."""
    rows, columns = story_lengths.unsqueeze(-1), drawn.draws.size(-1)
    most = (noise * rows.double()).ceil()
    blanks = (drawn.blanks * (most + 1)).floor()
    draws = drawn.draws.masked_fill(torch.arange(columns, device=rows.device) >= rows + blanks, 2.0)
    ages = draws.argsort(stable=True)[..., :num_sentences] + 1
    kept = torch.arange(num_sentences, device=rows.device) < rows
    return torch.where(kept, ages, 0).sort(-1, descending=True).values


def noisy_time_index(
    story_lengths: Tensor, num_sentences: int, noise: float, generator: torch.Generator | None = None
) -> Tensor:
    """Ages stretched at random: the random noise in time (Sukhbaatar et al. 2015, section 4.1).

    For a story of n sentences a number b is drawn evenly from 0..ceil(noise n), and n of the ages 1..n + b are
    taken at random, in order. No sentence is added: only the ages have gaps.

    story_lengths: (batch,). Returns (batch, num_sentences) integers, 0 after the end; up to n + ceil(noise n).
    """
    drawn = draw_time_noise(story_lengths, num_sentences, noise, generator)
    return noisy_ages(story_lengths, num_sentences, noise, drawn)


def keep_newest(story: Tensor, story_lengths: Tensor, max_sentences: int) -> tuple[Tensor, Tensor, Tensor]:
    """The last max_sentences sentences of every story.

    Returns the story (batch, sentence, word), its lengths (batch,), and for every sentence its index in the story
    given (batch, sentence).
    """
    index = newest_index(story_lengths, story.size(1), max_sentences)
    if story.size(1) > max_sentences:
        story = story.gather(1, index.unsqueeze(-1).expand(-1, -1, story.size(-1)))
    return story, story_lengths.clamp_max(max_sentences), index


def newest_index(story_lengths: Tensor, num_sentences: int, max_sentences: int) -> Tensor:
    """Where the last max_sentences sentences of stories with room for num_sentences stand: (batch, sentence)."""
    dropped = (story_lengths - max_sentences).clamp_min(0).unsqueeze(-1)
    return dropped + torch.arange(min(num_sentences, max_sentences), device=story_lengths.device)


def spread_sentences(kept: Tensor, index: Tensor, num_sentences: int) -> Tensor:
    """Put what belongs to the sentences kept at their places in the story: the way back from keep_newest.

    kept:  (batch, sentence, ...). index: (batch, sentence) from keep_newest.
    Returns (batch, num_sentences, ...), zero elsewhere.
    """
    places = index.view(*index.shape, *[1] * (kept.dim() - 2)).expand_as(kept)
    whole = kept.new_zeros(kept.size(0), max(num_sentences, kept.size(1)), *kept.shape[2:])
    return whole.scatter(1, places, kept)[:, :num_sentences]
