"""Cells of a controller and a memory over whole sequences through controlled.h, see memnet.native."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import torch
from torch import Tensor
from torch.nn import Linear

from memnet.cells import Cell, GRUCell
from memnet.native import build
from memnet.state import State, state_tensors, with_leaves

# Numbers after which a tensor within another may begin: whole vectors of any processor.
_ALIGNED = 16


class Steps(Protocol):
    """A cell, as far as every such operator reads it: what its names mean is told by memnet.NTMCell."""

    controller: Cell
    input_size: int
    slot_size: int
    num_reads: int
    num_writes: int
    norm_floor: float


class Problem(ctypes.Structure):
    """Problem in controlled.h; those of a memory's own come after it."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "time", "input_size", "layers", "hidden_size", "controller")),
        *((name, ctypes.c_int64) for name in ("slots", "width", "reads", "writes", "depth", "segment")),
        ("norm_floor", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("lengths", "input", "weight", "bias", "first", "last", "features")),
        *((name, ctypes.c_void_p) for name in ("operand", "units", "parameters", "cell", "saved", "kept")),
        *((name, ctypes.c_void_p) for name in ("d_features", "d_last", "d_input", "d_units", "d_first")),
    ]


Own = TypeVar("Own", bound=Problem)


def as_built(controller: Cell, steering: object) -> bool:
    """Whether a cell's controller, and the linear layer after it, are those that controlled.h computes."""
    kinds = {type(layer) for layer in build.layers_of(controller)}
    known = type(steering) is Linear and len(kinds) == 1 and kinds <= build.LAYERS
    return known and not getattr(controller, "skip", False)


def problem_of(kind: type[Own], cell: Steps, input: Tensor, state: Any, **own: float) -> Own:
    """The sizes of a call, with those of the memory's own."""
    layers = build.layers_of(cell.controller)
    return kind(
        batch=input.size(0),
        time=input.size(1),
        input_size=cell.input_size,
        layers=len(layers),
        hidden_size=cell.controller.output_size,
        controller=build.KINDS[build.kind_of(layers[0])],
        slots=state.memory.size(1),
        width=cell.slot_size,
        reads=cell.num_reads,
        writes=cell.num_writes,
        norm_floor=cell.norm_floor,
        **own,
    )


