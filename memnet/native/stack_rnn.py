"""Networks with stacks over whole sequences through stack_rnn.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar, Protocol

from torch import Tensor
from torch.nn import Linear

from memnet.native import build, controlled

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


def _as_built(cell: Steps) -> bool:
    return controlled.as_built(cell.controller, cell.interface)


def _call(cell: Steps, input: Tensor, state: Any) -> controlled.Call:
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
    plan = controlled.plan_of(_OPERATOR, cell, cell.interface)
    return controlled.Call(problem, plan, [(cell.num_stacks, problem.slots, problem.width)], rounding=cell)


SEQUENCES = controlled.Sequences(_OPERATOR, _as_built, _call)
