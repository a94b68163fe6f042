"""Cells of a controller and a memory over whole sequences through controlled.h, see memnet.native."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor
from torch.nn import Linear

from memnet.cells import Cell, GRUCell
from memnet.native import build
from memnet.state import State, map_state, state_tensors

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
    """What memnet.unroll.unroll returns.

    steering: the linear layer that tells the memory what to do.
    shapes:   of the state's tensors after the controller's and the reads.
    more:     further parameters, by their names in the operator's Problem; their gradients are there as d_{name}.
    """
    more = more or {}
    projections = [*map(_projection, build.layers_of(cell.controller)), (steering.weight, steering.bias)]
    lengths = None if lengths is None else lengths.to(torch.int64, copy=True).contiguous()
    _check_shapes(problem, lengths, input, projections, state, shapes)
    tensors = [input, *(one for pair in projections for one in pair), *more.values(), *state_tensors(state)]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        whole = cast(Cell, cell)
        names, parameters = zip(*whole.named_parameters(), strict=True)
        plainly = partial(build.unroll_plainly, whole, lengths, names)
        given = (operator, problem, plainly, len(parameters), tuple(more), lengths, *tensors, *parameters)
        features, *last = _Unroll.apply(*given)  # type: ignore[no-untyped-call]
    else:
        features, last, _ = _forward(operator, problem, tuple(more), lengths, tensors, keep=False)
    rest = iter(last)
    return features, map_state(lambda _: next(rest), state)


def _check_shapes(
    problem: Problem,
    lengths: Tensor | None,
    input: Tensor,
    projections: Sequence[tuple[Tensor, Tensor]],
    state: Any,
    shapes: Sequence[tuple[int, ...]],
) -> None:
    """ValueError for sizes that C++ does not take."""
    batch, hidden, width = problem.batch, problem.hidden_size, problem.width
    recurrent = hidden * (problem.controller != build.KINDS["feedforward"])
    below = [problem.input_size + problem.reads * width + recurrent]
    below += [hidden + recurrent] * (problem.layers - 1) + [hidden]
    expected: list[tuple[int, ...]] = [(batch, problem.time, problem.input_size)]
    expected += [(weight.size(0), features) for (weight, _), features in zip(projections, below, strict=True)]
    expected += [(weight.size(0),) for weight, _ in projections]
    expected += [(batch, hidden)] * len(state_tensors(state.controller))
    expected += [(batch, problem.reads, width), *((batch, *shape) for shape in shapes)]
    given = [input, *(weight for weight, _ in projections), *(bias for _, bias in projections), *state_tensors(state)]
    if lengths is not None:
        given, expected = [*given, lengths], [*expected, (batch,)]
    build.check_shapes(given, expected)


def _projection(layer: Any) -> tuple[Tensor, Tensor]:
    """One matrix (units, features) and bias (units,) for all that a layer sees, its own hidden state last."""
    weight, bias, recurrent = layer.weight_ih, layer.bias_ih, layer.weight_hh
    if recurrent is None:
        return weight, bias
    recurrent_bias = layer.bias_hh
    if isinstance(layer, GRUCell):
        # The candidate's two sums stay apart, the hidden state's as a fourth gate.
        size = layer.hidden_size
        weight = torch.cat([weight, weight.new_zeros(size, weight.size(1))])
        recurrent = torch.cat([recurrent[: 2 * size], recurrent.new_zeros(size, size), recurrent[2 * size :]])
        bias = torch.cat([bias, bias.new_zeros(size)])
        if recurrent_bias is not None:
            recurrent_bias = torch.cat([recurrent_bias[: 2 * size], bias.new_zeros(size), recurrent_bias[2 * size :]])
    return torch.cat([weight, recurrent], 1), bias if recurrent_bias is None else bias + recurrent_bias


def _forward(
    operator: build.Operator,
    problem: Problem,
    more: Sequence[str],
    lengths: Tensor | None,
    tensors: Sequence[Tensor],
    *,
    keep: bool,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Features, last state, and what a backward pass needs (if `keep`).

    tensors: input; weight and bias of each projection; further parameters; leaves of the state.
    """
    input, *rest = [tensor.detach().contiguous().resolve_neg() for tensor in tensors]
    compiled = build.library(operator, input.dtype)
    count = 2 * (problem.layers + 1)
    weights, biases, own = rest[:count:2], rest[1:count:2], rest[count : count + len(more)]
    first = rest[count + len(more) :]
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
        operator,
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
        **dict(zip(more, own, strict=True)),
    )
    return features, last, [*weights, *own, *kept]


