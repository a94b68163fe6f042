"""From a configuration to sentences and their translations, as text and as numbers."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from experiments.base.files import UserError
from tasks.babi import NIL, UNKNOWN, Vocabulary
from tasks.translation import Pair


class Ragged(NamedTuple):
    """Rows of numbers, one after the other.

    values: (number,) all of them, int64. starts: (row + 1,) where each row begins, and where the last one ends.
    """

    values: Tensor
    starts: Tensor

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> "Ragged":
        """These rows."""
        starts = torch.tensor([0, *map(len, rows)]).cumsum(0)
        return cls(torch.tensor([number for row in rows for number in row], dtype=torch.int64), starts)

    @property
    def lengths(self) -> Tensor:
        """Numbers of each row, (row,)."""
        return self.starts.diff()

    def padded(self, index: Tensor) -> Tensor:
        """Some rows (row, column), with zeros behind each up to the longest of them."""
        begin = self.starts[index]
        lengths = self.starts[index + 1] - begin
        columns = torch.arange(int(lengths.max()))
        real = columns < lengths.unsqueeze(1)
        found = torch.zeros(real.shape, dtype=torch.int64)
        found[real] = self.values[(begin.unsqueeze(1) + columns)[real]]
        return found


def like_lengths(lengths: Tensor, most: int) -> list[Tensor]:
    """The numbers of rows of these lengths (row,) in groups that hold at most so many numbers when they are padded.

    A longer row is alone. Where all rows fit they are one group, in their order; else the shortest come first.
    """
    if len(lengths) * int(lengths.max()) <= most:
        return [torch.arange(len(lengths))]
    order = lengths.argsort(stable=True)
    groups, first = list[Tensor](), 0
    for place, length in enumerate(lengths[order].tolist()):
        if place > first and (place + 1 - first) * length > most:
            groups.append(order[first:place])
            first = place
    return [*groups, order[first:]]


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

    name: where the sentences are from.
    """

    name: str
    words: Words
    train: Sentences
    valid: Sentences
    test: Sentences

    def digest(self) -> str:
        """The same for the same training sentences, so that a run goes on with its own."""
        return hashlib.sha256("\n".join("\t".join(pair) for pair in self.train.pairs).encode()).hexdigest()[:16]
