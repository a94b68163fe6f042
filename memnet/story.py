"""What every model that reads stories shares: one interface, checked at the door."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from memnet.checks import check_lengths, check_sizes, check_tensor, values_known
from memnet.encoding import last_filled
from memnet.pretrained import Pretrained
from memnet.trace import Part, StoryTrace


class Story(NamedTuple):
    """A checked batch: nil after every story's end, and at least one sentence wide.

    story:    (batch, sentence, word) word ids.
    question: (batch, word) word ids.
    lengths:  (batch,) sentences of each story.
    """

    story: Tensor
    question: Tensor
    lengths: Tensor


class Answered(NamedTuple):
    """The trace of a model of stories that tells nothing but its answer.

    logits: what forward returns. parts: none.
    """

    logits: Tensor
    parts: Sequence[Part] = ()


class StoryModel(Pretrained):
    """A model that reads a story, hears a question and scores every word of the vocabulary as its answer.

    Its forward takes

        story:         (batch, sentence, word) int64 ids, oldest sentence first, 0 (nil) where there is no word;
                       padding stands at the end of sentences and stories.
        question:      (batch, word) int64 ids.
        story_lengths: (batch,) integers, sentences of each story; None counts up to the last sentence that has a
                       word. Whatever stands after them is not read. A story may be empty.

    and returns logits (batch, vocab_size), column 0 being nil. Wrong shapes, dtypes, devices, ids and lengths raise
    ValueError, naming both sides, and what is no tensor TypeError.

    vocab_size: words with nil, so that ids are 0..vocab_size - 1; at least 2.
    max_words:  words of the longest sentence or question that can be read; None for any.

    Attribute validate: look at all ids and lengths before use. Set it to False inside torch.vmap over data, which
    cannot look at values; torch.export leaves the look out by itself.
    """

    def __init__(self, vocab_size: int, max_words: int | None = None) -> None:
        super().__init__()
        check_sizes(2, vocab_size=vocab_size)
        if max_words is not None:
            check_sizes(max_words=max_words)
        self.vocab_size, self.max_words = vocab_size, max_words
        self.validate = True

    def trace(self, story: Tensor, question: Tensor, *, story_lengths: Tensor | None = None) -> StoryTrace:
        """Run as forward does and keep what was looked at; here nothing."""
        return Answered(self(story, question, story_lengths=story_lengths))

    def read(self, story: Tensor, question: Tensor, story_lengths: Tensor | None) -> Story:
        """Check the arguments of forward and bring them into one form."""
        story, question, lengths = self.accept(story, question, story_lengths)
        if lengths is None:
            return Story(story, question, last_filled(story.amax(-1)))
        return Story(without_rest(story, lengths), question, lengths)

    def accept(
        self, story: Tensor, question: Tensor, story_lengths: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Check the arguments of forward, and leave out what is too wide; words after a story's end may be left."""
        self._check_shapes(story, question)
        if story_lengths is not None:
            story_lengths = check_lengths("story_lengths", story_lengths, story, story.size(1), look=self.validate)
        if self.validate and values_known():
            self._check_values(story, question)
        if 0 in story.shape[1:]:
            story = story.new_zeros(story.size(0), max(story.size(1), 1), 1)
        return story[..., : self.max_words], question[..., : self.max_words], story_lengths

    def _check_shapes(self, story: Tensor, question: Tensor) -> None:
        device = next(self.parameters()).device
        for name, ids, axes in (("story", story, ("sentence", "word")), ("question", question, ("word",))):
            check_tensor(name, ids, f"of int64 (batch, {', '.join(axes)})")
            if ids.dim() != 1 + len(axes) or ids.dtype != torch.int64:
                raise ValueError(f"{name} must be int64 (batch, {', '.join(axes)}), not {ids.dtype} {tuple(ids.shape)}")
            if ids.device != device:
                raise ValueError(f"{name} is on {ids.device}, the model on {device}")
        if story.size(0) == 0 or question.size(0) != story.size(0):
            raise ValueError(
                f"story and question must be of the same batch of at least one, not {story.size(0)} and "
                f"{question.size(0)}"
            )
        if question.size(1) == 0:
            raise ValueError("question must have room for at least one word, not 0")

    def _check_values(self, story: Tensor, question: Tensor) -> None:
        for name, ids in (("story", story), ("question", question)):
            if ids.numel() == 0:
                continue
            low, high = int(ids.min()), int(ids.max())
            if low < 0 or high >= self.vocab_size:
                raise ValueError(f"{name} must hold ids 0..{self.vocab_size - 1}, not {low}..{high}")
            if self.max_words is not None and ids.size(-1) > self.max_words:
                words = int(last_filled(ids).max())
                if words > self.max_words:
                    raise ValueError(f"{name} must have at most {self.max_words} words a sentence, not {words}")


def without_rest(story: Tensor, lengths: Tensor) -> Tensor:
    """Stories (batch, sentence, word) with nil after their ends."""
    past = torch.arange(story.size(1), device=story.device) >= lengths.unsqueeze(-1)
    return story.masked_fill(past.unsqueeze(-1), 0)
