"""Questions with their stories: what a task gives a run to train on, to choose by and to be tested with."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from experiments.base.files import UserError
from tasks.babi import Example, Vocabulary, encode

# Questions by task (1..20), or by length of the world model's stories.
Tests: TypeAlias = Mapping[int, "Questions"]


class Questions(NamedTuple):
    """Questions with their stories, oldest sentence first, padded at the end with zeros.

    story:    (question, sentence, word) word numbers, int16 where they are kept, int64 where they are used.
    lengths:  (question,) sentences of each story.
    question: (question, word) as story.
    answer:   (question,) int64.
    """

    story: Tensor
    lengths: Tensor
    question: Tensor
    answer: Tensor

    def rows(self, index: Tensor | slice) -> "Questions":
        """Some of them, ready for a model and no longer than the longest story and sentence among them."""
        lengths = self.lengths[index]
        story, question = self.story[index, : int(lengths.max())], self.question[index]
        return Questions(_cut(story).long(), lengths, _cut(question).long(), self.answer[index])

    def to(self, device: torch.device | str) -> "Questions":
        """The same on another device."""
        return Questions(*(tensor.to(device) for tensor in self))


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What of a model follows from its data.

    vocab_size:    all words and nil.
    max_words:     of the longest sentence or question.
    max_sentences: of the longest training story (world model: of the longest test story).
    """

    vocab_size: int
    max_words: int
    max_sentences: int


@dataclasses.dataclass(frozen=True)
class StoryData:
    """What a run trains, chooses and is tested on.

    name:          where the stories are from: "bAbI 1k" (the released questions and nothing else), "generated 1k",
                   "files 1k" (others in the release's format) or "world model". Stands with every result.
    vocabulary:    all words, those of the test questions included, as in every published result.
    sizes:         of a model for it.
    draw:          makes so many training questions from a generator.
    train:         all training questions, None where every batch is new.
    valid, tests:  by task or length.
    new_updates:   where every batch is new, the updates that count as an epoch.
    """

    name: str
    vocabulary: Vocabulary
    sizes: Sizes
    draw: Callable[[int, torch.Generator], Questions]
    train: Questions | None
    valid: Tests
    tests: Tests
    new_updates: int = 0

    def epoch_updates(self, batch_size: int) -> int:
        """Updates of an epoch; UserError where a batch holds more than all questions."""
        if self.train is None:
            return self.new_updates
        if (questions := len(self.train.answer)) < batch_size:
            raise UserError(f"--batch-size {batch_size} is above the {questions} training questions")
        return questions // batch_size

    def digest(self) -> str:
        """The same for the same words and training questions, so that a run goes on with its own."""
        mixed = hashlib.sha256("\n".join(self.vocabulary.to_list()).encode())
        for tensor in self.train or ():
            mixed.update(tensor.numpy().tobytes())
        return mixed.hexdigest()[:16]


def encoded(examples: list[Example], vocabulary: Vocabulary, most: int | None, what: str) -> Questions:
    """Questions as numbers, of longer stories the last `most` sentences; UserError for words that there are not."""
    try:
        batch = encode(examples, vocabulary, max_sentences=most)
    except ValueError as error:
        raise UserError(f"{what}: {error}") from None
    short = torch.int16 if len(vocabulary) <= torch.iinfo(torch.int16).max else torch.int64
    return Questions(batch.story.to(short), batch.story_lengths, batch.question.to(short), batch.answer)


def _cut(words: Tensor) -> Tensor:
    """Without the last columns, as far as no sentence (..., word) has words there."""
    return words[..., : int(words.count_nonzero(-1).max())]


def joined(parts: list[Questions]) -> Questions:
    """All of them as one, each padded to the longest."""
    sentences = max(part.story.size(1) for part in parts)
    words = max(part.story.size(2) for part in parts)
    asked = max(part.question.size(1) for part in parts)
    return Questions(
        torch.cat(
            [
                functional.pad(part.story, (0, words - part.story.size(2), 0, sentences - part.story.size(1)))
                for part in parts
            ]
        ),
        torch.cat([part.lengths for part in parts]),
        torch.cat([functional.pad(part.question, (0, asked - part.question.size(1))) for part in parts]),
        torch.cat([part.answer for part in parts]),
    )
