"""Whole MemN2Ns, several copies at once, through memn2n.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module

from memnet.native import build
from memnet.unroll import hooked

_OPERATOR = build.Operator("MemN2N", "memn2n.cpp")


def refusal(modules: Sequence[Module], ids: Sequence[Tensor], numbers: Sequence[Tensor], *, own: bool) -> str | None:
    """Why the compiled operator cannot run, None where it can.

    modules: the word tables, which are not called. own: whether they, and what is done with them,
             are as the operator knows them.
    """
    if not own:
        return "it computes memnet's own MemN2N and word tables as they were built"
    if hooked(*modules):
        return "it runs no hooks"
    return build.unusual_call([*numbers, *ids]) or build.uncomputable(_OPERATOR, numbers)


class Weights(NamedTuple):
    """Every table (..., word, width) without nil, in front of it copies or nothing; for their meaning see MemN2N.

    question, answer: None for the first and the last of embeddings, in part. update: (..., width, width) or None.
    """

    embeddings: Sequence[Tensor]
    question: Tensor | None
    answer: Tensor | None
    update: Tensor | None

    def flat(self) -> list[Tensor]:
        """All that there are."""
        return [*self.embeddings, *(one for one in self[1:] if one is not None)]

    @property
    def copies(self) -> list[Weights] | None:
        """Those of each copy; None without an axis for copies."""
        if self.embeddings[0].dim() == 2:
            return None
        return [self.filled(one) for one in zip(*self.flat(), strict=True)]

    def filled(self, tensors: Sequence[Any]) -> Weights:
        """Others in place of those of `flat`."""
        rest = iter(tensors[len(self.embeddings) :])
        return Weights(tensors[: len(self.embeddings)], *(None if one is None else next(rest) for one in self[1:]))


class Reading(NamedTuple):
    """What every copy reads: its own rows, or all the same ones where there is no axis for copies.

    story:    (..., batch, sentence, word) ids, nil in what stands after a sentence's last word.
    question: (..., batch, word) ids.
    lengths:  (..., batch) sentences of each story.
    times:    (..., batch, slot) ages of those that are read, or None for 1 (the newest), 2, ...
    """

    story: Tensor
    question: Tensor
    lengths: Tensor
    times: Tensor | None

    def copies(self, count: int) -> list[Reading]:
        """What each copy reads."""
        if self.story.dim() == 3:
            return [self] * count
        story, question, lengths, times = self
        ages = [None] * count if times is None else times
        return [Reading(*own) for own in zip(story, question, lengths, ages, strict=True)]


class Settings(NamedTuple):
    """vocab_size, max_sentences, num_hops: see MemN2N.

    factors: how much words count (kind, word, width), those of a story's sentence and of a question; a kind is a
             sentence's length, or there is one for all.
    memory:  slots that have a share of the attention though they are empty, or 0. scored: ids that have a logit.
    linear:  leave the softmax out. relu: a rectifier after every hop.
    """

    vocab_size: int
    max_sentences: int
    num_hops: int
    adjacent: bool
    factors: tuple[Tensor, Tensor]
    memory: int
    scored: int
    linear: bool
    relu: bool


class _Problem(ctypes.Structure):
    """Problem in memn2n.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("copies", "batch", "sentences", "columns", "asked", "slots")),
        *((name, ctypes.c_int64) for name in ("vocabulary", "words", "width", "hops", "tables", "scored")),
        *(
            (name, ctypes.c_int64)
            for name in ("kinds", "asked_kinds", "memory", "adjacent", "linear", "relu", "shared")
        ),
        *((name, ctypes.c_void_p) for name in ("story", "question", "lengths", "times", "weights", "asked_weights")),
        *((name, ctypes.c_void_p) for name in ("embeddings", "asking", "answers", "update")),
        *((name, ctypes.c_void_p) for name in ("logits", "queries", "attention")),
        *((name, ctypes.c_void_p) for name in ("d_logits", "d_queries", "d_attention")),
        *((name, ctypes.c_void_p) for name in ("d_embeddings", "d_asking", "d_answers", "d_update")),
    ]


