"""Hops of attention over sentences through hops.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from memnet.functional.addressing import attention_weights
from memnet.native import build

_OPERATOR = build.Operator("memory-hops", "hops.cpp")


def refusal(*numbers: Tensor) -> str | None:
    """Why the compiled operator cannot run on queries and sentences, None where it can."""
    return build.unusual_call(numbers) or build.uncomputable(_OPERATOR, numbers)


class _Problem(ctypes.Structure):
    """Problem in hops.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "slots", "width", "hops", "tables", "linear", "relu")),
        *((name, ctypes.c_void_p) for name in ("hop_tables", "lengths", "empty", "query", "update", "sentences")),
        *((name, ctypes.c_void_p) for name in ("queries", "attention", "d_queries", "d_attention")),
        *((name, ctypes.c_void_p) for name in ("d_query", "d_update", "d_sentences")),
    ]


def hops(
    query: Tensor,
    sentences: Sequence[Tensor],
    hop_tables: Sequence[tuple[int, int]],
    lengths: Tensor,
    empty: Tensor,
    update: Tensor | None,
    *,
    linear: bool,
    relu: bool,
) -> tuple[Tensor, Tensor]:
    """The hops of a MemN2N (Sukhbaatar et al. 2015, eq. 1, 2 and 4), for a call that `refusal` has nothing against.

    query:      u before the first hop, (batch, width).
    sentences:  each (batch, slot, width), the vectors by one table.
    hop_tables: for every hop which of them are its keys, and which its values.
    lengths:    (batch,) integers, slots that hold a sentence, from the first on.
    empty:      (batch,) integers, further slots with score zero, see attention_weights.
    update:     H (width, width), or None for u itself.
    linear:     leave the softmax out. relu: a rectifier after every hop.
    Returns     u after every hop (batch, hop, width), and p (batch, hop, slot). ValueError for shapes that do not fit,
                IndexError for lengths beyond the slots.
    """
    batch, slots, width = sentences[0].shape
    shapes = [(batch, width), *[(batch, slots, width)] * len(sentences)]
    build.check_shapes([query, *sentences, lengths, empty], [*shapes, (batch,), (batch,)])
    if update is not None:
        build.check_shapes([update], [(width, width)])
    sizes = {"batch": batch, "slots": slots, "width": width, "hops": len(hop_tables), "tables": len(sentences)}
    problem = _Problem(**sizes, linear=linear, relu=relu)
    places = (torch.tensor(hop_tables), lengths, empty)
    found: tuple[Tensor, Tensor] = _Hops.apply(problem, places, query, update, *sentences)  # type: ignore[no-untyped-call]
    return found


class _Hops(torch.autograd.Function):
    """(problem, places, query, update, sentences ...) to queries and attention; see `hops`."""

    @staticmethod
    def forward(
        ctx: Any, problem: _Problem, places: Any, query: Tensor, update: Tensor | None, *sentences: Tensor
    ) -> Any:
        places = [one.long().contiguous() for one in places]
        inputs = [query, update, *sentences]
        query, *tables = (one.contiguous().resolve_neg() for one in (query, *sentences))
        update = None if update is None else update.contiguous().resolve_neg()
        queries = query.new_empty(problem.batch, problem.hops, problem.width)
        attention = query.new_empty(problem.batch, problem.hops, problem.slots)
        ctx.problem, ctx.library = problem, build.library(_OPERATOR, query.dtype)
        given = _given(places, query, update, tables, queries, attention)
        build.call(_OPERATOR, ctx.library.forward, problem, **given)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*places, query, update, queries, attention, *tables, *inputs)
        return queries, attention

    @staticmethod
    def backward(ctx: Any, d_queries: Tensor | None, d_attention: Tensor | None) -> Any:
        *places, query, update, queries, attention = ctx.saved_tensors[:7]
        sentences, inputs = ctx.saved_tensors[7 : 7 + ctx.problem.tables], ctx.saved_tensors[7 + ctx.problem.tables :]
        if build.wants_plain_gradients(gradients := [d_queries, d_attention]):
            run = partial(_plainly, ctx.problem, places)
            return None, None, *build.plain_gradients(run, inputs, gradients, ctx.needs_input_grad[2:])
        given = _given(places, query, update, sentences, queries, attention)
        d_query, *d_sentences = (torch.empty_like(one) for one in (query, *sentences))
        d_update = None if update is None else torch.empty_like(update)
        build.call(
            _OPERATOR,
            ctx.library.backward,
            _Problem.from_buffer_copy(ctx.problem),
            **given,
            d_queries=None if d_queries is None else d_queries.contiguous().resolve_neg(),
            d_attention=None if d_attention is None else d_attention.contiguous().resolve_neg(),
            d_query=d_query,
            d_update=d_update,
            d_sentences=d_sentences,
        )
        return None, None, d_query, d_update, *d_sentences


def _plainly(
    problem: _Problem, places: Sequence[Tensor], query: Tensor, update: Tensor | None, *sentences: Tensor
) -> tuple[Tensor, Tensor]:
    """Queries and attention by torch's own operations."""
    hop_tables, lengths, empty = places
    present = torch.arange(problem.slots) < lengths.unsqueeze(-1)
    queries, attention = [], []
    for key, value in hop_tables.tolist():
        scores = (sentences[key] @ query.unsqueeze(-1)).squeeze(-1)
        weights = scores if problem.linear else attention_weights(scores, present, empty)
        carried = query if update is None else functional.linear(query, update)
        query = carried + (weights.unsqueeze(-2) @ sentences[value]).squeeze(-2)
        query = torch.relu(query) if problem.relu else query
        queries.append(query)
        attention.append(weights)
    return torch.stack(queries, 1), torch.stack(attention, 1)


def _given(
    places: Sequence[Tensor],
    query: Tensor,
    update: Tensor | None,
    sentences: Sequence[Tensor],
    queries: Tensor,
    attention: Tensor,
) -> dict[str, Any]:
    """What both directions read, by the names in Problem."""
    hop_tables, lengths, empty = places
    return {
        "hop_tables": hop_tables,
        "lengths": lengths,
        "empty": empty,
        "query": query,
        "update": update,
        "sentences": sentences,
        "queries": queries,
        "attention": attention,
    }
