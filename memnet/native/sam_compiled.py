"""Sparse access memories over whole sequences through sam.cpp, see memnet.native.

As in memnet.native.sam the memory is changed in place, as far as a sequence may reach, and rolled back in the backward
pass. It computes what memnet's own layers of controllers and a scan of the slots do; else that operator runs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple, Protocol, cast

import torch
from torch import Tensor
from torch.nn import Linear

from memnet.cells import Cell
from memnet.functional.sparse import Entries
from memnet.native import build, controlled, near_slots
from memnet.native.sam import age_gradient, first_gradients, first_read, last_state, reach_of, steps_gone
from memnet.state import State, state_tensors, with_leaves

_OPERATOR = build.Operator("SAM", "sam.cpp")
# Of a state's tensors those behind the controller's and the reads: memory, read weights, age.
_OF_MEMORY = 3


class Steps(controlled.HeadSteps, Protocol):
    """A cell, as far as the operator reads it: what its names mean is told by memnet.SAMCell."""

    interface: Linear
    slots_per_read: int
    used_above: float
    approximate: bool


class _Problem(controlled.Problem):
    """SAMProblem in sam.cpp."""

    _fields_: ClassVar[Any] = [
        ("per_read", ctypes.c_int64),
        ("used_above", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("memory", "since", "ends", "last_slots", "last_weights", "chosen")),
        *((name, ctypes.c_void_p) for name in ("d_memory", "d_weights")),
    ]


def refusal(cell: Steps, input: Tensor, state: Any) -> str | None:
    """Why the compiled operator cannot run a call that memnet.native.sam.refusal has nothing against, else None."""
    if not controlled.as_built(cell.controller, cell.interface):
        return "it computes no normalized-lstm, and no layers of several kinds"
    if cell.approximate:
        slots = first_read(state.read_weights, cell.slots_per_read).slots
        if reach_of(cell, state, slots, input.size(1))[1] > near_slots.EXACT_SLOTS:
            return "an index finds its slots"
    parameters = [one for _, one in build.named_parameters(cell)]  # type: ignore[arg-type]
    return build.uncomputable(_OPERATOR, [input, *state_tensors(state), *parameters])


class _Call(NamedTuple):
    """What does not change between a call and its backward pass."""

    plan: controlled.Plan
    cell: Steps
    layout: State
    lengths: Tensor | None


class _Ran(NamedTuple):
    """What a forward pass leaves.

    problem:      sizes.
    reach:        slots that it could reach.
    first, last:  slots that were read before the first step, and in the last one, (batch, head, K).
    chosen:       (time, batch, place), slots that every step wrote and read.
    room:         see controlled.forward.
    """

    problem: _Problem
    reach: int
    first: Tensor
    last: Tensor
    chosen: Tensor
    room: Tensor


def unroll_sam(cell: Steps, input: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
    """What memnet.unroll.unroll returns, for a call that `refusal` has nothing against."""
    plan = controlled.plan_of(_OPERATOR, cell, cell.interface)
    lengths = None if lengths is None else lengths.to(torch.int64, copy=True).contiguous()
    call, tensors = _Call(plan, cell, state, lengths), [input, *state_tensors(state), *plan.parameters]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        features, *last = _Sequence.apply(call, *tensors)  # type: ignore[no-untyped-call]
    else:
        with torch.no_grad():
            features, last, _ = _forward(call, tensors, keep=False)
    return features, with_leaves(state, last)


def _forward(call: _Call, tensors: Sequence[Tensor], *, keep: bool) -> tuple[Tensor, list[Tensor], _Ran]:
    """Features, last state, and what the backward pass goes by.

    tensors: input; leaves of the state; parameters of the cell.
    """
    cell, lengths, steps = call.cell, call.lengths, tensors[0].size(1)
    state = with_leaves(call.layout, tensors[1 : len(tensors) - len(call.plan.parameters)])
    read = first_read(state.read_weights, cell.slots_per_read)
    end, reach = reach_of(cell, state, read.slots, steps)
    rows, since = _copied(state.memory, reach), _copied(state.age, reach)
    slots, weights = read.slots.clone(), read.weights.resolve_neg()
    batch, heads, count = slots.shape
    problem = controlled.problem_of_heads(_Problem, cell, tensors[0], state, per_read=count, used_above=cell.used_above)
    problem.slots = reach
    chosen = slots.new_empty(steps if keep else 0, batch, heads * (2 * count + 1))
    own = {
        "memory": rows,
        "since": since,
        "ends": slots.new_full((batch,), end),
        "last_slots": slots,
        "last_weights": weights,
        "chosen": chosen if keep else None,
    }
    given = _without_memory(call, tensors)
    features, last, room = controlled.forward(call.plan, problem, lengths, (), given, keep=keep, own=own)
    went, first = steps_gone(lengths, steps), (state.read_weights, state.memory, state.age)
    last += last_state(*first, rows, since, Entries(slots, weights), went)
    return features, last, _Ran(problem, reach, read.slots, slots, chosen, room)


def _without_memory(call: _Call, tensors: Sequence[Any]) -> list[Any]:
    """Of all tensors those but the memory, the read weights and the age."""
    leaves = len(tensors) - len(call.plan.parameters)
    return [*tensors[: leaves - _OF_MEMORY], *tensors[leaves:]]


def _copied(tensor: Tensor, reach: int) -> Tensor:
    return tensor[:, :reach].clone(memory_format=torch.contiguous_format).resolve_neg()


class _Sequence(torch.autograd.Function):
    """(call, tensors as for _forward) to features and state leaves."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *tensors: Tensor) -> Any:
        features, last, ran = _forward(call, tensors, keep=True)
        memory, age = last[-_OF_MEMORY], last[-1]
        ctx.set_materialize_grads(False)
        if not ctx.needs_input_grad[len(last) + 1]:
            ctx.mark_non_differentiable(age)
        ctx.call, ctx.problem, ctx.reach = call, ran.problem, ran.reach
        # All that is large is saved with the graph, and so goes with it.
        ctx.save_for_backward(memory, ran.first, ran.last, ran.chosen, ran.room, *tensors)
        return features, *last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        (memory, first, slots, chosen, room, *tensors), wanted = ctx.saved_tensors, ctx.needs_input_grad[1:]
        call: _Call = ctx.call
        plan, lengths = call.plan, call.lengths
        if build.wants_plain_gradients(gradients):
            plainly = partial(build.unroll_plainly, cast(Cell, call.cell), lengths, plan.names)
            return None, *build.plain_gradients(plainly, tensors, gradients, wanted)
        problem = _Problem.from_buffer_copy(ctx.problem)
        *given, d_memory, d_weights, d_age = build.gradients_in_order(gradients)
        rows = _copied(memory, ctx.reach)
        d_rows = torch.zeros_like(rows) if d_memory is None else _copied(d_memory, ctx.reach)
        d_read = rows.new_zeros(slots.shape) if d_weights is None else d_weights.gather(-1, slots)
        own = {"memory": rows, "chosen": chosen, "d_memory": d_rows, "d_weights": d_read}
        seen, needed = (_without_memory(call, one) for one in (tensors, wanted))
        found = controlled.backward(plan, problem, lengths, room, seen, given, needed, own)
        went, at = steps_gone(lengths, chosen.size(0)), len(given)
        whole = first_gradients(
            wanted[at : at + 2], (d_memory, d_weights), memory, d_rows, Entries(first, d_read), went
        )
        return None, *found[:at], *whole, age_gradient(d_age, went), *found[at:]