class _Projection(NamedTuple):
    """One matrix (units, features) and bias (units,) for all that a layer sees, its own hidden state last.

    places: where among the cell's parameters its weight_ih and bias_ih are and, if it has them, weight_hh and bias_hh.
    size:   hidden units of a GRU, whose candidate's two sums stay apart, the hidden state's as a fourth gate; else 0.
    """

    places: tuple[int, ...]
    size: int = 0

    def joined(self, parameters: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Matrix and bias."""
        weight, bias, *own = (parameters[place] for place in self.places)
        if not own:
            return weight, bias
        recurrent, *more = own
        if size := self.size:
            weight = torch.cat([weight, weight.new_zeros(size, weight.size(1))])
            recurrent = torch.cat([recurrent[: 2 * size], recurrent.new_zeros(size, size), recurrent[2 * size :]])
            bias = torch.cat([bias, bias.new_zeros(size)])
            more = [torch.cat([one[: 2 * size], one.new_zeros(size), one[2 * size :]]) for one in more]
        return torch.cat([weight, recurrent], 1), bias + more[0] if more else bias

    def parted(self, weight: Tensor, bias: Tensor, inputs: int) -> list[Tensor]:
        """Gradients of the parameters, in the order of their places, from those of matrix and bias.

        inputs: features before the hidden state's, if there is one.
        """
        if len(self.places) == 2:
            return [weight, bias]
        recurrent, recurrent_bias = weight, bias
        if size := self.size:
            recurrent, recurrent_bias = (torch.cat([one[: 2 * size], one[3 * size :]]) for one in (weight, bias))
            weight, bias = weight[: 3 * size], bias[: 3 * size]
        return [weight[:, :inputs], bias, recurrent[:, inputs:], recurrent_bias][: len(self.places)]


class Plan:
    """A cell's parameters, and what they are to the operator.

    steering: the linear layer that tells the memory what to do.
    shapes:   of the state's tensors after the controller's and the reads.
    more:     further parameters, by their names in the operator's Problem; their gradients are there as d_{name}.
    """

    def __init__(
        self,
        operator: build.Operator,
        cell: Cell,
        layers: Sequence[Any],
        steering: Linear,
        shapes: Sequence[tuple[int, ...]],
        more: Mapping[str, Tensor],
    ) -> None:
        self.operator, self.cell, self.shapes = operator, cell, shapes
        self.names, self.parameters = zip(*build.named_parameters(cell), strict=True)
        places = {id(one): place for place, one in enumerate(self.parameters)}
        self.projections: list[_Projection] = []
        for layer in layers:
            own = (layer.weight_ih, layer.bias_ih, layer.weight_hh, layer.bias_hh)
            size = layer.hidden_size if isinstance(layer, GRUCell) else 0
            self.projections.append(_Projection(tuple(places[id(one)] for one in own if one is not None), size))
        self.projections.append(_Projection((places[id(steering.weight)], places[id(steering.bias)])))
        self.more = {name: places[id(one)] for name, one in more.items()}

    def check(
        self,
        problem: Problem,
        lengths: Tensor | None,
        input: Tensor,
        first: Sequence[Tensor],
        projections: Sequence[tuple[Tensor, Tensor]],
    ) -> None:
        """ValueError for sizes that C++ does not take."""
        batch, hidden, width = problem.batch, problem.hidden_size, problem.width
        recurrent = hidden * (problem.controller != build.KINDS["feedforward"])
        below = [problem.input_size + problem.reads * width + recurrent]
        below += [hidden + recurrent] * (problem.layers - 1) + [hidden]
        expected: list[tuple[int, ...]] = [(batch, problem.time, problem.input_size)]
        expected += [(weight.size(0), features) for (weight, _), features in zip(projections, below, strict=True)]
        expected += [(weight.size(0),) for weight, _ in projections]
        expected += [(batch, hidden)] * (len(first) - 1 - len(self.shapes))
        expected += [(batch, problem.reads, width), *((batch, *shape) for shape in self.shapes)]
        given = [input, *(weight for weight, _ in projections), *(bias for _, bias in projections), *first]
        if lengths is not None:
            given, expected = [*given, lengths], [*expected, (batch,)]
        build.check_shapes(given, expected)


def unroll_controlled(
    operator: build.Operator,
    problem: Problem,
    cell: Steps,
    steering: Linear,
    input: Tensor,
    state: State,
    lengths: Tensor | None,
    shapes: Sequence[tuple[int, ...]],
    more: Mapping[str, Tensor] | None = None,
) -> tuple[Tensor, State]:
    """What memnet.unroll.unroll returns. steering, shapes, more: see Plan."""
    plan = Plan(operator, cast(Cell, cell), build.layers_of(cell.controller), steering, shapes, more or {})
    lengths = None if lengths is None else lengths.to(torch.int64, copy=True).contiguous()
    tensors = [input, *state_tensors(state), *plan.parameters]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        features, *last = _Unroll.apply(plan, problem, lengths, *tensors)  # type: ignore[no-untyped-call]
    else:
        features, last, _ = forward(plan, problem, lengths, tensors, keep=False)
    return features, with_leaves(state, last)


def forward(
    plan: Plan,
    problem: Problem,
    lengths: Tensor | None,
    tensors: Sequence[Tensor],
    *,
    keep: bool,
    own: Mapping[str, Tensor | None] | None = None,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Features, last state, and what a backward pass needs (if `keep`).

    tensors: input; leaves of the state; parameters of the cell.
    own:     what else the memory's operator is given, by its names in its Problem.
    """
    input, *rest = [tensor.detach().contiguous().resolve_neg() for tensor in tensors]
    compiled = build.library(plan.operator, input.dtype)
    count = len(rest) - len(plan.parameters)
    first, parameters = rest[:count], rest[count:]
    projections = [one.joined(parameters) for one in plan.projections]
    plan.check(problem, lengths, input, first, projections)
    weights, biases = zip(*projections, strict=True)
    batch, time = problem.batch, problem.time
    problem.depth = time + 1 if keep else 2
    # The memory's state is kept once in so many steps, and computed again between them.
    problem.segment = max(1, round(1.5 * time**0.5))
    last = [torch.empty_like(one) for one in first]
    features = input.new_empty(batch, time, problem.hidden_size + problem.reads * problem.width)
    has_cells = problem.controller == build.KINDS["lstm"]
    shapes = [(problem.depth, batch, weight.size(1)) for weight in weights]
    shapes += [(problem.depth - 1, batch, weight.size(0)) for weight in weights]
    shapes += [(problem.depth - 1, batch, weights[-1].size(0))]
    shapes += [(problem.depth, batch, problem.hidden_size)] * (problem.layers * has_cells)
    if keep:
        for steps, numbers in (
            (-(-time // problem.segment), compiled.numbers_of_state),
            (time, compiled.numbers_of_step),
        ):
            numbers.restype = ctypes.c_int64
            shapes += [(steps, batch, numbers(ctypes.byref(problem)))]
    # Nothing is written past the end of a row, and products of it must be zero.
    kept = _rooms(input.new_empty if lengths is None else input.new_zeros, shapes)
    layers = problem.layers + 1
    build.call(
        plan.operator,
        compiled.forward,
        problem,
        lengths=lengths,
        input=input,
        weight=weights,
        bias=biases,
        first=first,
        last=last,
        features=features,
        operand=kept[:layers],
        units=kept[layers : 2 * layers],
        parameters=kept[2 * layers],
        cell=kept[2 * layers + 1 : len(kept) - 2 * keep],
        saved=kept[-2] if keep else None,
        kept=kept[-1] if keep else None,
        **{name: parameters[place] for name, place in plan.more.items()},
        **(own or {}),
    )
    return features, last, [*weights, *kept]


def _rooms(make: Callable[[int], Tensor], shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """Tensors of these shapes, cut from one, which the system's allocator keeps from step to step (no page faults)."""
    starts = [0, *accumulate(-(-math.prod(shape) // _ALIGNED) * _ALIGNED for shape in shapes)]
    room = make(starts.pop())
    strides = ((rows * width, width, 1) for _, rows, width in shapes)
    return [room.as_strided(*one) for one in zip(shapes, strides, starts, strict=True)]


class _Unroll(torch.autograd.Function):
    """(plan, problem, lengths, tensors as for forward) to features and state leaves."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, problem: Problem, lengths: Tensor | None, *tensors: Tensor) -> Any:
        features, last, kept = forward(plan, problem, lengths, tensors, keep=True)
        ctx.set_materialize_grads(False)
        ctx.plan, ctx.problem, ctx.kept = plan, problem, len(kept)
        ctx.plainly = partial(build.unroll_plainly, plan.cell, lengths, plan.names)
        ctx.function = build.library(plan.operator, tensors[0].dtype).backward
        ctx.save_for_backward(lengths, *kept, *tensors)
        return features, *last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        lengths, *saved = ctx.saved_tensors
        kept, tensors, wanted = saved[: ctx.kept], saved[ctx.kept :], ctx.needs_input_grad[3:]
        if build.wants_plain_gradients(gradients):
            return None, None, None, *build.plain_gradients(ctx.plainly, tensors, gradients, wanted)
        problem = type(ctx.problem).from_buffer_copy(ctx.problem)
        gradients = tuple(None if one is None else one.contiguous().resolve_neg() for one in gradients)
        found = backward(ctx.plan, problem, ctx.function, lengths, kept, tensors, gradients, wanted)
        return None, None, None, *found


def backward(
    plan: Plan,
    problem: Problem,
    function: Any,
    lengths: Tensor | None,
    kept: Sequence[Tensor],
    tensors: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    wanted: Sequence[bool],
    own: Mapping[str, Tensor | None] | None = None,
) -> list[Tensor | None]:
    """Gradients of the tensors that want one, from those of features and last state; own as for `forward`."""
    count, leaves = problem.layers + 1, len(gradients) - 1
    weights, operands, units = kept[:count], kept[count : 2 * count], kept[2 * count : 3 * count]
    emitted, *cells, saved, of_steps = kept[3 * count :]
    parameters, wants = tensors[1 + leaves :], wanted[1 + leaves :]
    # Nothing is written past the end of a row.
    make = saved.new_empty if lengths is None else saved.new_zeros
    d_input = make(problem.batch, problem.time, problem.input_size) if wanted[0] else None
    d_units = [torch.empty_like(one) for one in units]
    pairs = zip(tensors[1 : 1 + leaves], wanted[1 : 1 + leaves], strict=True)
    d_first = [saved.new_empty(one.shape) if want else None for one, want in pairs]
    d_parameters: list[Tensor | None] = [None] * len(parameters)
    for place in plan.more.values():
        d_parameters[place] = torch.zeros_like(parameters[place]) if wants[place] else None
    build.call(
        plan.operator,
        function,
        problem,
        lengths=lengths,
        weight=weights,
        operand=operands,
        units=units,
        parameters=emitted,
        cell=cells,
        saved=saved,
        kept=of_steps,
        d_features=gradients[0],
        d_last=gradients[1:],
        d_input=d_input,
        d_units=d_units,
        d_first=d_first,
        **{name: parameters[place].detach().contiguous().resolve_neg() for name, place in plan.more.items()},
        **{f"d_{name}": d_parameters[place] for name, place in plan.more.items()},
        **(own or {}),
    )
    for projection, operand, d_unit in zip(plan.projections, operands, d_units, strict=True):
        if not any(wants[place] for place in projection.places):
            continue
        given, seen = d_unit.flatten(0, 1), operand[: problem.time].flatten(0, 1)
        parts = projection.parted(given.t() @ seen, given.sum(0), seen.size(1) - problem.hidden_size)
        for place, one in zip(projection.places, parts, strict=True):
            before = d_parameters[place]
            # A layer may stand in several places.
            d_parameters[place] = one if before is None else before + one
    return [d_input, *d_first, *d_parameters]