def _rooms(make: Callable[[int], Tensor], shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """Tensors of these shapes, cut from one, which the system's allocator keeps from step to step (no page faults)."""
    sizes = [-(-math.prod(shape) // _ALIGNED) * _ALIGNED for shape in shapes]
    parts = make(sum(sizes)).split(sizes)
    return [part[: math.prod(shape)].view(shape) for part, shape in zip(parts, shapes, strict=True)]


class _Unroll(torch.autograd.Function):
    """(operator, problem, plain definition, number of parameters, names of further ones, lengths, tensors as for
    _forward, parameters) to features and state leaves.

    Gradients go to weights and biases as the operator takes them or, of the plain definition, to the parameters.
    """

    @staticmethod
    def forward(
        ctx: Any,
        operator: build.Operator,
        problem: Problem,
        plainly: Callable[..., list[Tensor]],
        number: int,
        more: Sequence[str],
        lengths: Tensor | None,
        *tensors: Tensor,
    ) -> Any:
        given, parameters = tensors[:-number], tensors[-number:]
        features, last, kept = _forward(operator, problem, more, lengths, given, keep=True)
        ctx.set_materialize_grads(False)
        ctx.operator, ctx.problem, ctx.plainly, ctx.more = operator, problem, plainly, more
        ctx.shapes = [one.shape for one in last]
        ctx.kept, count = len(kept), 1 + 2 * (problem.layers + 1) + len(more)
        ctx.function = build.library(operator, tensors[0].dtype).backward
        ctx.save_for_backward(lengths, *kept, given[0], *given[count:], *parameters)
        return features, *last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        lengths, *kept = ctx.saved_tensors
        kept, inputs = kept[: ctx.kept], kept[ctx.kept :]
        problem, more = type(ctx.problem).from_buffer_copy(ctx.problem), ctx.more
        count = problem.layers + 1
        nothing, (needed, *wanted) = [None] * 6, ctx.needs_input_grad[6:]
        wants_projections, wanted = wanted[: 2 * count], wanted[2 * count :]
        wants_more, wanted = wanted[: len(more)], wanted[len(more) :]
        if build.wants_plain_gradients(gradients):
            d_input, *rest = build.plain_gradients(ctx.plainly, inputs, gradients, [needed, *wanted])
            return *nothing, d_input, *[None] * (2 * count + len(more)), *rest
        weights, own, kept = kept[:count], kept[count : count + len(more)], kept[count + len(more) :]
        operands, units = kept[:count], kept[count : 2 * count]
        parameters, *cells, saved, of_steps = kept[2 * count :]
        d_features, *d_last = [None if one is None else one.contiguous().resolve_neg() for one in gradients]
        # Nothing is written past the end of a row.
        make = saved.new_empty if lengths is None else saved.new_zeros
        d_input = make(problem.batch, problem.time, problem.input_size) if needed else None
        d_units = [torch.empty_like(one) for one in units]
        d_more = [torch.zeros_like(one) if want else None for one, want in zip(own, wants_more, strict=True)]
        d_first = [
            saved.new_empty(shape) if want else None
            for shape, want in zip(ctx.shapes, wanted[: len(ctx.shapes)], strict=True)
        ]
        build.call(
            ctx.operator,
            ctx.function,
            problem,
            lengths=lengths,
            weight=weights,
            operand=operands,
            units=units,
            parameters=parameters,
            cell=cells,
            saved=saved,
            kept=of_steps,
            d_features=d_features,
            d_last=d_last,
            d_input=d_input,
            d_units=d_units,
            d_first=d_first,
            **dict(zip(more, own, strict=True)),
            **{f"d_{name}": one for name, one in zip(more, d_more, strict=True)},
        )
        d_projections: list[Tensor | None] = []
        wants = zip(wants_projections[::2], wants_projections[1::2], strict=True)
        for operand, d_unit, (weight, bias) in zip(operands, d_units, wants, strict=True):
            given = d_unit.flatten(0, 1)
            d_projections += [
                given.t() @ operand[: problem.time].flatten(0, 1) if weight else None,
                given.sum(0) if bias else None,
            ]
        others = inputs[1 + len(ctx.shapes) :]
        return *nothing, d_input, *d_projections, *d_more, *d_first, *(None for _ in others)
