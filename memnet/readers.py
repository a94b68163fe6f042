"""Sequence models at other work: they read stories and answer, read tokens, or foretell the next symbol of a text."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.checks import check_choice, values_known
from memnet.pretrained import Pretrained
from memnet.sequence import Backend, SequenceModule
from memnet.state import State
from memnet.story import StoryModel
from memnet.trace import Part, SequenceTrace

Embedding: TypeAlias = Literal["one-hot", "learned", "tied"]


class StoryReaderTrace(NamedTuple):
    """A StoryReader watched word by word, for pictures.

    logits:   what forward returns.
    words:    (batch, time) what was read: the story's words, the question's, and 0 for the question mark at the end
              and for padding after it.
    lengths:  (batch,) steps of each row, the question mark included.
    sequence: what the sequence model's own trace returned, such as an NTMTrace or a RecurrentTrace.
    """

    logits: Tensor
    words: Tensor
    lengths: Tensor
    sequence: SequenceTrace

    @property
    def parts(self) -> Sequence[Part]:
        """Those of the sequence model, a step of time a word, see memnet.trace."""
        return self.sequence.parts

    @property
    def names(self) -> dict[str, Tensor]:
        """What was heard at each step, see memnet.trace.AnyTrace."""
        steps = torch.arange(self.words.size(1), device=self.words.device)
        return {"time": self.words.masked_fill(steps >= self.lengths.unsqueeze(1), -1)}


class _FedWithIds(Pretrained):
    """Feeds ids to a sequence model.

    One-hot vectors, learned vectors, or tied ones: the rows of the readout's weight, by which the symbol of a vector is
    foretold (Press & Wolf 2017, arXiv 1608.05859).
    """

    sequence: SequenceModule
    embedding: nn.Parameter | None
    vocab_size: int

    def _feed(self, sequence: SequenceModule, vocab_size: int, embedding: Embedding) -> None:
        check_choice("embedding", embedding, Embedding)
        rows, width = sequence.readout.weight.shape
        if embedding == "one-hot" and sequence.input_size != vocab_size:
            raise ValueError(
                f"one-hot vectors need an input_size of vocab_size {vocab_size}, not {sequence.input_size}"
            )
        if embedding == "tied" and rows != vocab_size:
            raise ValueError(f"tied vectors need an output_size of vocab_size {vocab_size}, not {rows}")
        if embedding == "tied" and sequence.input_size != width:
            raise ValueError(
                f"tied vectors need an input_size of the readout's width {width}, not {sequence.input_size}"
            )
        self.sequence, self.vocab_size, self._tied = sequence, vocab_size, embedding == "tied"
        learned = torch.randn(vocab_size, sequence.input_size) if embedding == "learned" else None
        self.embedding = None if learned is None else nn.Parameter(learned)

    @property
    def backend(self) -> Backend:
        """How the sequence model's steps run, see RecurrentModule."""
        return self.sequence.backend

    @backend.setter
    def backend(self, value: Backend) -> None:
        self.sequence.backend = value

    def embed(self, ids: Tensor) -> Tensor:
        """What the sequence model gets for ids: (..., input_size)."""
        if self._tied:
            return functional.embedding(ids, self.sequence.readout.weight)
        if self.embedding is None:
            return functional.one_hot(ids, self.vocab_size).to(self.sequence.readout.weight.dtype)
        return functional.embedding(ids, self.embedding)


