"""Layers of recurrent networks over one sequence: each in one call, its products and gradients of weights among it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from memnet.native import build
from memnet.native.recurrent_layers import OPERATOR, Kept, Layer, Plan, Problem

# Of a layer, in the order of Layer.weights.
_WEIGHTS = ("seen_weight", "weight", "seen_bias", "recalled_bias")
# Features of which a product with all steps at once costs more than with one step after the other.
_FEW = 64
# Weights that stay in the second cache while steps go by, what else is read left room.
_MOST = 1 << 17
# Numbers of a vector at the most, which may be read behind what was seen.
_VECTOR = 16


def runs(plan: Plan, input: Tensor) -> bool:
    """Whether it is one sequence, of which layers see so little that products of all steps at once gain nothing."""
    return input.size(0) == 1 and all(
        layer.inputs + layer.belows <= _FEW and layer.seen * layer.units <= _MOST for layer in plan.layers
    )


def forward(
    plan: Plan, lengths: Tensor | None, tensors: Sequence[Tensor], features: Tensor, *, keep: bool
) -> tuple[Tensor, list[Tensor], list[Kept]]:
    """Features, which are written, last state, and what a backward pass needs (if `keep`); see recurrent.py."""
    input, *rest = map(build.in_order, tensors)
    first, parameters = rest[: plan.leaves], rest[plan.leaves :]
    time, function = input.size(1), build.library(OPERATOR, input.dtype).forward_single
    last, kept = [torch.empty_like(one) for one in first], list[Kept]()
    below, below_step = None, 0
    for layer in plan.layers:
        cells = (time + 1 if keep else 2) * (layer.kind == "lstm")
        own = Kept(
            units=input.new_empty(time * layer.units),
            hidden=input.new_empty((time + 1) * layer.seen + _VECTOR),
            cell=input.new_empty(cells * layer.size),
        )
        build.call(
            OPERATOR,
            function,
            _problem(layer, plan, time, time + 1 if keep else 2, below_step),
            lengths=lengths,
            input=input,
            below=below,
            first=first[layer.leaves],
            last=last[layer.leaves],
            features=None if layer.features is None else features[:, :, layer.features],
            **_of_layer(layer, parameters, own),
        )
        kept.append(own)
        # What it has made of the first step on.
        below, below_step = own.hidden[2 * layer.seen - layer.size :], layer.seen
    return features, last, kept


def backward(
    plan: Plan,
    lengths: Tensor | None,
    kept: Sequence[Kept],
    tensors: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of the tensors that want one, from those of features and last state."""
    input, *rest = map(build.in_order, tensors)
    parameters, wants_first, wants = rest[plan.leaves :], wanted[1 : 1 + plan.leaves], wanted[1 + plan.leaves :]
    d_features, *d_last = gradients
    time, function = input.size(1), build.library(OPERATOR, input.dtype).backward_single
    d_input = torch.zeros_like(input) if wanted[0] else None
    pairs = zip(rest[: plan.leaves], wants_first, strict=True)
    d_first = [torch.empty_like(one) if want else None for one, want in pairs]
    d_parameters: list[Tensor | None] = [None] * len(parameters)
    d_above: Tensor | None = None
    for layer, own in reversed([*zip(plan.layers, kept, strict=True)]):
        d_below = input.new_empty(time, layer.belows) if layer.belows else None
        found = [torch.empty_like(parameters[place]) if wants[place] else None for place in layer.weights]
        build.call(
            OPERATOR,
            function,
            _problem(layer, plan, time, time + 1),
            lengths=lengths,
            d_features=None if layer.features is None or d_features is None else d_features[:, :, layer.features],
            d_above=d_above,
            d_last=d_last[layer.leaves],
            d_first=d_first[layer.leaves],
            d_input=d_input if layer.inputs else None,
            d_below=d_below,
            **_of_layer(layer, parameters, own),
            **{f"d_{name}": one for name, one in zip(_WEIGHTS, found, strict=False)},
        )
        layer.add(d_parameters, found)
        d_above = d_below
    return [d_input, *d_first, *d_parameters]


def _problem(layer: Layer, plan: Plan, time: int, depth: int, below_step: int = 0) -> Problem:
    """Sizes of a call."""
    sizes = {"size": layer.size, "inputs": layer.inputs, "belows": layer.belows, "below_step": below_step}
    return Problem(batch=1, time=time, layer=build.KINDS[layer.kind], depth=depth, time_step=plan.output_size, **sizes)


def _of_layer(layer: Layer, parameters: Sequence[Tensor], own: Kept) -> dict[str, Tensor]:
    """Its weights, and what is kept of its steps."""
    weights = zip(_WEIGHTS, (parameters[place] for place in layer.weights), strict=False)
    return {**dict(weights), "units": own.units, "operand": own.hidden, "cell": own.cell}
