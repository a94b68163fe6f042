"""NTMs over whole sequences through ntm.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar, Protocol

from torch import Tensor
from torch.nn import Linear, Parameter

from memnet.cells import Softened
from memnet.native import build, controlled
from memnet.state import state_tensors

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


def _as_built(cell: Steps) -> bool:
    return controlled.as_built(cell.controller, cell.heads)


def _softened(cell: Steps, state: Any) -> list[Softened]:
    """What of a first state is a softmax; nothing where it has slots that the weight has not."""
    if (logits := cell.initial_weights) is None or logits.size(1) != state.read_weights.size(2):
        return []
    # The last two.
    count, reads = len(state_tensors(state)), cell.num_reads
    return [Softened(logits, (count - 2, count - 1), (slice(reads), slice(reads, None)))]


def _call(cell: Steps, input: Tensor, state: Any) -> controlled.Call:
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
    plan = controlled.plan_of(_OPERATOR, cell, cell.heads)
    shapes = [(slots, problem.width), (reads, slots), (writes, slots)]
    return controlled.Call(problem, plan, shapes)


SEQUENCES = controlled.Sequences(_OPERATOR, _as_built, _call, _softened)
