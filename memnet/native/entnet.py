"""Entity networks over whole stories through entnet.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn import Linear, Parameter, PReLU

from memnet.cells import Cell
from memnet.native import build
from memnet.state import State, map_state

_OPERATOR = build.Operator("EntNet", "entnet.cpp")


class Steps(Protocol):
    """A cell, as far as the operator reads it: what its names mean is told by memnet.EntNetCell."""

    keys: Parameter
    from_memory: Linear
    from_key: Linear
    from_sentence: Linear
    activation: PReLU
    input_size: int

    @property
    def normalization(self) -> str: ...

    def project(self, input: Tensor) -> tuple[Tensor, ...]: ...


def refusal(cell: Cell, input: Tensor, state: State, *, own: bool) -> str | None:
    """Why the compiled operator cannot run a cell on this input and state, None where it can.

    own: whether the cell is an EntNetCell, not of a class that takes after it.
    """
    return build.refusal(_OPERATOR, cell, input, state, own=own, as_built=_as_built)


def _as_built(cell: Steps) -> bool:
    """Whether the cell's parts are those that entnet.cpp computes."""
    layers, activation = (cell.from_memory, cell.from_key, cell.from_sentence), cell.activation
    known = {type(layer) for layer in layers} == {Linear} and type(activation) is PReLU
    return known and cell.from_memory.bias is not None and activation.num_parameters == cell.input_size


class _Problem(ctypes.Structure):
    """Problem in entnet.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "time", "slots", "width", "unit", "keep")),
        *((name, ctypes.c_void_p) for name in ("present", "sentences", "by_key", "by_sentence", "by_slot")),
        *((name, ctypes.c_void_p) for name in ("weight", "slopes", "first", "last", "gates")),
        *((name, ctypes.c_void_p) for name in ("features", "d_gates", "d_last")),
        *((name, ctypes.c_void_p) for name in ("d_sentences", "d_by_key", "d_by_sentence", "d_by_slot")),
        *((name, ctypes.c_void_p) for name in ("d_weight", "d_slopes", "d_first")),
    ]


# What is given to the operator and can have a gradient, by its names in Problem.
_GIVEN = ("sentences", "by_key", "by_sentence", "by_slot", "weight", "slopes", "first")


def unroll_entnet(cell: Steps, input: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
    """What memnet.unroll.unroll returns, for a call that `refusal` has nothing against."""
    sentences, by_key, by_sentence, present = cell.project(input)
    present = present.squeeze(-1)
    if lengths is not None:
        build.check_shapes([lengths], [(input.size(0),)])
        present = present & (torch.arange(input.size(1)) < lengths.unsqueeze(1))
    by_slot = cell.from_key(cell.keys) + cell.from_memory.bias
    tensors = [sentences, by_key, by_sentence, by_slot, cell.from_memory.weight, cell.activation.weight, state.memories]
    batch, time, slots, width = *input.shape[:2], *cell.keys.shape
    across, memory = (batch, time, width), (slots, width)
    build.check_shapes(
        [present, *tensors],
        [(batch, time), across, (batch, time, slots), across, memory, (width, width), (width,), (batch, *memory)],
    )
    problem = _Problem(batch=batch, time=time, slots=slots, width=width, unit=cell.normalization == "unit")
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        problem.keep = True
        whole = cast(Cell, cell)
        names, parameters = zip(*whole.named_parameters(), strict=True)
        plainly = partial(build.unroll_plainly, whole, lengths, names)
        gates, memories = _Unroll.apply(problem, plainly, present, *tensors, *parameters)  # type: ignore[no-untyped-call]
    else:
        gates, memories, _ = _forward(problem, present, tensors)
    return gates, map_state(lambda _: memories, state)


def _forward(problem: _Problem, present: Tensor, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Gates, last memories, and all that a backward pass needs, by the names in Problem.

    tensors: as in _GIVEN.
    """
    given = dict(zip(_GIVEN, map(build.in_order, tensors), strict=True))
    given["present"] = present.contiguous()
    first = given["first"]
    compiled = build.library(_OPERATOR, first.dtype)
    batch, time, slots = problem.batch, problem.time, problem.slots
    lanes = compiled.lanes_of_a_vector()
    room = -(-problem.width // lanes) * lanes
    features = first.new_empty(batch * time if problem.keep else 1, slots, room)
    gates, last = first.new_empty(batch, time, slots), torch.empty_like(first)
    build.call(_OPERATOR, compiled.forward, problem, **given, features=features, gates=gates, last=last)
    return gates, last, given | {"features": features, "gates": gates}


class _Unroll(torch.autograd.Function):
    """(problem, the plain definition, present, tensors as in _GIVEN, all parameters) to gates and last memories."""

    @staticmethod
    def forward(
        ctx: Any, problem: _Problem, plainly: Callable[..., list[Tensor]], present: Tensor, *tensors: Tensor
    ) -> Any:
        tensors, parameters = tensors[: len(_GIVEN)], tensors[len(_GIVEN) :]
        gates, last, kept = _forward(problem, present, tensors)
        ctx.set_materialize_grads(False)
        ctx.problem, ctx.plainly, ctx.names = problem, plainly, list(kept)
        ctx.function = build.library(_OPERATOR, tensors[0].dtype).backward
        ctx.save_for_backward(*kept.values(), tensors[0], tensors[-1], *parameters)
        return gates, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        count = len(ctx.names)
        kept, inputs = dict(zip(ctx.names, ctx.saved_tensors[:count], strict=True)), ctx.saved_tensors[count:]
        if build.wants_plain_gradients(gradients):
            sentences, *between, first = ctx.needs_input_grad[3 : 3 + len(_GIVEN)]
            needed = [sentences, first, *ctx.needs_input_grad[3 + len(_GIVEN) :]]
            d_sentences, d_first, *rest = build.plain_gradients(ctx.plainly, inputs, gradients, needed)
            return None, None, None, d_sentences, *(None for _ in between), d_first, *rest
        d_gates, d_last = build.gradients_in_order(gradients)
        found = {f"d_{name}": torch.empty_like(kept[name]) for name in _GIVEN}
        problem = _Problem.from_buffer_copy(ctx.problem)
        build.call(_OPERATOR, ctx.function, problem, **kept, **found, d_gates=d_gates, d_last=d_last)
        return None, None, None, *found.values(), *(None for _ in inputs[2:])