class StoryReader(StoryModel, _FedWithIds):
    """Any sequence model as a model of stories.

    It reads the words of all sentences in order, then the question's, then a question mark, and its output at the
    question mark is the answer. Nils are left out; the question mark is fed as id 0, which no word has.

    sequence:  the model; its output_size must be vocab_size.
    vocab_size: see StoryModel.
    embedding: "one-hot" (the DNC paper's runs of NTM and LSTM): the model's input_size must be vocab_size;
               "learned": a vector for every word and the question mark, as wide as the model's input_size, from
               N(0, 1); "tied": that by which the word is answered, so that input_size is what the readout sees.
    Raises     ValueError where model and vocabulary cannot be combined.

    The length of a batch depends on its values, so torch.vmap may run over the weights, not over the data.
    """

    def __init__(self, sequence: SequenceModule, vocab_size: int, *, embedding: Embedding = "learned") -> None:
        super().__init__(vocab_size)
        if not isinstance(sequence, SequenceModule):
            raise ValueError(
                f"a StoryReader reads with a sequence model (NTM, LSTM, GRU, RNN), not with a "
                f"{type(sequence).__name__}; models of stories read them by themselves"
            )
        if sequence.output_size != vocab_size:
            raise ValueError(
                f"the sequence model's output_size must be vocab_size {vocab_size}, not {sequence.output_size}"
            )
        self._feed(sequence, vocab_size, embedding)

    def forward(self, story: Tensor, question: Tensor, *, story_lengths: Tensor | None = None) -> Tensor:
        """Logits (batch, vocab_size) for the answer; arguments as for StoryModel."""
        words, lengths = self.stream(story, question, story_lengths)
        # Without lengths no step has to hold back rows that are through; what they go on to say is not used.
        output, _ = self.sequence(self.embed(words))
        return _last(output, lengths)

    def trace(self, story: Tensor, question: Tensor, *, story_lengths: Tensor | None = None) -> StoryReaderTrace:
        """Run as forward does and keep what the sequence model did at every word."""
        words, lengths = self.stream(story, question, story_lengths)
        watched = self.sequence.trace(self.embed(words), lengths=lengths)
        return StoryReaderTrace(_last(watched.output, lengths), words, lengths, watched)

    def stream(self, story: Tensor, question: Tensor, story_lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What is read, one word a step: ids (batch, time), 0 for question mark and padding, and lengths (batch,)."""
        story, question, _ = self.read(story, question, story_lengths)
        words = functional.pad(torch.cat([story.flatten(1), question], 1), (0, 1))
        real = words > 0
        lengths = real.sum(1) + 1
        longest = int(lengths.max()) if values_known() else words.size(1)
        order = (~real).to(torch.uint8).argsort(dim=1, stable=True)[:, :longest]
        return words.gather(1, order), lengths


def _last(output: Tensor, lengths: Tensor) -> Tensor:
    """The output at each row's last step: (batch, time, feature) to (batch, feature)."""
    last = (lengths - 1).view(-1, 1, 1).expand(-1, -1, output.size(-1))
    return output.gather(1, last).squeeze(1)


class TokenReader(_FedWithIds):
    """Any sequence model as a reader of tokens, which it answers by classes.

    sequence:   the model; its output_size is the number of classes.
    vocab_size: the number of tokens.
    embedding:  "one-hot": the model's input_size must be vocab_size;
                "learned": a vector for every token, as wide as the model's input_size, from N(0, 1);
                "tied": that by which the token is answered, where classes are tokens.
    Raises      ValueError where they cannot be combined.
    """

    def __init__(self, sequence: SequenceModule, vocab_size: int, *, embedding: Embedding = "learned") -> None:
        super().__init__()
        self._feed(sequence, vocab_size, embedding)

    def forward(
        self,
        tokens: Tensor,
        state: State | None = None,
        *,
        lengths: Tensor | None = None,
        scored: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Read tokens, or the next chunk of them.

        tokens: (batch, time) int64, 0..vocab_size - 1.
        state, lengths, scored: see SequenceModule.forward.
        Returns logits (batch, time, class), with scored (step, class), and the state.
        """
        logits, state = self.sequence(self.embed(tokens), state, lengths=lengths, scored=scored)
        return logits, state

    def trace(self, tokens: Tensor, state: State | None = None, *, lengths: Tensor | None = None) -> SequenceTrace:
        """Run as forward does and keep what the sequence model did at every token."""
        return self.sequence.trace(self.embed(tokens), state, lengths=lengths)


class LanguageModel(TokenReader):
    """Any sequence model as a model of text: it reads symbols (characters, say) and foretells each next one.

        P(x_(t+1) = k | x_1 .. x_t) = softmax(output_t)_k

    sequence:  the model; its output_size is the number of symbols.
    embedding: "one-hot": the model's input_size must be the number of symbols, too;
               "learned": a vector for every symbol, as wide as the model's input_size, from N(0, 1);
               "tied": that by which the symbol is foretold, so that input_size is what the readout sees.
    Raises     ValueError where they cannot be combined.
    """

    def __init__(self, sequence: SequenceModule, *, embedding: Embedding = "one-hot") -> None:
        super().__init__(sequence, sequence.output_size, embedding=embedding)
