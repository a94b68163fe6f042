"""From a configuration to sentences and their translations, as text and as numbers."""

import dataclasses
import hashlib
import random
import sys
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from experiments.base.files import UserError
from experiments.base.progress import working
from experiments.base.ragged import Ragged, like_lengths
from experiments.domains.translation.config import TranslateConfig
from tasks.babi import NIL, UNKNOWN, Vocabulary
from tasks.translation import Languages, Pair, parted, read_parallel, read_tabbed

# As a Vocabulary with an entry for unknown words has it.
UNKNOWN_NUMBER = 1
# Words that a model reads at once, and that every translation may have beyond its sentence's share.
MOST, SPARE = 16_384, 10


@dataclasses.dataclass(frozen=True)
class Words:
    """What of a model follows from its training sentences.

    source, target: the words of each language; those that training never saw are all one, unknown.
    growth:         words of a translation for one of its sentence, at the most: twice the share of 99 in 100 pairs.
    """

    source: Vocabulary
    target: Vocabulary
    growth: float

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> "Words":
        """Those of the training sentences. UserError for a word that stands for something else here."""
        sides = [sorted({word for pair in pairs for word in pair[side].split()}) for side in (0, 1)]
        for word in (NIL, UNKNOWN):
            if any(word in side for side in sides):
                raise UserError(
                    f"the sentences hold the word {word!r}, which stands for no word, or an unknown one, here"
                )
        source, target = (Vocabulary(side, unknown=True) for side in sides)
        shares = sorted(len(pair.target.split()) / len(pair.source.split()) for pair in pairs)
        return cls(source, target, 2 * shares[len(shares) * 99 // 100])

    def most_words(self, lengths: Tensor) -> Tensor:
        """Words after which translations of sentences of these lengths are cut."""
        return (self.growth * lengths).long() + SPARE

    def to_lists(self) -> dict[str, list[str]]:
        """The words of each language in the order of their numbers, for JSON."""
        return {"source": self.source.to_list(), "target": self.target.to_list()}


@dataclasses.dataclass(frozen=True)
class Sentences:
    """Pairs of sentences as text and as numbers."""

    pairs: Sequence[Pair]
    source: Ragged
    target: Ragged

    @classmethod
    def of(cls, pairs: Sequence[Pair], words: Words) -> "Sentences":
        """The pairs in the numbers of these words."""
        source = Ragged.of([[words.source.number(word) for word in pair.source.split()] for pair in pairs])
        target = Ragged.of([[words.target.number(word) for word in pair.target.split()] for pair in pairs])
        return cls(pairs, source, target)

    def groups(self, index: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Source and target of some of them, (sentence, word) int64 with 0 after a sentence's end.

        In groups of like length, so that one long sentence costs no more than its own; nearly always a single one.
        """
        longest = torch.maximum(self.source.lengths[index], self.target.lengths[index] + 1)
        for group in like_lengths(longest, MOST):
            yield self.source.padded(index[group]), self.target.padded(index[group])

    def __len__(self) -> int:
        return len(self.pairs)


@dataclasses.dataclass(frozen=True)
class TranslationData:
    """What a run is trained, validated and tested on; no source sentence is in two of them.

    name: see TranslateConfig.data_name.
    """

    name: str
    words: Words
    train: Sentences
    valid: Sentences
    test: Sentences

    def digest(self) -> str:
        """The same for the same training sentences, so that a run goes on with its own."""
        return hashlib.sha256("\n".join("\t".join(pair) for pair in self.train.pairs).encode()).hexdigest()[:16]


@working("reading the sentences")
def load_data(config: TranslateConfig) -> TranslationData:
    """The sentences of a configuration. UserError for files that cannot be used, or more sentences than there are."""
    try:
        train, valid, test = _from_files(config) if config.own_files else _invented(config)
    except ValueError as error:
        raise UserError(str(error)) from None
    words = Words.of(train)
    parts = (Sentences.of(pairs, words) for pairs in (train, valid, test))
    return TranslationData(config.data_name, words, *parts)


@working("drawing new sentences")
def more_tests(config: TranslateConfig, data: TranslationData, lengths: Sequence[int], count: int) -> Sentences:
    """So many new sentences of the invented languages of each length, none of them in the run's own data."""
    known = {pair.source for part in (data.train, data.valid, data.test) for pair in part.pairs}
    dice, languages = random.Random(f"more tests {config.data_seed}"), Languages(config.data_seed)
    try:
        pairs = [pair for length in lengths for pair in languages.pairs(count, length=length, dice=dice, known=known)]
    except ValueError as error:
        raise UserError(str(error)) from None
    return Sentences.of(pairs, data.words)


def _invented(config: TranslateConfig) -> tuple[list[Pair], list[Pair], list[Pair]]:
    languages, dice = Languages(config.data_seed), random.Random(f"sentences {config.data_seed}")
    known = set[str]()
    lengths = config.min_length, config.max_length
    # Of short sentences there are few: the tests, which need some of each length, come first.
    test = [
        pair
        for length in range(lengths[0], lengths[1] + 1)
        for pair in languages.pairs(config.test_sentences, length=length, dice=dice, known=known)
    ]
    valid = languages.pairs(config.valid_sentences, length=lengths, dice=dice, known=known)
    return languages.pairs(config.sentences, length=lengths, dice=dice, known=known), valid, test


def _from_files(config: TranslateConfig) -> tuple[list[Pair], list[Pair], list[Pair]]:
    if config.parallel is not None:
        pairs = read_tabbed(config.parallel, tell=_tell)
    else:
        assert config.source is not None
        assert config.target is not None
        pairs = read_parallel(config.source, config.target)
    kept = [pair for pair in pairs if max(len(side.split()) for side in pair) <= config.most_words]
    if left_out := len(pairs) - len(kept):
        told = f"{left_out:,} of {len(pairs):,} pairs have a sentence of more than --most-words {config.most_words}"
        if not kept:
            raise UserError(f"{config.data_name}: {told}, none is left")
        _tell(f"{told} and are left out")
    train, valid, test = parted(kept, valid=config.valid_sentences, test=config.test_sentences, seed=config.data_seed)
    return train, valid, test


def _tell(remark: str) -> None:
    print(remark, file=sys.stderr)
