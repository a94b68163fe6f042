"""NTMs over whole sequences through ntm.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from torch import Tensor
from torch.nn import Linear, Parameter

from memnet.cells import AnswerRun, Cell, Room, Softened, StraightRun
from memnet.native import build, controlled
from memnet.state import State, state_tensors

_OPERATOR = build.Operator("NTM", "ntm.cpp")


class Steps(controlled.HeadSteps, Protocol):
    """A cell, as far as the operator reads it: what its names mean is told by memnet.NTMCell."""

    heads: Linear
    shift_range: int
    initial_weights: Parameter | None

    @property
    def addressing(self) -> str: ...

    @property
    def read_order(self) -> str: ...


class _Problem(controlled.Problem):
    """NTMProblem in ntm.cpp."""

    _fields_: ClassVar[Any] = [
        (name, ctypes.c_int64) for name in ("shift_range", "by_content", "by_location", "after_write")
    ]


def refusal(cell: Cell, input: Tensor, state: State, *, own: bool) -> str | None:
    """Why the compiled operator cannot run a cell on this input and state, None where it can.

    own: whether the cell is an NTMCell, not of a class that takes after it, and emits what it was built to.
    """
    return build.refusal(_OPERATOR, cell, input, state, own=own, as_built=_as_built)


def _as_built(cell: Steps) -> bool:
    return controlled.as_built(cell.controller, cell.heads)


def unroll_ntm(cell: Steps, input: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, State]:
    """What memnet.unroll.unroll returns, for a call that `refusal` has nothing against."""
    problem, shapes = _call(cell, input, state)
    return controlled.unroll_controlled(_OPERATOR, problem, cell, cell.heads, input, state, lengths, shapes)


def straight(cell: Steps, input: Tensor, state: Any, gradients: Mapping[int, Tensor], room: Room) -> StraightRun:
    """What Cell.straight returns, for a call that `refusal` has nothing against."""
    problem, shapes = _call(cell, input, state)
    plan = controlled.plan_of(_OPERATOR, cell, cell.heads)
    return controlled.Straight(_OPERATOR, problem, plan, input, state, shapes, gradients, room, _softened(cell, state))


def _softened(cell: Steps, state: Any) -> list[Softened]:
    """What of a first state is a softmax; nothing where it has slots that the weight has not."""
    if (logits := cell.initial_weights) is None or logits.size(1) != state.read_weights.size(2):
        return []
    # The last two.
    count, reads = len(state_tensors(state)), cell.num_reads
    return [Softened(logits, (count - 2, count - 1), (slice(reads), slice(reads, None)))]


def answering(cell: Steps, input: Tensor, state: Any) -> AnswerRun:
    """What Cell.answering returns, for a call that `refusal` has nothing against."""
    problem, shapes = _call(cell, input, state)
    plan = controlled.plan_of(_OPERATOR, cell, cell.heads)
    return controlled.Answering(_OPERATOR, problem, plan, input, state, shapes)


def _call(cell: Steps, input: Tensor, state: Any) -> tuple[_Problem, list[tuple[int, ...]]]:
    """Sizes of a call, and shapes of what its state has of the memory."""
    problem = controlled.problem_of_heads(
        _Problem,
        cell,
        input,
        state,
        shift_range=cell.shift_range,
        by_content=cell.addressing != "location",
        by_location=cell.addressing != "content",
        after_write=cell.read_order == "after-write",
    )
    slots, reads, writes = problem.slots, problem.reads, problem.writes
    if problem.by_location and 2 * problem.shift_range + 1 > slots:
        raise ValueError(f"shift_range {problem.shift_range} needs {2 * problem.shift_range + 1} slots, not {slots}")
    return problem, [(slots, problem.width), (reads, slots), (writes, slots)]
