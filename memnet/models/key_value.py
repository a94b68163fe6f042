"""Key-value memories (Miller et al. 2016, arXiv 1606.03126): what is matched and what is read are two vectors."""

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.checks import check_choice, check_sizes
from memnet.encoding import (
    Encoding,
    NativeSentences,
    Sentences,
    WordTable,
    keep_newest,
    sentence_weights,
    spread_sentences,
    time_index,
)
from memnet.functional.addressing import attention_weights
from memnet.native import bag
from memnet.pretrained import Pretrained
from memnet.sequence import BackendModule
from memnet.story import StoryModel
from memnet.trace import Part

Memories: TypeAlias = Literal["sentence", "window"]
Tables: TypeAlias = Literal["shared", "separate"]


def address_keys(query: Tensor, keys: Tensor, present: Tensor) -> Tensor:
    """Key addressing (Miller et al. 2016, section 3.1).

        p_i = softmax(q . k_i)             over the slots that are present

    query:   (batch, width).
    keys:    (batch, slot, width).
    present: (batch, slot) bool.
    Returns  (batch, slot), sums to one, or to zero where no slot is present.
    """
    scores = (keys @ query.unsqueeze(-1)).squeeze(-1)
    return attention_weights(scores, present, torch.zeros_like(present[..., 0], dtype=torch.int64))


def read_values(weights: Tensor, values: Tensor) -> Tensor:
    """Value reading (Miller et al. 2016, section 3.1).

        o = sum_i p_i v_i

    weights: (batch, slot).
    values:  (batch, slot, width).
    Returns  (batch, width).
    """
    return (weights.unsqueeze(-2) @ values).squeeze(-2)


class KeyValueRead(NamedTuple):
    """What a key-value memory gave.

    query:     (batch, width), the query after the last hop.
    reads:     (batch, hop, width), o of every hop.
    attention: (batch, hop, slot), p of every hop.
    """

    query: Tensor
    reads: Tensor
    attention: Tensor


class KeyValueMemory(Pretrained):
    """A differentiable key-value store that knows no text: ask, read, ask again.

        q' = R_j (q + o)                   after hop j (Miller et al. 2016, section 3.1)

    Every R_j starts as the identity, so that an untrained store adds up what it reads; the paper leaves this open.

    width:    features of queries, keys and values.
    num_hops: reads, each with an R_j of its own.
    """

    def __init__(self, width: int, *, num_hops: int = 2) -> None:
        super().__init__()
        check_sizes(width=width, num_hops=num_hops)
        self.width, self.num_hops = width, num_hops
        self.rotations = nn.ParameterList(torch.eye(width) for _ in range(num_hops))

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, present: Tensor | None = None) -> KeyValueRead:
        """Read num_hops times.

        query:   (batch, width).
        keys, values: (batch, slot, width).
        present: (batch, slot) bool, slots that hold something; None for all. Where there is none, o = 0.
        Raises   ValueError for shapes that do not fit.
        """
        if query.dim() != 2 or query.size(-1) != self.width:
            raise ValueError(f"query must be (batch, {self.width}), not {tuple(query.shape)}")
        if keys.dim() != 3 or (keys.size(0), keys.size(-1)) != query.shape:
            raise ValueError(f"keys must be ({query.size(0)}, slot, {self.width}), not {tuple(keys.shape)}")
        if values.shape != keys.shape:
            raise ValueError(f"values must be {tuple(keys.shape)} as keys, not {tuple(values.shape)}")
        if present is None:
            present = torch.ones(keys.shape[:-1], dtype=torch.bool, device=keys.device)
        elif present.shape != keys.shape[:-1] or present.dtype != torch.bool:
            raise ValueError(
                f"present must be bool {tuple(keys.shape[:-1])}, not {present.dtype} {tuple(present.shape)}"
            )
        attention, reads = [], []
        for rotation in self.rotations:
            weights = address_keys(query, keys, present)
            read = read_values(weights, values)
            query = functional.linear(query + read, rotation)
            attention.append(weights)
            reads.append(read)
        return KeyValueRead(query, torch.stack(reads, 1), torch.stack(attention, 1))


class KeyValueTrace(NamedTuple):
    """A KeyValueMemoryNetwork watched hop by hop, for pictures.

    logits:    what forward returns.
    attention: (batch, hop, sentence) for the sentences of the story as it was given; of windows, their sum over the
               sentence's words.
    words:     (batch, hop, sentence, word), the attention on each word's window, or None where memories are sentences.
    """

    logits: Tensor
    attention: Tensor
    words: Tensor | None

    @property
    def parts(self) -> list[Part]:
        """The attention, and of windows its shares by word, see memnet.trace."""
        found = [Part("read", "", self.attention, ("hop", "sentence"))]
        if self.words is not None:
            found.append(Part("signal", "attention by word", self.words, ("hop", "sentence", "word")))
        return found