def answer(
    settings: Settings, weights: Weights, read: Reading, plainly: Callable[[Weights], Sequence[Tensor]]
) -> tuple[Tensor, Tensor, Tensor]:
    """The answers of a MemN2N (Sukhbaatar et al. 2015), for a call that `refusal` has nothing against.

    plainly: computes the same of weights by torch's own operations, for higher derivatives.
    Returns  logits (..., batch, scored), u before the first hop and after every hop (..., batch, hop + 1, width), and p
             (..., batch, hop, slot). ValueError for shapes that do not fit, IndexError for ids, ages and lengths that
             cannot be.
    """
    first, *_ = weights.embeddings
    *lead, rows, width = first.shape
    *own, batch, sentences, columns = read.story.shape
    slots, asked = min(sentences, settings.max_sentences), read.question.size(-1)
    _check(settings, weights, read, lead, own)
    told, asking = settings.factors
    problem = _Problem(
        copies=lead[0] if lead else 1,
        batch=batch,
        sentences=sentences,
        columns=columns,
        asked=asked,
        slots=slots,
        vocabulary=settings.vocab_size,
        words=rows + 1,
        width=width,
        hops=settings.num_hops,
        tables=len(weights.embeddings),
        scored=settings.scored,
        kinds=told.size(0),
        asked_kinds=asking.size(0),
        memory=settings.memory,
        adjacent=settings.adjacent,
        linear=settings.linear,
        relu=settings.relu,
        shared=bool(lead) and not own,
    )
    call = _Call(problem, settings.factors, weights.filled([True] * len(weights.flat())), lead, plainly)
    found: tuple[Tensor, Tensor, Tensor] = _Answer.apply(call, read, *weights.flat())  # type: ignore[no-untyped-call]
    return found


def _check(settings: Settings, weights: Weights, read: Reading, lead: list[int], own: list[int]) -> None:
    """ValueError for tensors that do not fit to the first table and the story."""
    width = weights.embeddings[0].size(-1)
    *_, batch, sentences, columns = read.story.shape
    tables = settings.num_hops + 1 if settings.adjacent else 2
    of_words = [settings.vocab_size + settings.max_sentences - 1] * tables
    apart = [settings.vocab_size - 1, settings.scored - 1, width]
    of_words += [count for one, count in zip(weights[1:], apart, strict=True) if one is not None]
    expected = [(*lead, count, width) for count in of_words]
    if own not in ([], lead):
        raise ValueError(f"stories are for {own} copies and weights for {lead}")
    asked, (told, asking) = read.question.size(-1), settings.factors
    others = [
        (read.question, (*own, batch, asked)),
        (read.lengths, (*own, batch)),
        (told, (columns if told.size(0) > 1 else 1, columns + 1, width)),
        (asking, (asked if asking.size(0) > 1 else 1, asked, width)),
    ]
    if read.times is not None:
        others.append((read.times, (*own, batch, min(sentences, settings.max_sentences))))
    build.check_shapes([*weights.flat(), *(one for one, _ in others)], [*expected, *(shape for _, shape in others)])


class _Call(NamedTuple):
    """What is asked of the operator besides ids and weights.

    factors: see Settings. form: which weights there are. lead: (copies,), or nothing.
    """

    problem: _Problem
    factors: tuple[Tensor, Tensor]
    form: Weights
    lead: list[int]
    plainly: Callable[[Weights], Sequence[Tensor]]

    def run(self, function: Any, read: Reading, weights: Sequence[Tensor], **more: Any) -> None:
        embeddings, asking, answers, update = self.form.filled([*map(build.in_order, weights)])
        factors = dict(zip(("weights", "asked_weights"), self.factors, strict=True))
        given = {**factors, "embeddings": embeddings, "asking": asking, "answers": answers, "update": update}
        problem = _Problem.from_buffer_copy(self.problem)
        build.call(_OPERATOR, function, problem, **read._asdict(), **given, **more)


