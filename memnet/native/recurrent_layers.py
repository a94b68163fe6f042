"""The layers of a recurrent network as recurrent.cpp reads them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from memnet.cells import Cell
from memnet.native import build
from memnet.state import State, state_tensors

OPERATOR = build.Operator("recurrent", "recurrent.cpp")


class Problem(ctypes.Structure):
    """Problem in recurrent.cpp."""

    _fields_: ClassVar[Any] = [
        *((name, ctypes.c_int64) for name in ("batch", "time", "size", "layer", "depth", "row_step", "time_step")),
        *((name, ctypes.c_void_p) for name in ("lengths", "weight", "bias", "first", "last", "units", "hidden")),
        *((name, ctypes.c_void_p) for name in ("cell", "features", "d_features", "d_above", "d_last", "d_units")),
        *((name, ctypes.c_void_p) for name in ("d_bias", "d_first")),
        *((name, ctypes.c_int64) for name in ("inputs", "belows", "below_step")),
        *(
            (name, ctypes.c_void_p)
            for name in ("input", "below", "seen_weight", "seen_bias", "operand", "recalled_bias")
        ),
        *((name, ctypes.c_void_p) for name in ("d_seen_weight", "d_weight", "d_seen_bias", "d_recalled_bias")),
        *((name, ctypes.c_void_p) for name in ("d_input", "d_below")),
    ]


class Layer(NamedTuple):
    """A layer of a cell.

    inputs:   how many features of the cell's input it sees, before those of the layer below.
    belows:   how many those are.
    weights:  where its weight_ih, weight_hh, bias_ih and, if it has one, bias_hh are among the cell's parameters.
    leaves:   which of the state's tensors are its own.
    features: those of the output that are its hidden state, None where that is for the layer above alone.
    """

    kind: str
    size: int
    inputs: int
    belows: int
    weights: tuple[int, ...]
    leaves: slice
    features: slice | None

    @property
    def projected(self) -> int:
        """Units to which the input brings something."""
        return self.size * {"lstm": 4, "gru": 3}.get(self.kind, 1)

    @property
    def seen(self) -> int:
        """All features that it sees in a step, its own hidden state's among them."""
        return self.inputs + self.belows + self.size

    @property
    def units(self) -> int:
        """All units: of a GRU's candidate the hidden state's part is apart, behind the others."""
        return self.size * (4 if self.kind in ("lstm", "gru") else 1)

    @property
    def recalled(self) -> list[tuple[slice, slice]]:
        """Rows of weight_hh, and the units that they bring something to."""
        if self.kind != "gru":
            return [(slice(self.units), slice(self.units))]
        return [(slice(2 * self.size), slice(2 * self.size)), (slice(2 * self.size, None), slice(3 * self.size, None))]

    def add(self, gradients: list[Tensor | None], found: Sequence[Tensor | None]) -> None:
        """Give its weights their gradients among those of all; to those there are, as of a layer in several places."""
        for place, one in zip(self.weights, found, strict=True):
            before = gradients[place]
            gradients[place] = one if before is None or one is None else before + one


class Kept(NamedTuple):
    """What a layer keeps for the backward pass; steps come first, and those of all rows are in one axis.

    units, cell: as in recurrent.cpp, without numbers where the layer has no use for them.
    hidden:      (time + 1, batch, size); of a sequence alone all that a step sees, as operand in recurrent.cpp.
    """

    units: Tensor
    hidden: Tensor
    cell: Tensor


class Plan:
    """The layers of a cell, and its parameters."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.names, self.parameters = zip(*build.named_parameters(cell), strict=True)
        places = {id(one): place for place, one in enumerate(self.parameters)}
        own = build.layers_of(cell)
        skip = len(own) > 1 and bool(getattr(cell, "skip", False))
        self.layers: list[Layer] = []
        leaf = output = 0
        for layer in own:
            kind = build.kind_of(layer)
            weights = (layer.weight_ih, layer.weight_hh, layer.bias_ih, layer.bias_hh)
            leaves = slice(leaf, leaf + 1 + (kind == "lstm"))
            inputs = cell.input_size if skip or not self.layers else 0
            shown = skip or len(self.layers) == len(own) - 1
            features = slice(output, output + layer.hidden_size) if shown else None
            found = tuple(places[id(one)] for one in weights if one is not None)
            belows = self.layers[-1].size if self.layers else 0
            self.layers.append(Layer(kind, layer.hidden_size, inputs, belows, found, leaves, features))
            leaf, output = leaves.stop, 0 if features is None else features.stop
        self.leaves, self.output_size = leaf, output

    def check(self, input: Tensor, state: State, lengths: Tensor | None) -> None:
        """ValueError for sizes that C++ does not take."""
        batch, time, _ = input.shape
        expected: list[tuple[int, ...]] = [(batch, time, self.cell.input_size)]
        given = [input, *state_tensors(state)]
        for layer in self.layers:
            expected += [(batch, layer.size)] * (layer.leaves.stop - layer.leaves.start)
        if lengths is not None:
            given, expected = [*given, lengths], [*expected, (batch,)]
        for layer in self.layers:
            gates = layer.projected
            shapes = [(gates, layer.inputs + layer.belows), (gates, layer.size), (gates,), (gates,)]
            given += [self.parameters[place] for place in layer.weights]
            expected += shapes[: len(layer.weights)]
        build.check_shapes(given, expected)
