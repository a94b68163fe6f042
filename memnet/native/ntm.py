"""NTMs over whole sequences through ntm.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn import Linear

from memnet.cells import Cell, FeedForwardCell, GRUCell, LSTMCell, RNNCell
from memnet.native import build
from memnet.state import State, map_state, state_tensors

_OPERATOR = build.Operator("NTM", "ntm.cpp")
# Numbers after which a tensor within another may begin: whole vectors of any processor.
_ALIGNED = 16


class Steps(Protocol):
    """A cell, as far as the operator reads it: what its names mean is told by memnet.NTMCell."""

    controller: Cell
    heads: Linear
    input_size: int
    slot_size: int
    num_reads: int
    num_writes: int
    shift_range: int
    norm_floor: float

    @property
    def addressing(self) -> str: ...

    @property
    def read_order(self) -> str: ...


def refusal(cell: Cell, input: Tensor, state: State, *, own: bool) -> str | None:
    """Why the compiled operator cannot run a cell on this input and state, None where it can.

    own: whether the cell is an NTMCell, not of a class that takes after it, and emits what it was built to.
    """
    return build.refusal(_OPERATOR, cell, input, state, own=own, as_built=_as_built)


def _as_built(cell: Steps) -> bool:
    """Whether the cell's parts are those that ntm.cpp computes."""
    kinds = {type(layer) for layer in build.layers_of(cell.controller)}
    known = type(cell.heads) is Linear and len(kinds) == 1 and kinds <= build.LAYERS
    return known and not getattr(cell.controller, "skip", False)


