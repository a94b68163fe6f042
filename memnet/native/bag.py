"""Weighted bags of words through bag.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from memnet.native import build

_OPERATOR = build.Operator("bag-of-words", "bag.cpp")


def refusal(words: Tensor, *numbers: Tensor) -> str | None:
    """Why the compiled operator cannot run on word ids, tables and weights, None where it can."""
    return build.unusual_call([*numbers, words]) or build.uncomputable(_OPERATOR, numbers)


class _Problem(ctypes.Structure):
    """Problem in bag.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("rows", "words", "vocabulary", "width", "tables", "own")),
        *((name, ctypes.c_void_p) for name in ("ids", "weights", "vectors", "bags")),
        *((name, ctypes.c_void_p) for name in ("d_bags", "d_vectors", "d_weights")),
    ]


def word_bags(words: Tensor, tables: Sequence[Tensor], weights: Tensor) -> list[Tensor]:
    """For every table A the sums sum_j l_j A_{x_j} (..., width), for a call that `refusal` has nothing against.

    words:   (..., word) int64 ids; 0 (nil) is worth nothing, whatever the tables hold for it.
    tables:  each (num_words, width).
    weights: l, (..., word, width) as words or (word, width) for all.
    Raises   ValueError for shapes that do not fit, IndexError for an id that the tables do not have.
    """
    vocabulary, width = tables[0].shape
    own = weights.dim() > 2
    expected = (*(words.shape if own else words.shape[-1:]), width)
    build.check_shapes([weights, *tables], [expected, *[(vocabulary, width)] * len(tables)])
    sizes = {"rows": words.shape[:-1].numel(), "words": words.size(-1), "vocabulary": vocabulary, "width": width}
    problem = _Problem(**sizes, tables=len(tables), own=own)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (weights, *tables)):
        return list(_Bags.apply(problem, words, weights, *tables))  # type: ignore[no-untyped-call]
    return _forward(problem, words, weights, tables)[0]


def _forward(
    problem: _Problem, words: Tensor, weights: Tensor, tables: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """The bags, and ids, weights and tables as C++ takes them."""
    ids, *numbers = map(build.in_order, (words, weights, *tables))
    bags = [weights.new_empty(*words.shape[:-1], problem.width) for _ in tables]
    function = build.library(_OPERATOR, weights.dtype).forward
    build.call(_OPERATOR, function, problem, ids=ids, weights=numbers[0], vectors=numbers[1:], bags=bags)
    return bags, [ids, *numbers]


def _plainly(ids: Tensor, weights: Tensor, *tables: Tensor) -> list[Tensor]:
    """The bags by torch's own operations."""
    weights = weights * (ids > 0).unsqueeze(-1)
    return [(functional.embedding(ids, table) * weights).sum(-2) for table in tables]


class _Bags(torch.autograd.Function):
    """(problem, words, weights, tables) to the bags of every table."""

    @staticmethod
    def forward(ctx: Any, problem: _Problem, words: Tensor, weights: Tensor, *tables: Tensor) -> Any:
        bags, kept = _forward(problem, words, weights, tables)
        ctx.set_materialize_grads(False)
        ctx.problem, ctx.function = problem, build.library(_OPERATOR, weights.dtype).backward
        ctx.count = len(kept)
        ctx.save_for_backward(*kept, weights, *tables)
        return tuple(bags)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        (ids, weights, *vectors), given = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        if build.wants_plain_gradients(gradients):
            return (
                None,
                None,
                *build.plain_gradients(partial(_plainly, ids), given, gradients, ctx.needs_input_grad[2:]),
            )
        d_bags = build.gradients_in_order(gradients)
        d_weights, *d_vectors = (
            torch.empty_like(one) if needed else None
            for one, needed in zip((weights, *vectors), ctx.needs_input_grad[2:], strict=True)
        )
        problem = _Problem.from_buffer_copy(ctx.problem)
        given = {"ids": ids, "weights": weights, "vectors": vectors, "d_bags": d_bags}
        build.call(_OPERATOR, ctx.function, problem, **given, d_vectors=d_vectors, d_weights=d_weights)
        return None, None, d_weights, *d_vectors
