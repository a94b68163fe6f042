"""Matrix memories that bind keys to values through associations.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from memnet.functional.associations import associate_chunks
from memnet.native import build

_OPERATOR = build.Operator("association", "associations.cpp")
# Tokens between two memories that are kept for the backward pass.
_EVERY = 16


def refusal(tensors: Sequence[Tensor]) -> str | None:
    """Why the compiled operator cannot run on what a cell is given and holds, None where it can."""
    return build.unusual_call(tensors) or build.uncomputable(_OPERATOR, tensors)


class _Problem(ctypes.Structure):
    """Problem in associations.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "time", "heads", "factors", "keys", "values")),
        *((name, ctypes.c_int64) for name in ("decays", "every")),
        *((name, ctypes.c_void_p) for name in ("memory", "query", "key", "value", "erase", "log_decay")),
        *((name, ctypes.c_void_p) for name in ("reads", "last", "kept", "d_reads", "d_last", "d_memory")),
        *((name, ctypes.c_void_p) for name in ("d_query", "d_key", "d_value", "d_erase", "d_log_decay")),
    ]


_GIVEN = ("memory", "query", "key", "value", "erase", "log_decay")


def associate_tokens(
    memory: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    erase: Tensor | None = None,
    log_decay: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """What memnet.functional.associations.associate_chunks returns, for a call that `refusal` has nothing against.

    Raises ValueError for shapes that do not fit.
    """
    batch, time, heads, factors, keys = key.shape
    values, decays = value.size(-1), 0 if log_decay is None else log_decay.size(-1)
    tokens = (batch, time, heads)
    expected = [(batch, heads, keys, values), (*tokens, keys), key.shape, (*tokens, factors, values)]
    build.check_shapes([memory, query, key, value], expected)
    if erase is not None:
        build.check_shapes([erase], [key.shape])
    if log_decay is not None:
        build.check_shapes([log_decay], [(*tokens, keys if decays > 1 else 1)])
    sizes = {"batch": batch, "time": time, "heads": heads, "factors": factors, "keys": keys, "values": values}
    problem, given = _Problem(**sizes, decays=decays, every=_EVERY), (memory, query, key, value, erase, log_decay)
    if torch.is_grad_enabled() and any(one is not None and one.requires_grad for one in given):
        return _Associations.apply(problem, *given)  # type: ignore[no-any-return, no-untyped-call]
    reads, last, _, _ = _forward(problem, given, keep=False)
    return reads, last


def _forward(
    problem: _Problem, given: Sequence[Tensor | None], *, keep: bool
) -> tuple[Tensor, Tensor, Tensor | None, list[Tensor | None]]:
    """What was read, the last memory, the memories kept for a backward pass, and what was given as C++ takes it."""
    ready = [None if one is None else build.in_order(one) for one in given]
    memory = ready[0]
    assert memory is not None
    reads = memory.new_empty(problem.batch, problem.time, problem.heads, problem.values)
    last = torch.empty_like(memory)
    stretches = -(-problem.time // problem.every)
    kept = memory.new_empty(*memory.shape[:2], stretches, *memory.shape[2:]) if keep else None
    function = build.library(_OPERATOR, memory.dtype).forward
    told = dict(zip(_GIVEN, ready, strict=True))
    build.call(_OPERATOR, function, problem, **told, reads=reads, last=last, kept=kept)
    return reads, last, kept, ready


def _plainly(*given: Tensor) -> list[Tensor]:
    """What was read and the last memory by torch's own operations."""
    *four, erase, log_decay = given
    return [*associate_chunks(*four, erase=erase, log_decay=log_decay)]


class _Associations(torch.autograd.Function):
    """(problem, what associate_tokens takes) to what it returns."""

    @staticmethod
    def forward(ctx: Any, problem: _Problem, *given: Tensor | None) -> Any:
        reads, last, kept, ready = _forward(problem, given, keep=True)
        ctx.set_materialize_grads(False)
        ctx.problem, ctx.function = problem, build.library(_OPERATOR, reads.dtype).backward
        ctx.save_for_backward(kept, *ready, *given)
        return reads, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        kept, *saved = ctx.saved_tensors
        ready, given = saved[: len(_GIVEN)], saved[len(_GIVEN) :]
        if build.wants_plain_gradients(gradients):
            return None, *build.plain_gradients(_plainly, given, gradients, ctx.needs_input_grad[1:])
        d_reads, d_last = build.gradients_in_order(gradients)
        found = [None if one is None else torch.zeros_like(one) for one in ready]
        problem = _Problem.from_buffer_copy(ctx.problem)
        told = dict(zip(_GIVEN, ready, strict=True)) | {"kept": kept, "d_reads": d_reads, "d_last": d_last}
        told |= {f"d_{name}": one for name, one in zip(_GIVEN, found, strict=True)}
        build.call(_OPERATOR, ctx.function, problem, **told)
        return None, *found
