"""End-to-end memory networks (Sukhbaatar et al. 2015, arXiv 1503.08895)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.checks import check_choice, check_sizes, values_known
from memnet.encoding import (
    CountedSentences,
    Encoding,
    NativeSentences,
    Sentences,
    WordTable,
    keep_newest,
    noisy_time_index,
    sentence_weights,
    spread_sentences,
    time_index,
)
from memnet.functional.addressing import attention_weights
from memnet.native import bag, hops
from memnet.sequence import BackendModule
from memnet.story import StoryModel
from memnet.trace import Part

Tying: TypeAlias = Literal["adjacent", "layerwise"]


class MemN2NTrace(NamedTuple):
    """A MemN2N watched hop by hop, for pictures.

    logits:    what forward returns.
    attention: (batch, hop, sentence), p of eq. 1 for the sentences of the story as it was given: zero for those that
               the memory was too short for, and where empty slots count their share is missing from the sum.
    queries:   (batch, hop + 1, width), u before the first hop and after every hop.
    linear:    whether the attention is of a linear start: scores without a softmax, which are no weightings.
    """

    logits: Tensor
    attention: Tensor
    queries: Tensor
    linear: bool = False

    @property
    def parts(self) -> list[Part]:
        """The attention, see memnet.trace."""
        return [Part("signal" if self.linear else "read", "", self.attention, ("hop", "sentence"))]


class MemN2N(StoryModel, BackendModule):
    """Several hops of attention over the sentences of a story.

        p_i = softmax(u . m_i)             eq. 1, over sentences; m_i = sum_j l_j A x_ij, time word included
        o = sum_i p_i c_i                  eq. 2, c_i as m_i with table C
        answer = softmax(W (u + o))        eq. 3; forward returns the logits
        u' = u + o                         eq. 4, from hop to hop; H u + o where tied layer by layer

    The defaults are those of the published single-task results (position encoding, linear start, random noise).

    vocab_size, max_words: see StoryModel. In the original code max_words is that of the training file, questions
                     included, and shapes the position encoding.
    embedding_size:  d.
    num_hops:        K.
    tying:           "adjacent": K + 1 tables, where A of a hop is C of the one before, the first A embeds the question
                     and the last C is W; "layerwise": one A, one C and one H for all hops, B and W apart.
    encoding:        "bag-of-words", "position-paper" or "position-facebook" (the published numbers), see encoding.py.
    max_sentences:   slots of the memory; of a longer story the last sentences are kept. The original takes the longest
                     story of the training file, at most 50.
    time_noise:      random noise in time while training: up to this share of gaps among the ages of sentences.
    nonlinearity:    "relu" after every hop (the single-task 10k results), or None.
    mask_empty:      False: empty slots have score zero and take their part of the softmax (the original code);
                     True: only sentences are looked at. A story without sentences reads o = 0 either way.
    score_times:     append a logit for every time word, as the original code's softmax has them, which changes
                     training a little: logits are then (batch, vocab_size + max_sentences).

    Attribute linear_start: leave the softmax out of eq. 1, for the first phase of training (section 4.1); it may be
    set at any time and is no part of the weights.
    Attribute counted: whether sentences are read as counts of words or word by word, see CountedSentences; the results
    are the same. At first it is what takes fewer numbers.
    Attribute backend: see BackendModule; "native" is for the vectors of sentences, whatever `counted` is, and for
    the hops.
    """

    linear_start = False

    def __init__(
        self,
        vocab_size: int,
        *,
        max_words: int,
        embedding_size: int = 20,
        num_hops: int = 3,
        tying: Tying = "adjacent",
        encoding: Encoding = "position-facebook",
        max_sentences: int = 50,
        time_noise: float = 0.1,
        nonlinearity: Literal["relu"] | None = None,
        mask_empty: bool = False,
        score_times: bool = False,
    ) -> None:
        super().__init__(vocab_size, max_words)
        check_sizes(embedding_size=embedding_size, num_hops=num_hops, max_sentences=max_sentences)
        check_choice("tying", tying, Tying)
        check_choice("encoding", encoding, Encoding)
        if nonlinearity not in (None, "relu"):
            raise ValueError(f'nonlinearity must be "relu" or None, not {nonlinearity!r}')
        if not 0 <= time_noise <= 1:
            raise ValueError(f"time_noise must be 0..1, not {time_noise}")
        self.embedding_size, self.num_hops, self.max_sentences = embedding_size, num_hops, max_sentences
        self.tying, self.encoding = tying, encoding
        self.time_noise, self.nonlinearity = time_noise, nonlinearity
        self.mask_empty, self.score_times = mask_empty, score_times
        self.num_words = vocab_size + max_sentences
        self.counted = self.num_words <= (max_words + 1) * embedding_size

        tables = num_hops + 1 if tying == "adjacent" else 2
        self.embeddings = nn.ModuleList(WordTable(self.num_words, embedding_size) for _ in range(tables))
        self.question: WordTable | None = None
        self.answer: WordTable | None = None
        self.update: nn.Parameter | None = None
        if tying == "layerwise":
            self.question = WordTable(vocab_size, embedding_size)
            self.answer = WordTable(self.num_words if score_times else vocab_size, embedding_size)
            self.update = nn.Parameter(torch.empty(embedding_size, embedding_size).normal_(std=0.1))

    def forward(
        self,
        story: Tensor,
        question: Tensor,
        *,
        story_lengths: Tensor | None = None,
        times: Tensor | None = None,
    ) -> Tensor:
        """Logits (batch, vocab_size) for the answer.

        story, question, story_lengths: see StoryModel.
        times: (batch, sentence) ages from 1 (the newest) to max_sentences, 0 where there is no sentence, for as many
               sentences as the memory keeps; None draws them by draw_times.
        """
        return self._hops(story, question, story_lengths, times)[0]

    def trace(
        self,
        story: Tensor,
        question: Tensor,
        *,
        story_lengths: Tensor | None = None,
        times: Tensor | None = None,
    ) -> MemN2NTrace:
        """Run as forward does and keep where every hop looked."""
        logits, attention, queries, index = self._hops(story, question, story_lengths, times)
        by_sentence = spread_sentences(torch.stack(list(attention), -1), index, story.size(1))
        return MemN2NTrace(logits, by_sentence.transpose(1, 2), torch.stack(list(queries), 1), self.linear_start)

    def draw_times(self, story_lengths: Tensor, num_sentences: int, generator: torch.Generator | None = None) -> Tensor:
        """Ages (batch, sentence) of the sentences in memory; random while training, if there is noise.

        story_lengths: (batch,) sentences in memory, at most max_sentences.
        num_sentences: size of the result's second axis.
        """
        if self.training and self.time_noise > 0:
            times = noisy_time_index(story_lengths, num_sentences, self.time_noise, generator)
            return times.clamp_max(self.max_sentences)
        return time_index(story_lengths, num_sentences)

    def _hops(
        self, story: Tensor, question: Tensor, story_lengths: Tensor | None, times: Tensor | None
    ) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor], Tensor]:
        self._choose_backend(lambda: self._native_refusal(story))
        story, question, lengths = self.read(story, question, story_lengths)
        story, lengths, index = keep_newest(story, lengths, self.max_sentences)
        if times is None:
            times = self.draw_times(lengths, story.size(1))
        else:
            self._check_times(times, story.shape[:2])
        present = torch.arange(story.size(1), device=story.device) < lengths.unsqueeze(-1)
        time_words = torch.where(present & (times > 0), times + (self.vocab_size - 1), 0)
        sentences = self._sentences(torch.cat([story, time_words.unsqueeze(-1)], -1), self.num_words, times=True)
        tables = [table() for table in self.embeddings]
        query = self._asked(question, tables[0])
        look = self._look_natively if self.backend_used == "native" else self._look
        attention, queries = look(sentences, tables, query, lengths)
        answers = tables[-1] if self.answer is None else self.answer()
        scored = self.num_words if self.score_times else self.vocab_size
        return functional.linear(queries[-1], answers[:scored]), attention, [query, *queries], index

    def _look(
        self, sentences: Sentences, tables: Sequence[Tensor], query: Tensor, lengths: Tensor
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """p and the new u of every hop."""
        prepared = sentences.prepare_all(tables)
        present = torch.arange(sentences.words.size(1), device=query.device) < lengths.unsqueeze(-1)
        empty = self._empty(lengths)
        attention, queries = [], []
        for key, value in self._hop_tables:
            scores = sentences.score(prepared[key], query)
            weights = scores if self.linear_start else attention_weights(scores, present, empty)
            carried = query if self.update is None else functional.linear(query, self.update)
            query = carried + sentences.blend(prepared[value], weights)
            if self.nonlinearity == "relu":
                query = torch.relu(query)
            attention.append(weights)
            queries.append(query)
        return attention, queries

    def _look_natively(
        self, sentences: Sentences, tables: Sequence[Tensor], query: Tensor, lengths: Tensor
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """What _look gives, as one operator."""
        queries, attention = hops.hops(
            query,
            sentences.prepare_all(tables),
            self._hop_tables,
            lengths,
            self._empty(lengths),
            self.update,
            linear=self.linear_start,
            relu=self.nonlinearity == "relu",
        )
        return attention.unbind(1), queries.unbind(1)

    def _native_refusal(self, story: Tensor) -> str | None:
        parameters = list(self.parameters())
        return bag.refusal(story, *parameters) or hops.refusal(*parameters)

    def _empty(self, lengths: Tensor) -> Tensor:
        """Slots without a sentence that take part in the softmax."""
        return torch.zeros_like(lengths) if self.mask_empty else self.max_sentences - lengths

    def _check_times(self, times: Tensor, shape: torch.Size) -> None:
        if times.shape != shape or times.dtype != torch.int64:
            raise ValueError(f"times must be int64 {tuple(shape)}, not {times.dtype} {tuple(times.shape)}")
        look = self.validate and values_known() and times.numel() > 0
        if look and not 0 <= int(times.min()) <= int(times.max()) <= self.max_sentences:
            raise ValueError(f"times must be 0..{self.max_sentences}, not {int(times.min())}..{int(times.max())}")

    @property
    def _hop_tables(self) -> list[tuple[int, int]]:
        """Which tables are A and C of every hop."""
        return list(pairwise(range(self.num_hops + 1))) if self.tying == "adjacent" else [(0, 1)] * self.num_hops

    def _asked(self, question: Tensor, first: Tensor) -> Tensor:
        """u before the first hop: the question by table B."""
        table = first if self.question is None else self.question()
        sentence = self._sentences(question, table.size(0), times=False)
        return sentence.vectors(sentence.prepare(table))

    def _sentences(self, words: Tensor, num_words: int, *, times: bool) -> Sentences:
        assert self.max_words is not None
        weights = sentence_weights(
            words,
            self.encoding,
            width=self.embedding_size,
            max_words=self.max_words,
            times=times,
            dtype=next(self.parameters()).dtype,
        )
        if self.backend_used == "native":
            return NativeSentences(words, weights)
        return CountedSentences(words, weights, num_words) if self.counted else Sentences(words, weights)
