"""End-to-end memory networks (Sukhbaatar et al. 2015, arXiv 1503.08895)."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.checks import check_choice, check_sizes, overrides, values_known
from memnet.encoding import (
    CountedSentences,
    Encoding,
    Sentences,
    WordTable,
    draw_time_noise,
    keep_newest,
    newest_index,
    noisy_ages,
    sentence_weights,
    spread_sentences,
    time_index,
    weights_by_length,
)
from memnet.functional.addressing import attention_weights
from memnet.native import memn2n as native
from memnet.sequence import BackendModule
from memnet.story import StoryModel, without_rest
from memnet.trace import Part
from memnet.unroll import hooked

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
    Attribute counted: whether "eager" reads sentences as counts of words or word by word, see CountedSentences; the
    results are the same. At first it is what takes fewer numbers.
    Attribute backend: see BackendModule; "native" is all of it, from words to logits.
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
        return self._answer(story, question, story_lengths, times)[0]

    def trace(
        self,
        story: Tensor,
        question: Tensor,
        *,
        story_lengths: Tensor | None = None,
        times: Tensor | None = None,
    ) -> MemN2NTrace:
        """Run as forward does and keep where every hop looked."""
        logits, queries, attention, lengths = self._answer(story, question, story_lengths, times)
        index = newest_index(lengths, max(story.size(1), 1), self.max_sentences)
        by_sentence = spread_sentences(attention.mT, index, story.size(1))
        return MemN2NTrace(logits, by_sentence.mT, queries, self.linear_start)

    def answer_copies(
        self, story: Tensor, story_lengths: Tensor, question: Tensor, times: Tensor | None = None
    ) -> Tensor | None:
        """Logits (copy, batch, vocab_size) by several copies of the model as one computation, natively.

        Every parameter has an axis for the copy in front. Arguments are those of forward, with that axis in front or
        for all copies alike; no ages are drawn.
        Returns None where the native step does not cover it, which backend_refusal tells.
        """
        weights = self._weights()
        reason = "it runs no hooks" if hooked(self) else self._native_refusal(story, weights, "forward", "_answer")
        if self._choose_backend(lambda: reason) != "native":
            return None
        lead = story.shape[:-3]
        rows, asked, lengths = self.accept(*(one.flatten(0, len(lead)) for one in (story, question, story_lengths)))
        assert lengths is not None
        rows, asked, lengths = (one.unflatten(0, (*lead, -1)) for one in (rows, asked, lengths))
        return self._answer_natively(native.Reading(rows, asked, lengths, times), weights)[0]

    def draw_times(self, story_lengths: Tensor, num_sentences: int, generator: torch.Generator | None = None) -> Tensor:
        """Ages (batch, sentence) of the sentences in memory; random while training, if there is noise.

        story_lengths: (batch,) sentences in memory, at most max_sentences.
        num_sentences: size of the result's second axis.
        """
        if not self._draws_ages:
            return time_index(story_lengths, num_sentences)
        drawn = draw_time_noise(story_lengths, num_sentences, self.time_noise, generator)
        given = (story_lengths, num_sentences, self.time_noise)
        if self.backend in ("auto", "native") and native.refusal([], [story_lengths], drawn, own=True) is None:
            return native.noisy_ages(*given, *drawn, oldest=self.max_sentences)
        return noisy_ages(*given, drawn).clamp_max(self.max_sentences)

    @property
    def _draws_ages(self) -> bool:
        return self.training and self.time_noise > 0

    def _answer(
        self, story: Tensor, question: Tensor, story_lengths: Tensor | None, times: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits, queries (batch, hop + 1, width), attention (batch, hop, slot) and how long the stories are."""
        weights = self._weights()
        if self._choose_backend(lambda: self._native_refusal(story, weights)) == "native":
            story, question, given = self.accept(story, question, story_lengths)
            lengths = native.count_sentences(story, weights.embeddings[0].dtype) if given is None else given
            slots = min(story.size(1), self.max_sentences)
            if times is not None:
                self._check_times(times, (story.size(0), slots))
            elif self._draws_ages:
                kept = lengths if slots == story.size(1) else lengths.clamp_max(slots)
                times = self.draw_times(kept, slots)
            return *self._answer_natively(native.Reading(story, question, lengths, times), weights), lengths
        story, question, lengths = self.read(story, question, story_lengths)
        newest, kept, _ = keep_newest(story, lengths, self.max_sentences)
        if times is None:
            times = self.draw_times(kept, newest.size(1))
        else:
            self._check_times(times, newest.shape[:2])
        tables = weights._replace(
            embeddings=[table() for table in self.embeddings],
            question=None if self.question is None else self.question(),
            answer=None if self.answer is None else self.answer(),
        )
        read = native.Reading(newest, question, kept, times)
        return *self._answer_plainly(read, tables, linear=self.linear_start), lengths

    def _answer_plainly(
        self, read: native.Reading, tables: native.Weights, *, linear: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, queries and attention.

        read: no more than the memory's slots, with ages. tables: with a row for nil.
        """
        story, question, lengths, times = read
        assert times is not None
        present = torch.arange(story.size(1), device=story.device) < lengths.unsqueeze(-1)
        time_words = torch.where(present & (times > 0), times + (self.vocab_size - 1), 0)
        first, last = tables.embeddings[0], tables.embeddings[-1]
        words = torch.cat([story, time_words.unsqueeze(-1)], -1)
        sentences = self._sentences(words, first, times=True)
        asking = first if tables.question is None else tables.question
        asked = self._sentences(question, asking, times=False)
        query = asked.vectors(asked.prepare(asking))
        prepared = sentences.prepare_all(tables.embeddings)
        empty = torch.zeros_like(lengths) if self.mask_empty else self.max_sentences - lengths
        attention, queries = [], [query]
        for key, value in self._hop_tables:
            scores = sentences.score(prepared[key], query)
            shares = scores if linear else attention_weights(scores, present, empty)
            carried = query if tables.update is None else functional.linear(query, tables.update)
            query = carried + sentences.blend(prepared[value], shares)
            if self.nonlinearity == "relu":
                query = torch.relu(query)
            attention.append(shares)
            queries.append(query)
        answers = last if tables.answer is None else tables.answer
        return functional.linear(query, answers[: self._scored]), torch.stack(queries, 1), torch.stack(attention, 1)

    def _answer_natively(self, read: native.Reading, weights: native.Weights) -> tuple[Tensor, Tensor, Tensor]:
        """What _answer_plainly gives, for copies of weights, too.

        read: whole stories, with ages of those that are kept, or None for ages without noise.
        """
        told, asked = (
            weights_by_length(
                self.encoding,
                width=self.embedding_size,
                columns=words.size(-1),
                max_words=self.max_words or 0,
                times=times,
                dtype=weights.embeddings[0].dtype,
            )
            for words, times in ((read.story, True), (read.question, False))
        )
        settings = native.Settings(
            vocab_size=self.vocab_size,
            max_sentences=self.max_sentences,
            num_hops=self.num_hops,
            adjacent=self.tying == "adjacent",
            factors=(told, asked),
            memory=0 if self.mask_empty else self.max_sentences,
            scored=self._scored,
            linear=self.linear_start,
            relu=self.nonlinearity == "relu",
        )
        return native.answer(settings, weights, read, partial(self._derived, read, self.linear_start))

    def _derived(self, read: native.Reading, linear: bool, weights: native.Weights) -> Sequence[Tensor]:
        """What _answer_natively gives, by torch's own operations, which have derivatives of any order."""
        if (copies := weights.copies) is not None:
            own = read.copies(len(copies))
            found = [self._derived(rows, linear, copy) for rows, copy in zip(own, copies, strict=True)]
            return [torch.stack(column) for column in zip(*found, strict=True)]
        story, lengths, _ = keep_newest(without_rest(read.story, read.lengths), read.lengths, self.max_sentences)
        times = time_index(lengths, story.size(1)) if read.times is None else read.times
        embeddings, *apart, update = weights
        pad = [None if one is None else functional.pad(one, (0, 0, 1, 0)) for one in (*embeddings, *apart)]
        tables = weights.filled([one for one in (*pad, update) if one is not None])
        return self._answer_plainly(native.Reading(story, read.question, lengths, times), tables, linear=linear)

    def _weights(self) -> native.Weights:
        """As they are kept: without a row for nil."""
        question, answer = (None if one is None else one.weight for one in (self.question, self.answer))
        embeddings = [cast(WordTable, table).weight for table in self.embeddings]
        return native.Weights(embeddings, question, answer, self.update)

    def _native_refusal(self, story: Tensor, weights: native.Weights, *more: str) -> str | None:
        """more: names of methods that are not called, besides those that `_answer` then does without."""
        ways = ("read", "draw_times", "_answer_plainly", "_sentences", "_hop_tables", *more)
        tables = [*self.embeddings, *(one for one in (self.question, self.answer) if one is not None)]
        own = all(type(table) is WordTable for table in tables) and not overrides(self, MemN2N, ways)
        return native.refusal(tables, [story], weights.flat(), own=own)

    @property
    def _scored(self) -> int:
        """Ids that have a logit."""
        return self.num_words if self.score_times else self.vocab_size

    def _check_times(self, times: Tensor, shape: Sequence[int]) -> None:
        if times.shape != tuple(shape) or times.dtype != torch.int64:
            raise ValueError(f"times must be int64 {tuple(shape)}, not {times.dtype} {tuple(times.shape)}")
        look = self.validate and values_known() and times.numel() > 0
        if look and not 0 <= int(times.min()) <= int(times.max()) <= self.max_sentences:
            raise ValueError(f"times must be 0..{self.max_sentences}, not {int(times.min())}..{int(times.max())}")

    @property
    def _hop_tables(self) -> list[tuple[int, int]]:
        """Which tables are A and C of every hop."""
        return list(pairwise(range(self.num_hops + 1))) if self.tying == "adjacent" else [(0, 1)] * self.num_hops

    def _sentences(self, words: Tensor, table: Tensor, *, times: bool) -> Sentences:
        """Of ids that are rows of a table."""
        assert self.max_words is not None
        num_words, width = table.shape
        weights = sentence_weights(
            words, self.encoding, width=width, max_words=self.max_words, times=times, dtype=table.dtype
        )
        return CountedSentences(words, weights, num_words) if self.counted else Sentences(words, weights)