class _Problem(ctypes.Structure):
    """Problem in ntm.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "time", "input_size", "layers", "hidden_size", "controller")),
        *((name, ctypes.c_int64) for name in ("slots", "width", "reads", "writes", "shift_range")),
        *((name, ctypes.c_int64) for name in ("by_content", "by_location", "after_write", "depth", "segment")),
        ("norm_floor", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("lengths", "input", "weight", "bias", "first", "last", "features")),
        *((name, ctypes.c_void_p) for name in ("operand", "units", "parameters", "cell")),
        *((name, ctypes.c_void_p) for name in ("saved_memory", "saved_weights")),
        *((name, ctypes.c_void_p) for name in ("d_features", "d_last", "d_input", "d_units", "d_weight", "d_first")),
    ]


# As ntm.cpp counts them.
_CONTROLLERS = {"feedforward": 0, "tanh": 1, "relu": 2, "lstm": 3, "gru": 4}


def unroll_ntm(cell: Steps, input: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
    """What memnet.unroll.unroll returns, for a call that `refusal` has nothing against."""
    layers, heads = build.layers_of(cell.controller), cell.heads
    projections = [*(_projection(layer) for layer in layers), (heads.weight, heads.bias)]
    problem = _Problem(
        batch=input.size(0),
        time=input.size(1),
        input_size=cell.input_size,
        layers=len(layers),
        hidden_size=cell.controller.output_size,
        controller=_CONTROLLERS[_kind(layers[0])],
        slots=state.memory.size(1),
        width=cell.slot_size,
        reads=cell.num_reads,
        writes=cell.num_writes,
        shift_range=cell.shift_range,
        by_content=cell.addressing != "location",
        by_location=cell.addressing != "content",
        after_write=cell.read_order == "after-write",
        norm_floor=cell.norm_floor,
    )
    lengths = None if lengths is None else lengths.to(torch.int64, copy=True).contiguous()
    _check_shapes(problem, lengths, input, projections, state)
    tensors = [input, *(tensor for pair in projections for tensor in pair), *state_tensors(state)]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        whole = cast(Cell, cell)
        names, parameters = zip(*whole.named_parameters(), strict=True)
        plainly = partial(build.unroll_plainly, whole, lengths, names)
        count = len(parameters)
        features, *last = _Unroll.apply(problem, plainly, count, lengths, *tensors, *parameters)  # type: ignore[no-untyped-call]
    else:
        features, last, _ = _forward(problem, lengths, tensors, keep=False)
    rest = iter(last)
    return features, map_state(lambda _: next(rest), state)


def _check_shapes(
    problem: _Problem,
    lengths: Tensor | None,
    input: Tensor,
    projections: Sequence[tuple[Tensor, Tensor]],
    state: State,
) -> None:
    """ValueError for sizes that ntm.cpp does not take."""
    batch, hidden, width, slots = problem.batch, problem.hidden_size, problem.width, problem.slots
    recurrent = hidden * (problem.controller != _CONTROLLERS["feedforward"])
    below = [problem.input_size + problem.reads * width + recurrent]
    below += [hidden + recurrent] * (problem.layers - 1) + [hidden]
    expected: list[tuple[int, ...]] = [(batch, problem.time, problem.input_size)]
    expected += [(weight.size(0), features) for (weight, _), features in zip(projections, below, strict=True)]
    expected += [(weight.size(0),) for weight, _ in projections]
    expected += [(batch, hidden)] * len(state_tensors(state.controller))
    expected += [(batch, problem.reads, width), (batch, slots, width)]
    expected += [(batch, problem.reads, slots), (batch, problem.writes, slots)]
    given = [input, *(weight for weight, _ in projections), *(bias for _, bias in projections), *state_tensors(state)]
    if lengths is not None:
        given, expected = [*given, lengths], [*expected, (batch,)]
    build.check_shapes(given, expected)
    if problem.by_location and 2 * problem.shift_range + 1 > slots:
        raise ValueError(f"shift_range {problem.shift_range} needs {2 * problem.shift_range + 1} slots, not {slots}")


def _kind(layer: Any) -> str:
    if isinstance(layer, RNNCell):
        return layer.nonlinearity
    return {FeedForwardCell: "feedforward", LSTMCell: "lstm", GRUCell: "gru"}[type(layer)]


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
    problem: _Problem, lengths: Tensor | None, tensors: Sequence[Tensor], *, keep: bool
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Features, last state, and what a backward pass needs (if `keep`).

    tensors: input; weight and bias of each projection; leaves of the state.
    """
    input, *rest = [tensor.detach().contiguous().resolve_neg() for tensor in tensors]
    compiled = build.library(_OPERATOR, input.dtype)
    count = 2 * (problem.layers + 1)
    weights, biases, first = rest[:count:2], rest[1:count:2], rest[count:]
    batch, time = problem.batch, problem.time
    problem.depth = time + 1 if keep else 2
    # Memory and weightings are kept once in so many steps, and computed again between them.
    problem.segment = max(1, round(1.5 * time**0.5))
    last = [torch.empty_like(one) for one in first]
    features = input.new_empty(batch, time, problem.hidden_size + problem.reads * problem.width)
    has_cells = problem.controller == _CONTROLLERS["lstm"]
    shapes = [(problem.depth, batch, weight.size(1)) for weight in weights]
    shapes += [(problem.depth - 1, batch, weight.size(0)) for weight in weights]
    shapes += [(problem.depth - 1, batch, weights[-1].size(0))]
    shapes += [(problem.depth, batch, problem.hidden_size)] * (problem.layers * has_cells)
    if keep:
        lanes = compiled.lanes_of_a_vector()
        blocks = -(-time // problem.segment) * batch * -(-problem.slots // lanes)
        shapes += [(blocks, width, lanes) for width in (problem.width, problem.reads + problem.writes)]
    # Nothing is written past the end of a row, and products of it must be zero.
    kept = _rooms(input.new_empty if lengths is None else input.new_zeros, shapes)
    layers = problem.layers + 1
    operands, units, parameters = kept[:layers], kept[layers : 2 * layers], kept[2 * layers]
    cells = kept[2 * layers + 1 : len(kept) - 2 * keep]
    memory, weightings = kept[-2:] if keep else (None, None)
    build.call(
        _OPERATOR,
        compiled.forward,
        problem,
        lengths=lengths,
        input=input,
        weight=weights,
        bias=biases,
        first=first,
        last=last,
        features=features,
        operand=operands,
        units=units,
        parameters=parameters,
        cell=cells,
        saved_memory=memory,
        saved_weights=weightings,
    )
    return features, last, [*weights, *kept]


def _rooms(make: Callable[[int], Tensor], shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """Tensors of these shapes, cut from one, which the system's allocator keeps from step to step (no page faults)."""
    sizes = [-(-math.prod(shape) // _ALIGNED) * _ALIGNED for shape in shapes]
    parts = make(sum(sizes)).split(sizes)
    return [part[: math.prod(shape)].view(shape) for part, shape in zip(parts, shapes, strict=True)]


class _Unroll(torch.autograd.Function):
    """(problem, plain definition, number of parameters, lengths, tensors as for _forward, parameters) to features and
    state leaves.

    Gradients go to weights and biases as the operator takes them or, of the plain definition, to the parameters.
    """

    @staticmethod
    def forward(
        ctx: Any,
        problem: _Problem,
        plainly: Callable[..., list[Tensor]],
        number: int,
        lengths: Tensor | None,
        *tensors: Tensor,
    ) -> Any:
        given, parameters = tensors[:-number], tensors[-number:]
        features, last, kept = _forward(problem, lengths, given, keep=True)
        ctx.set_materialize_grads(False)
        ctx.problem, ctx.plainly, ctx.shapes = problem, plainly, [one.shape for one in last]
        ctx.kept, count = len(kept), 1 + 2 * (problem.layers + 1)
        ctx.function = build.library(_OPERATOR, tensors[0].dtype).backward
        ctx.save_for_backward(lengths, *kept, given[0], *given[count:], *parameters)
        return features, *last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        lengths, *kept = ctx.saved_tensors
        kept, inputs = kept[: ctx.kept], kept[ctx.kept :]
        problem = _Problem.from_buffer_copy(ctx.problem)
        count = problem.layers + 1
        needed, *more = ctx.needs_input_grad[4:]
        if build.wants_plain_gradients(gradients):
            asked = [needed, *more[2 * count :]]
            d_input, *rest = build.plain_gradients(ctx.plainly, inputs, gradients, asked)
            return None, None, None, None, d_input, *[None] * (2 * count), *rest
        weights, operands, units = (kept[start : start + count] for start in (0, count, 2 * count))
        parameters, *cells, memory, weightings = kept[3 * count :]
        d_features, *d_last = [None if one is None else one.contiguous().resolve_neg() for one in gradients]
        # Nothing is written past the end of a row.
        make = memory.new_empty if lengths is None else memory.new_zeros
        d_input = make(problem.batch, problem.time, problem.input_size) if needed else None
        d_units = [torch.empty_like(one) for one in units]
        # Of bias and weights together, where one of them is asked for.
        d_weights = [
            memory.new_empty(1 + weight.size(1), weight.size(0)) if any(more[2 * index : 2 * index + 2]) else None
            for index, weight in enumerate(weights)
        ]
        d_first = [
            memory.new_empty(shape) if needed else None
            for shape, needed in zip(ctx.shapes, more[2 * count : 2 * count + len(ctx.shapes)], strict=True)
        ]
        build.call(
            _OPERATOR,
            ctx.function,
            problem,
            lengths=lengths,
            weight=weights,
            operand=operands,
            units=units,
            parameters=parameters,
            cell=cells,
            saved_memory=memory,
            saved_weights=weightings,
            d_features=d_features,
            d_last=d_last,
            d_input=d_input,
            d_units=d_units,
            d_weight=d_weights,
            d_first=d_first,
        )
        d_projections = [part for one in d_weights for part in ((None, None) if one is None else (one[1:].t(), one[0]))]
        parameters = inputs[1 + len(ctx.shapes) :]
        return None, None, None, None, d_input, *d_projections, *d_first, *(None for _ in parameters)
