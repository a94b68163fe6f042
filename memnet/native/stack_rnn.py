"""Networks with stacks over whole sequences through stack_rnn.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from torch import Tensor
from torch.nn import Linear

from memnet.cells import AnswerRun, Cell, Room, StraightRun
from memnet.native import build, controlled
from memnet.state import State

_OPERATOR = build.Operator("Stack-RNN", "stack_rnn.cpp")


class Steps(controlled.Steps, Protocol):
    """A cell, as far as the operator reads it: what its names mean is told by memnet.StackCell."""

    interface: Linear
    num_stacks: int
    num_tops: int
    pushed_values: Any
    empty_value: float

    @property
    def rounding(self) -> bool: ...


class _Problem(controlled.Problem):
    """StackProblem in stack_rnn.cpp."""

    _fields_: ClassVar[Any] = (
        *((name, ctypes.c_int64) for name in ("stacks", "tops", "squashed", "rounded")),
        ("empty", ctypes.c_double),
    )


def refusal(cell: Cell, input: Tensor, state: State, *, own: bool) -> str | None:
    """Why the compiled operator cannot run a cell on this input and state, None where it can.

    own: whether the cell is a StackCell, not of a class that takes after it, and reads and emits what it was built to.
    """
    return build.refusal(_OPERATOR, cell, input, state, own=own, as_built=_as_built)


def _as_built(cell: Steps) -> bool:
    return controlled.as_built(cell.controller, cell.interface)


def unroll_stacks(cell: Steps, input: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, State]:
    """What memnet.unroll.unroll returns, for a call that `refusal` has nothing against."""
    problem, shapes = _call(cell, input, state)
    return controlled.unroll_controlled(_OPERATOR, problem, cell, cell.interface, input, state, lengths, shapes)


def straight(cell: Steps, input: Tensor, state: Any, gradients: Mapping[int, Tensor], room: Room) -> StraightRun:
    """What Cell.straight returns, for a call that `refusal` has nothing against."""
    problem, shapes = _call(cell, input, state)
    plan = controlled.plan_of(_OPERATOR, cell, cell.interface)
    return controlled.RoundedStraight(cell, _OPERATOR, problem, plan, input, state, shapes, gradients, room)


def answering(cell: Steps, input: Tensor, state: Any) -> AnswerRun:
    """What Cell.answering returns, for a call that `refusal` has nothing against."""
    problem, shapes = _call(cell, input, state)
    plan = controlled.plan_of(_OPERATOR, cell, cell.interface)
    return controlled.Answering(_OPERATOR, problem, plan, input, state, shapes)


def _call(cell: Steps, input: Tensor, state: Any) -> tuple[_Problem, list[tuple[int, ...]]]:
    """Sizes of a call, and shapes of what its state has of the stacks."""
    problem = controlled.problem_of(
        _Problem,
        cell,
        input,
        slots=state.memory.size(2),
        stacks=cell.num_stacks,
        tops=cell.num_tops,
        squashed=cell.pushed_values == "sigmoid",
        rounded=cell.rounding,
        empty=cell.empty_value,
    )
    if cell.num_tops > problem.slots:
        raise ValueError(f"num_tops {cell.num_tops} needs at least {cell.num_tops} slots, not {problem.slots}")
    return problem, [(cell.num_stacks, problem.slots, problem.width)]
