"""Least recently used access over whole sequences through lrua.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar, Protocol

from torch import Tensor
from torch.nn import Linear

from memnet.native import build, controlled
from memnet.state import State

_OPERATOR = build.Operator("LRUA", "lrua.cpp")


class Steps(controlled.HeadSteps, Protocol):
    """A cell, as far as the operator reads it: what its names mean is told by memnet.LRUACell."""

    interface: Linear
    learned_strength: bool
    usage_decay: float


class _Problem(controlled.Problem):
    """LRUAProblem in lrua.cpp."""

    _fields_: ClassVar[Any] = [("learned_strength", ctypes.c_int64), ("usage_decay", ctypes.c_double)]


def _as_built(cell: Steps) -> bool:
    return controlled.as_built(cell.controller, cell.interface)


def unroll_lrua(cell: Steps, input: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, State]:
    """What memnet.unroll.unroll returns, for a call that `refusal` has nothing against."""
    output, last = SEQUENCES.unroll(cell, input, state, lengths)
    # Usage is without gradients, but for what a row without steps is given.
    usage = last.usage if state.usage.requires_grad else last.usage.detach()
    return output, last._replace(usage=usage)


def _call(cell: Steps, input: Tensor, state: Any) -> controlled.Call:
    own = {"learned_strength": cell.learned_strength, "usage_decay": cell.usage_decay}
    problem = controlled.problem_of_heads(_Problem, cell, input, state, **own)
    slots, heads = problem.slots, problem.reads
    if slots < heads:
        raise ValueError(f"num_reads {heads} needs at least {heads} slots, not {slots}")
    plan = controlled.plan_of(_OPERATOR, cell, cell.interface)
    return controlled.Call(problem, plan, [(slots, problem.width), (heads, slots), (heads, slots), (slots,)])


SEQUENCES = controlled.Sequences(_OPERATOR, _as_built, _call)
