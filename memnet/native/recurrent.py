"""Layers of recurrent networks over whole sequences through recurrent.cpp, see memnet.native."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from memnet.cells import AnswerRun, Cell, GRUCell, LSTMCell, RNNCell, Softened, StraightRun
from memnet.native import build, recurrent_single
from memnet.native.recurrent_layers import OPERATOR, Kept, Layer, Plan, Problem
from memnet.state import State, state_tensors, with_leaves

# Columns so few that a product gives them slower than their rows, which are then transposed.
_NARROW = 64


def refusal(cell: Cell, input: Tensor, state: State) -> str | None:
    """Why the compiled operator cannot run a layer, or a stack of them, on this input and state, None where it can."""
    return build.refusal(OPERATOR, cell, input, state, own=True, as_built=_as_built)


def _as_built(cell: Cell) -> bool:
    return {type(layer) for layer in build.layers_of(cell)} <= {RNNCell, LSTMCell, GRUCell}


def unroll_recurrent(cell: Cell, input: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
    """What memnet.unroll.unroll returns, for a call that `refusal` has nothing against."""
    plan = Plan(cell)
    lengths = None if lengths is None else lengths.to(torch.int64, copy=True).contiguous()
    plan.check(input, state, lengths)
    tensors = [input, *state_tensors(state), *plan.parameters]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        features, *last = _Unroll.apply(plan, lengths, *tensors)  # type: ignore[no-untyped-call]
    else:
        features, last, _ = _forward(plan, lengths, tensors, keep=False)
    return features, with_leaves(state, last)


class _Answering:
    """What Cell.answering returns."""

    def __init__(self, cell: Cell, input: Tensor, state: State) -> None:
        self._plan = Plan(cell)
        self._plan.check(input, state, None)
        self.reads = set(map(id, (self._plan.parameters[place] for one in self._plan.layers for place in one.weights)))

    def __call__(self, input: Tensor, first: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        features, last, _ = _forward(self._plan, None, [input, *first, *self._plan.parameters], keep=False)
        return features, last


class _Straight:
    """What Cell.straight returns."""

    softened: Sequence[Softened] = ()

    def __init__(self, cell: Cell, input: Tensor, state: State, gradients: Mapping[int, Tensor]) -> None:
        self._plan, leaves = Plan(cell), state_tensors(state)
        self._plan.check(input, state, None)
        parameters = self._plan.parameters
        self.features = input.new_empty(*input.shape[:2], self._plan.output_size)
        self.first = [one.detach().clone(memory_format=torch.contiguous_format) for one in leaves]
        self.d_first = [
            torch.empty_like(one) if leaf.requires_grad else None for one, leaf in zip(self.first, leaves, strict=True)
        ]
        read = [place for layer in self._plan.layers for place in layer.weights]
        self._own = {place: own for place in read if (own := gradients.get(id(parameters[place]))) is not None}
        self.written = {id(parameters[place]) for place in self._own}
        self._wanted = [False, *(one is not None for one in self.d_first)]
        self._wanted += [place in self._own for place in range(len(parameters))]
        self._forms = build.forms(parameters)
        self._tensors: list[Tensor] = []
        self._kept: list[Kept] = []

    def forward(self, input: Tensor) -> None:
        build.check_forms(self._plan.parameters, self._forms)
        self._tensors = [input, *self.first, *self._plan.parameters]
        _, _, self._kept = _forward(self._plan, None, self._tensors, keep=True, features=self.features)

    def backward(self, d_features: Tensor) -> None:
        given = [d_features.view_as(self.features), *([None] * len(self.first))]
        _, *found = _backward(self._plan, None, self._kept, self._tensors, given, self._wanted)
        places = [*self.d_first, *(self._own.get(place) for place in range(len(self._plan.parameters)))]
        pairs = [(to, one) for to, one in zip(places, found, strict=True) if to is not None and one is not None]
        for to, one in pairs:
            to.copy_(one)


def straight(cell: Cell, input: Tensor, state: State, gradients: Mapping[int, Tensor]) -> StraightRun:
    """What Cell.straight returns, for a call that `refusal` has nothing against."""
    return _Straight(cell, input, state, gradients)


def answering(cell: Cell, input: Tensor, state: State) -> AnswerRun:
    """What Cell.answering returns, for a call that `refusal` has nothing against."""
    return _Answering(cell, input, state)


def _problem(layer: Layer, hidden: Tensor, features: Tensor, depth: int) -> Problem:
    steps, batch, size = hidden.shape
    row_step, time_step, _ = features.stride()
    kind, strides = build.KINDS[layer.kind], {"row_step": row_step, "time_step": time_step}
    return Problem(batch=batch, time=steps - 1, size=size, layer=kind, depth=depth, **strides)


def _forward(
    plan: Plan, lengths: Tensor | None, tensors: Sequence[Tensor], *, keep: bool, features: Tensor | None = None
) -> tuple[Tensor, list[Tensor], list[Kept]]:
    """Features, last state, and of every layer what a backward pass needs (if `keep`).

    tensors:  input; leaves of the state; parameters of the cell.
    features: where they are to be written.
    """
    if features is None:
        features = tensors[0].new_empty(*tensors[0].shape[:2], plan.output_size)
    if recurrent_single.runs(plan, tensors[0]):
        return recurrent_single.forward(plan, lengths, tensors, features, keep=keep)
    input, *rest = map(build.in_order, tensors)
    first, parameters = rest[: plan.leaves], rest[plan.leaves :]
    batch, time, _ = input.shape
    own, function = _by_step(input), build.library(OPERATOR, input.dtype).forward
    last = [torch.empty_like(one) for one in first]
    kept: list[Kept] = []
    below: list[Tensor] = []
    for layer in plan.layers:
        weight, recurrent, bias, *more = (parameters[place] for place in layer.weights)
        apart = layer.kind == "gru"
        units = input.new_empty(time * batch, layer.units)
        projected = units[:, : layer.projected]
        start = bias + more[0] if more and not apart else bias
        for seen, columns in _seen(layer, own, below):
            torch.addmm(start, seen, weight[:, columns].t(), out=projected)
            start = projected
        depth = time + 1 if keep else 2
        hidden = input.new_empty(time + 1, batch, layer.size)
        cell = input.new_empty(depth * (layer.kind == "lstm"), batch, layer.size)
        build.call(
            OPERATOR,
            function,
            _problem(layer, hidden, features, depth),
            lengths=lengths,
            weight=recurrent,
            bias=more[0] if more and apart else None,
            first=first[layer.leaves],
            last=last[layer.leaves],
            units=units,
            hidden=hidden,
            cell=cell,
            features=None if layer.features is None else features[:, :, layer.features],
        )
        below = [hidden[1:].flatten(0, 1)]
        if keep:
            # An RNN's units are its hidden states.
            kept.append(Kept(units if layer.units > layer.size else units.new_empty(0), hidden, cell))
    return features, last, kept


def _by_step(input: Tensor) -> Tensor:
    """(batch, time, features) as (time * batch, features)."""
    return input.transpose(0, 1).reshape(-1, input.size(-1))


def _seen(layer: Layer, input: Tensor, below: Sequence[Tensor]) -> list[tuple[Tensor, slice]]:
    """What a layer sees, (time * batch, features), with its columns of weight_ih: the input, if any of it, first."""
    found = [(input, slice(layer.inputs))] if layer.inputs else []
    return found + [(one, slice(layer.inputs, None)) for one in below]


class _Unroll(torch.autograd.Function):
    """(plan, lengths, tensors as for _forward) to features and state leaves."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, lengths: Tensor | None, *tensors: Tensor) -> Any:
        features, last, kept = _forward(plan, lengths, tensors, keep=True)
        ctx.set_materialize_grads(False)
        ctx.plan, ctx.plainly = plan, partial(build.unroll_plainly, plan.cell, lengths, plan.names)
        ctx.save_for_backward(lengths, *(one for layer in kept for one in layer), *tensors)
        return features, *last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        plan, wanted = ctx.plan, ctx.needs_input_grad[2:]
        lengths, *saved = ctx.saved_tensors
        flat, tensors = saved[: -len(wanted)], saved[-len(wanted) :]
        if build.wants_plain_gradients(gradients):
            return None, None, *build.plain_gradients(ctx.plainly, tensors, gradients, wanted)
        kept = [Kept(*flat[at : at + 3]) for at in range(0, len(flat), 3)]
        given = build.gradients_in_order(gradients)
        return None, None, *_backward(plan, lengths, kept, tensors, given, wanted)


