"""Stories as tensors: sentence by sentence for memory networks, word by word for sequence models."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..common import check_count
from .stories import Example

NIL = "<nil>"  # padding, number 0
UNKNOWN = "<unknown>"  # any word that is not in the vocabulary, number 1 where there is such an entry
READINGS = ("one-class", "words")


class Vocabulary:
    """Words and their numbers. 0 is nil, the padding.

    words: in the order of their numbers, from 1 (from 2 with `unknown`).
    unknown: whether a word that is not among them gets a number of its own; otherwise it is an error.
    ValueError for a word that comes twice.
    """

    def __init__(self, words: Iterable[str], *, unknown: bool = False) -> None:
        self.words = (NIL, *([UNKNOWN] if unknown else []), *words)
        self.unknown = unknown
        self._numbers = {word: number for number, word in enumerate(self.words)}
        if len(self._numbers) < len(self.words):
            twice = next(word for k, word in enumerate(self.words) if self._numbers[word] != k)
            raise ValueError(f"the word {twice!r} comes twice in the vocabulary")

    @classmethod
    def of(cls, examples: Iterable[Example], *, answers: str = "one-class", unknown: bool = False) -> "Vocabulary":
        """All words of facts, questions and answers, in alphabetical order; `answers` as in `encode`."""
        check_reading(answers)
        words: set[str] = set()
        for example in examples:
            words.update(*example.facts, example.question, answer_words(example.answer, answers))
        return cls(sorted(words), unknown=unknown)

    def __len__(self) -> int:
        """How many numbers there are, nil included."""
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._numbers

    def number(self, word: str) -> int:
        """ValueError, naming the word, if it is not known and nothing stands for unknown words."""
        number = self._numbers.get(word)
        if number is not None:
            return number
        if self.unknown:
            return self._numbers[UNKNOWN]
        raise ValueError(f"the word {word!r} is not in the vocabulary")

    def answer_number(self, answer: str) -> int:
        """As `number`, but an unknown answer is always an error."""
        if answer not in self._numbers:
            raise ValueError(f"the answer {answer!r} is not in the vocabulary: it was never seen in training")
        return self._numbers[answer]

    def to_list(self) -> list[str]:
        """For JSON; each word stands at its number."""
        return list(self.words)

    @classmethod
    def from_list(cls, words: Sequence[str]) -> "Vocabulary":
        """The inverse of `to_list`. ValueError for anything else."""
        if not words or words[0] != NIL or not all(isinstance(word, str) for word in words):
            raise ValueError(f"no vocabulary: a list of words that starts with {NIL!r} was expected")
        unknown = words[1:2] == [UNKNOWN]
        return cls(words[2 if unknown else 1 :], unknown=unknown)


class StoryBatch(NamedTuple):
    """Stories with a question each, padded at the end with zeros.

    story:         (batch, sentence, word) int64, oldest sentence first
    story_lengths: (batch,) int64, the number of sentences of each row
    question:      (batch, word) int64
    answer:        (batch,) int64, one number an answer; in the reading "words" (batch, slot), one a word
    supports:      (batch, sentence) bool, true for the facts that give the answer
    """

    story: Tensor
    story_lengths: Tensor
    question: Tensor
    answer: Tensor
    supports: Tensor

    def to(self, device: torch.device | str) -> "StoryBatch":
        """The same batch on another device."""
        return StoryBatch(*(tensor.to(device) for tensor in self))

    def rows(self, index: Tensor) -> "StoryBatch":
        """The rows with these numbers, or those where a bool tensor is true; the padding stays."""
        return StoryBatch(*(tensor[index] for tensor in self))


class WordSequence(NamedTuple):
    """A story and its question word by word, padded at the end with zeros.

    words:   (batch, time) int64: the story's words, the question's, and 0 for each slot of an answer of words
    targets: (batch, time) int64, the answer where it is due and 0 elsewhere: at the question's last word, or, in
             the reading "words", one word a slot after it
    lengths: (batch,) int64, the number of steps of each row
    """

    words: Tensor
    targets: Tensor
    lengths: Tensor


def encode(
    examples: Sequence[Example],
    vocabulary: Vocabulary,
    *,
    answers: str = "one-class",
    max_sentences: int | None = None,
) -> StoryBatch:
    """Number the words of some examples.

    answers: "one-class" takes "apple,milk" as one entry of the vocabulary, as the original memory networks do;
        "words" as two, as the DNC does (a question then counts as right if all its words are). They differ in
        tasks 8 and 19 only, and errors under one are not comparable to those under the other.
    max_sentences: keep the last so many of each story.

    ValueError for no examples, a question without facts before it, and words that the vocabulary lacks.
    """
    check_reading(answers)
    if not examples:
        raise ValueError("there are no examples to encode")
    if max_sentences is not None:
        check_count("max_sentences", max_sentences)
    rows: dict[tuple[str, ...], int] = {(): 0}  # every sentence is numbered once; 0 is padding
    index: list[list[int]] = []
    marks: list[tuple[int, int]] = []
    for k, example in enumerate(examples):
        if not example.facts:
            raise ValueError(f"there are no facts before the question {' '.join(example.question)!r}")
        first = max(0, len(example.facts) - max_sentences) if max_sentences else 0
        index.append([rows.setdefault(fact, len(rows)) for fact in example.facts[first:]])
        marks += [(k, fact - first) for fact in example.supports if fact >= first]
    lengths = torch.tensor([len(row) for row in index])
    sentences = pad([[vocabulary.number(word) for word in sentence] for sentence in rows])
    supports = torch.zeros(len(index), int(lengths.max()), dtype=torch.bool)
    if marks:
        supports[tuple(torch.tensor(marks).T)] = True
    right = [[vocabulary.answer_number(word) for word in answer_words(one.answer, answers)] for one in examples]
    return StoryBatch(
        story=sentences[pad(index)],
        story_lengths=lengths,
        question=pad([[vocabulary.number(word) for word in example.question] for example in examples]),
        answer=pad(right).squeeze(1) if answers == "one-class" else pad(right),
        supports=supports,
    )


def word_sequence(batch: StoryBatch) -> WordSequence:
    """The same batch for a model that reads one word a step."""
    slots = batch.answer if batch.answer.dim() == 2 else batch.question[:, :0]
    words = torch.cat([batch.story.flatten(1), batch.question, torch.zeros_like(slots)], dim=1)
    targets = torch.zeros_like(words)
    targets[:, words.shape[1] - slots.shape[1] :] = slots
    real = (words != 0) | (targets != 0)
    lengths = real.sum(dim=1)
    # A stable sort moves the padding between sentences to the end.
    order = real.logical_not().to(torch.uint8).argsort(dim=1, stable=True)[:, : int(lengths.max())]
    words, targets = words.gather(1, order), targets.gather(1, order)
    if batch.answer.dim() == 1:
        targets.scatter_(1, lengths.unsqueeze(1) - 1, batch.answer.unsqueeze(1))
    return WordSequence(words, targets, lengths)


def answer_words(answer: str, answers: str) -> tuple[str, ...]:
    return tuple(answer.split(",")) if answers == "words" else (answer,)


def check_reading(answers: str) -> None:
    if answers not in READINGS:
        raise ValueError(f"answers must be one of {', '.join(READINGS)}, got {answers!r}")


def pad(rows: Sequence[Sequence[int]]) -> Tensor:
    """(row, column) int64 with zeros behind each row."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.int64)