class KeyValueMemoryNetwork(StoryModel, BackendModule):
    """A key-value memory over a story.

        q = A x, k_i = A key_i, v_i = A value_i, answers B y        (Miller et al. 2016, section 3.1)

    vocab_size, max_words: see StoryModel.
    embedding_size: width of words and slots. num_hops: see KeyValueMemory.
    memories:      what a slot holds (section 3.2). "sentence": key and value are both the sentence;
                   "window": one slot for every word, the key being the `window` words around it, the value the word.
    window:        words in a window, an odd number, the centre included (7 in the paper's best results; from
                   2 max_words - 1 on, every window is its whole sentence).
    encoding:      of sentences and questions, see encoding.py; windows are bags of words.
    tables:        "shared": one A embeds questions, keys, values and answers (the original's experiments);
                   "separate": keys and questions by one table, values by another, answers by a third.
    max_sentences: the last sentences of a longer story are kept.
    times:         add to keys and values a vector for the sentence's age, without which order cannot be seen. The
                   paper's data needs none.
    Attribute backend: see BackendModule; "native" is for the vectors of sentences and windows.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        max_words: int,
        embedding_size: int = 50,
        num_hops: int = 2,
        memories: Memories = "sentence",
        window: int = 7,
        encoding: Encoding = "position-facebook",
        tables: Tables = "separate",
        max_sentences: int = 50,
        times: bool = True,
    ) -> None:
        super().__init__(vocab_size, max_words)
        check_sizes(embedding_size=embedding_size, max_sentences=max_sentences, window=window)
        check_choice("memories", memories, Memories)
        check_choice("encoding", encoding, Encoding)
        check_choice("tables", tables, Tables)
        if window % 2 == 0:
            raise ValueError(f"window must be odd, not {window}")
        self.embedding_size, self.max_sentences = embedding_size, max_sentences
        self.memories, self.window, self.encoding = memories, window, encoding
        self.tables, self.times = tables, times
        self.memory = KeyValueMemory(embedding_size, num_hops=num_hops)
        self.words = nn.ModuleList(WordTable(vocab_size, embedding_size) for _ in range(1 if tables == "shared" else 3))
        self.ages = (
            nn.ModuleList(WordTable(max_sentences + 1, embedding_size) for _ in range(1 if tables == "shared" else 2))
            if times
            else None
        )

    def forward(self, story: Tensor, question: Tensor, *, story_lengths: Tensor | None = None) -> Tensor:
        """Logits (batch, vocab_size) for the answer; arguments as for StoryModel."""
        return self._answer(story, question, story_lengths)[0]

    def trace(self, story: Tensor, question: Tensor, *, story_lengths: Tensor | None = None) -> KeyValueTrace:
        """Run as forward does and keep where every hop looked."""
        logits, read, index = self._answer(story, question, story_lengths)
        kept = read.attention.unflatten(2, (index.size(1), -1))
        whole = spread_sentences(kept.transpose(1, 2), index, story.size(1)).transpose(1, 2)
        by_word = functional.pad(whole, (0, story.size(2) - whole.size(3)))
        return KeyValueTrace(logits, whole.sum(-1), by_word if self.memories == "window" else None)

    def _answer(
        self, story: Tensor, question: Tensor, story_lengths: Tensor | None
    ) -> tuple[Tensor, KeyValueRead, Tensor]:
        self._choose_backend(lambda: bag.refusal(story, *self.parameters()))
        story, question, lengths = self.read(story, question, story_lengths)
        story, lengths, index = keep_newest(story, lengths, self.max_sentences)
        tables = [table() for table in self.words]
        key_table, value_table, answers = tables * 3 if self.tables == "shared" else tables
        keys, values, present = self._slots(story, lengths, key_table, value_table)
        (query,) = self._encoded(question, key_table)
        read = self.memory(query, keys, values, present)
        return functional.linear(read.query, answers), read, index

    def _slots(
        self, story: Tensor, lengths: Tensor, key_table: Tensor, value_table: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Keys and values (batch, slot, width) and which slots there are (batch, slot), sentence after sentence."""
        ages = time_index(lengths, story.size(1))
        if self.memories == "sentence":
            present = ages > 0
            keys, values = self._encoded(story, key_table, value_table)
        else:
            present = (story > 0).flatten(1)
            windows = functional.pad(story, (self.window // 2, self.window // 2)).unfold(-1, self.window, 1)
            keys = self._added_up(windows, key_table).flatten(1, 2)
            values = functional.embedding(story, value_table).flatten(1, 2)
            ages = ages.repeat_interleave(story.size(-1), 1)
        if self.ages is not None:
            tables = [table() for table in self.ages]
            keys = keys + functional.embedding(ages, tables[0])
            values = values + functional.embedding(ages, tables[-1])
        return keys, values, present

    def _encoded(self, words: Tensor, *tables: Tensor) -> list[Tensor]:
        """The vectors of sentences by every table."""
        assert self.max_words is not None
        dtype = tables[0].dtype
        weights = sentence_weights(
            words, self.encoding, width=self.embedding_size, max_words=self.max_words, times=False, dtype=dtype
        )
        sentences = NativeSentences(words, weights) if self.backend_used == "native" else Sentences(words, weights)
        return [sentences.vectors(prepared) for prepared in sentences.prepare_all(tables)]

    def _added_up(self, words: Tensor, table: Tensor) -> Tensor:
        """The vectors of words (..., word), added up."""
        if self.backend_used == "native":
            return bag.word_bags(words, [table], table.new_ones(words.size(-1), table.size(-1)))[0]
        return functional.embedding(words, table).sum(-2)
