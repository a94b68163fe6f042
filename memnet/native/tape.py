"""Networks with tapes over whole sequences through tape.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor
from torch.nn import Linear, Module, ReLU

from memnet.cells import AnswerRun, Cell, Room, StraightRun
from memnet.native import build, controlled
from memnet.state import State

_OPERATOR = build.Operator("Tape-RNN", "tape.cpp")


class Steps(controlled.Steps, Protocol):
    """A cell, as far as the operator reads it: what its names mean is told by memnet.TapeCell."""

    interface: Linear
    writer: Any
    rule: Any
    jump: bool
    num_tapes: int
    write_units: int

    @property
    def moves(self) -> Sequence[str]: ...

    @property
    def rounding(self) -> bool: ...


class _Problem(controlled.Problem):
    """TapeProblem in tape.cpp."""

    _fields_: ClassVar[Any] = [(name, ctypes.c_int64) for name in ("tapes", "moves", "adds", "jumps", "rounded")]


def refusal(cell: Cell, input: Tensor, state: State, *, own: bool) -> str | None:
    """Why the compiled operator cannot run a cell on this input and state, None where it can.

    own: whether the cell is a TapeCell, not of a class that takes after it, and reads and emits what it was built to.
    """
    return build.refusal(_OPERATOR, cell, input, state, own=own, as_built=_as_built)


def _as_built(cell: Steps) -> bool:
    kinds = [] if cell.writer is None else [type(one) for one in cell.writer]
    deep = [Linear, ReLU, Linear, ReLU, Linear] if cell.write_units else []
    return controlled.as_built(cell.controller, cell.interface) and kinds == deep


def unroll_tapes(cell: Steps, input: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, State]:
    """What memnet.unroll.unroll returns, for a call that `refusal` has nothing against."""
    problem, shapes = _call(cell, input, state)
    return controlled.unroll_controlled(
        _OPERATOR, problem, cell, cell.interface, input, state, lengths, shapes, deep=_deep(cell)
    )


def straight(cell: Steps, input: Tensor, state: Any, gradients: Mapping[int, Tensor], room: Room) -> StraightRun:
    """What Cell.straight returns, for a call that `refusal` has nothing against."""
    problem, shapes = _call(cell, input, state)
    plan = controlled.plan_of(_OPERATOR, cell, cell.interface, deep=_deep(cell))
    return controlled.RoundedStraight(cell, _OPERATOR, problem, plan, input, state, shapes, gradients, room)


def answering(cell: Steps, input: Tensor, state: Any) -> AnswerRun:
    """What Cell.answering returns, for a call that `refusal` has nothing against."""
    problem, shapes = _call(cell, input, state)
    plan = controlled.plan_of(_OPERATOR, cell, cell.interface, deep=_deep(cell))
    return controlled.Answering(_OPERATOR, problem, plan, input, state, shapes)


def _deep(cell: Steps) -> list[Linear]:
    layers: list[Module] = [] if cell.writer is None else list(cell.writer)
    return [one for one in layers if isinstance(one, Linear)]


def _call(cell: Steps, input: Tensor, state: Any) -> tuple[_Problem, list[tuple[int, ...]]]:
    """Sizes of a call, and shapes of what its state has of the tapes."""
    deep = _deep(cell)
    problem = controlled.problem_of(
        _Problem,
        cell,
        input,
        slots=state.memory.size(2),
        deep=max(0, len(deep) - 1),
        deep_size=cell.write_units,
        steered=cell.num_tapes * len(cell.moves),
        tapes=cell.num_tapes,
        moves=len(cell.moves),
        adds=cell.rule == "rotate-and-add",
        jumps=cell.jump,
        rounded=cell.rounding,
    )
    counted: list[tuple[int, ...]] = [(), ()] if cell.jump else []
    return problem, [(cell.num_tapes, problem.slots, problem.width), *counted]
