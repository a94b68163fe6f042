"""DNCs over whole sequences through dnc.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar, Protocol

from torch import Tensor
from torch.nn import LayerNorm, Linear

from memnet.functional.allocation import LEAST_USED
from memnet.functional.links import SHARP_FLOOR
from memnet.native import build, controlled

_OPERATOR = build.Operator("DNC", "dnc.cpp")


class Steps(controlled.HeadSteps, Protocol):
    """A cell, as far as the operator reads it: what its names mean is told by memnet.DNCCell."""

    interface: Linear
    norm: LayerNorm | None
    masked: bool
    mask_floor: float
    deallocate: bool
    sharp_links: bool
    linked: bool
    usage_gradient: bool


class _Problem(controlled.Problem):
    """DNCProblem in dnc.cpp."""

    _fields_: ClassVar[Any] = (
        *((name, ctypes.c_int64) for name in ("masked", "deallocate", "sharp", "linked", "usage_gradient")),
        *((name, ctypes.c_double) for name in ("mask_floor", "least_used", "sharp_floor", "norm_epsilon")),
        *((name, ctypes.c_void_p) for name in ("norm_weight", "norm_bias", "d_norm_weight", "d_norm_bias")),
    )


def _as_built(cell: Steps) -> bool:
    if not controlled.as_built(cell.controller, cell.interface):
        return False
    if (norm := cell.norm) is None:
        return True
    whole = type(norm) is LayerNorm and norm.weight is not None and norm.bias is not None
    # A bias of both would have the gradient of one.
    return whole and all(one is not cell.interface.bias for one in (norm.weight, norm.bias))


def _call(cell: Steps, input: Tensor, state: Any) -> controlled.Call:
    norm = cell.norm
    problem = controlled.problem_of_heads(
        _Problem,
        cell,
        input,
        state,
        masked=cell.masked,
        deallocate=cell.deallocate,
        sharp=cell.sharp_links,
        linked=cell.linked,
        usage_gradient=cell.usage_gradient,
        mask_floor=cell.mask_floor,
        least_used=LEAST_USED,
        sharp_floor=SHARP_FLOOR,
        norm_epsilon=0.0 if norm is None else norm.eps,
    )
    slots, reads, writes = problem.slots, problem.reads, problem.writes
    linked = slots * problem.linked
    shapes: list[tuple[int, ...]] = [(slots, problem.width), (reads, slots), (writes, slots), (slots,)]
    shapes += [(writes, linked), (writes, linked, linked)]
    norms = {} if norm is None else {"norm_weight": norm.weight, "norm_bias": norm.bias}
    return controlled.Call(problem, controlled.plan_of(_OPERATOR, cell, cell.interface, norms), shapes)


SEQUENCES = controlled.Sequences(_OPERATOR, _as_built, _call)
