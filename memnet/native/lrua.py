"""Least recently used access over whole sequences through lrua.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from torch import Tensor
from torch.nn import Linear

from memnet.cells import AnswerRun, Cell, Room, StraightRun
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


def refusal(cell: Cell, input: Tensor, state: State, *, own: bool) -> str | None:
    """Why the compiled operator cannot run a cell on this input and state, None where it can.

    own: whether the cell is an LRUACell, not of a class that takes after it, and emits what it was built to.
    """
    return build.refusal(_OPERATOR, cell, input, state, own=own, as_built=_as_built)


def _as_built(cell: Steps) -> bool:
    return controlled.as_built(cell.controller, cell.interface)


def unroll_lrua(cell: Steps, input: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, State]:
    """What memnet.unroll.unroll returns, for a call that `refusal` has nothing against."""
    problem, shapes = _call(cell, input, state)
    output, last = controlled.unroll_controlled(_OPERATOR, problem, cell, cell.interface, input, state, lengths, shapes)
    # Usage is without gradients, but for what a row without steps is given.
    usage = last.usage if state.usage.requires_grad else last.usage.detach()
    return output, last._replace(usage=usage)


def straight(cell: Steps, input: Tensor, state: Any, gradients: Mapping[int, Tensor], room: Room) -> StraightRun:
    """What Cell.straight returns, for a call that `refusal` has nothing against."""
    problem, shapes = _call(cell, input, state)
    plan = controlled.plan_of(_OPERATOR, cell, cell.interface)
    return controlled.Straight(_OPERATOR, problem, plan, input, state, shapes, gradients, room)


def answering(cell: Steps, input: Tensor, state: Any) -> AnswerRun:
    """What Cell.answering returns, for a call that `refusal` has nothing against."""
    problem, shapes = _call(cell, input, state)
    plan = controlled.plan_of(_OPERATOR, cell, cell.interface)
    return controlled.Answering(_OPERATOR, problem, plan, input, state, shapes)


def _call(cell: Steps, input: Tensor, state: Any) -> tuple[_Problem, list[tuple[int, ...]]]:
    """Sizes of a call, and shapes of what its state has of the memory."""
    own = {"learned_strength": cell.learned_strength, "usage_decay": cell.usage_decay}
    problem = controlled.problem_of_heads(_Problem, cell, input, state, **own)
    slots, heads = problem.slots, problem.reads
    if slots < heads:
        raise ValueError(f"num_reads {heads} needs at least {heads} slots, not {slots}")
    return problem, [(slots, problem.width), (heads, slots), (heads, slots), (slots,)]
