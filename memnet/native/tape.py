"""Networks with tapes over whole sequences through tape.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor
from torch.nn import Linear, Module, ReLU

from memnet.native import build, controlled

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


def _as_built(cell: Steps) -> bool:
    kinds = [] if cell.writer is None else [type(one) for one in cell.writer]
    deep = [Linear, ReLU, Linear, ReLU, Linear] if cell.write_units else []
    return controlled.as_built(cell.controller, cell.interface) and kinds == deep


def _deep(cell: Steps) -> list[Linear]:
    layers: list[Module] = [] if cell.writer is None else list(cell.writer)
    return [one for one in layers if isinstance(one, Linear)]


def _call(cell: Steps, input: Tensor, state: Any) -> controlled.Call:
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
    plan = controlled.plan_of(_OPERATOR, cell, cell.interface, deep=deep)
    shapes = [(cell.num_tapes, problem.slots, problem.width), *counted]
    return controlled.Call(problem, plan, shapes, rounding=cell)


SEQUENCES = controlled.Sequences(_OPERATOR, _as_built, _call)