class _Answer(torch.autograd.Function):
    """(the call, what is read, every weight) to logits, queries and attention; see `answer`."""

    @staticmethod
    def forward(ctx: Any, call: _Call, read: Reading, *weights: Tensor) -> Any:
        sizes, first = call.problem, weights[0]
        lead = (*call.lead, sizes.batch)
        logits = first.new_empty(*lead, sizes.scored)
        queries = first.new_empty(*lead, sizes.hops + 1, sizes.width)
        attention = first.new_empty(*lead, sizes.hops, sizes.slots)
        read = Reading(*(None if one is None else one.long().contiguous() for one in read))  # type: ignore[arg-type]
        ctx.call, ctx.library = call, build.library(_OPERATOR, first.dtype)
        call.run(ctx.library.forward, read, weights, logits=logits, queries=queries, attention=attention)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(queries, attention, *read, *weights)
        return logits, queries, attention

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        call, (queries, attention, *rest) = ctx.call, ctx.saved_tensors
        read, weights = Reading(*rest[:4]), rest[4:]
        if build.wants_plain_gradients(gradients):

            def plainly(*weights: Tensor) -> Sequence[Tensor]:
                return call.plainly(call.form.filled(weights))  # type: ignore[no-any-return]

            return None, None, *build.plain_gradients(plainly, weights, gradients, ctx.needs_input_grad[2:])
        needed = ctx.needs_input_grad[2:]
        found = [one.new_empty(one.shape) if need else None for one, need in zip(weights, needed, strict=True)]
        d_embeddings, d_asking, d_answers, d_update = call.form.filled(found)
        d_logits, d_queries, d_attention = build.gradients_in_order(gradients)
        call.run(
            ctx.library.backward,
            read,
            weights,
            queries=queries,
            attention=attention,
            d_logits=d_logits,
            d_queries=d_queries,
            d_attention=d_attention,
            d_embeddings=d_embeddings,
            d_asking=d_asking,
            d_answers=d_answers,
            d_update=d_update,
        )
        return None, None, *found


# ---------------------------------------------------------------------------------------------- lengths and ages


class _Ages(ctypes.Structure):
    """Ages in memn2n.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("rows", "sentences", "words", "slots", "columns", "oldest")),
        ("noise", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("story", "lengths", "blanks", "draws", "times")),
    ]


def count_sentences(story: Tensor, dtype: torch.dtype) -> Tensor:
    """Sentences (batch,) of stories (batch, sentence, word), up to the last that has a word.

    dtype: of the model, for which there is an operator.
    """
    rows, sentences, words = story.shape
    lengths = story.new_empty(rows)
    function = build.library(_OPERATOR, dtype).ages
    sizes = _Ages(rows=rows, sentences=sentences, words=words)
    build.call(_OPERATOR, function, sizes, story=story.contiguous(), lengths=lengths)
    return lengths


def noisy_ages(
    lengths: Tensor, num_sentences: int, noise: float, blanks: Tensor, draws: Tensor, *, oldest: int
) -> Tensor:
    """Those of encoding.noisy_ages, at most `oldest`."""
    times = lengths.new_empty(*lengths.shape, num_sentences, dtype=torch.int64)
    build.check_shapes([blanks, draws], [(len(lengths), 1), (len(lengths), draws.size(-1))])
    blanks, draws = (one if one.dtype == torch.float32 else one.double() for one in (blanks, draws))
    sizes = _Ages(rows=len(lengths), slots=num_sentences, columns=draws.size(-1), oldest=oldest, noise=noise)
    given = {"lengths": lengths.long().contiguous(), "blanks": blanks.contiguous(), "draws": draws.contiguous()}
    build.call(_OPERATOR, build.library(_OPERATOR, draws.dtype).ages, sizes, **given, times=times)
    return times