def _backward(
    plan: Plan,
    lengths: Tensor | None,
    kept: Sequence[Kept],
    tensors: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of the tensors that want one, from those of features and last state."""
    if recurrent_single.runs(plan, tensors[0]):
        return recurrent_single.backward(plan, lengths, kept, tensors, gradients, wanted)
    input, *rest = map(build.in_order, tensors)
    function = build.library(OPERATOR, input.dtype).backward
    parameters, wants_first, wants = rest[plan.leaves :], wanted[1 : 1 + plan.leaves], wanted[1 + plan.leaves :]
    d_features, *d_last = gradients
    own, (batch, time, _) = _by_step(input), input.shape
    d_input = torch.zeros_like(own) if wanted[0] else None
    d_first: list[Tensor | None] = [None] * plan.leaves
    d_parameters: list[Tensor | None] = [None] * len(parameters)
    d_above: Tensor | None = None
    for index, layer in reversed([*enumerate(plan.layers)]):
        units, hidden, cell = kept[index]
        weight, recurrent = (parameters[place] for place in layer.weights[:2])
        d_units, d_bias = own.new_empty(time * batch, layer.units), own.new_empty(layer.units)
        d_first[layer.leaves] = [torch.empty_like(hidden[0]) if want else None for want in wants_first[layer.leaves]]
        shown = None if layer.features is None or d_features is None else d_features[:, :, layer.features]
        build.call(
            OPERATOR,
            function,
            _problem(layer, hidden, hidden if shown is None else shown, time + 1),
            lengths=lengths,
            weight=recurrent,
            units=units if len(units) else None,
            hidden=hidden,
            cell=cell,
            d_features=shown,
            d_above=d_above,
            d_last=d_last[layer.leaves],
            d_units=d_units,
            d_bias=d_bias,
            d_first=d_first[layer.leaves],
        )
        below = [kept[index - 1].hidden[1:].flatten(0, 1)] if index else []
        seen = _seen(layer, own, below)
        given = (d_units, d_bias, seen, hidden[:-1].flatten(0, 1))
        found = _of_weights(layer, *given, [wants[place] for place in layer.weights])
        layer.add(d_parameters, found)
        d_projected = d_units[:, : layer.projected]
        if d_input is not None and layer.inputs:
            d_input.addmm_(d_projected, weight[:, : layer.inputs])
        d_above = d_projected @ weight[:, layer.inputs :] if below else None
    d_given = None if d_input is None else d_input.view(time, batch, input.size(-1)).transpose(0, 1)
    return [d_given, *d_first, *d_parameters]


def _of_weights(
    layer: Layer,
    d_units: Tensor,
    d_bias: Tensor,
    seen: Sequence[tuple[Tensor, slice]],
    hidden: Tensor,
    wants: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of a layer's weights that want one, from those of its units and from what they were multiplied with.

    d_units: (time * batch, units), and d_bias their sum.
    hidden:  (time * batch, size), the states before each step.
    """
    found: list[Tensor | None] = [None] * len(wants)
    d_projected = d_units[:, : layer.projected]
    if wants[0]:
        found[0] = d_weight = d_units.new_empty(layer.projected, sum(one.size(1) for one, _ in seen))
        for one, columns in seen:
            if one.size(1) < _NARROW:
                d_weight[:, columns] = (one.t() @ d_projected).t()
            else:
                torch.mm(d_projected.t(), one, out=d_weight[:, columns])
    if wants[1]:
        found[1] = d_recurrent = d_units.new_empty(layer.projected, layer.size)
        for rows, columns in layer.recalled:
            torch.mm(d_units[:, columns].t(), hidden, out=d_recurrent[rows])
    if wants[2]:
        found[2] = d_bias[: layer.projected]
    if wants[3:] == [True]:
        found[3] = torch.cat([d_bias[columns] for _, columns in layer.recalled])
    return found
