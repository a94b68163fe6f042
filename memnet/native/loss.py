"""A readout and its loss through loss.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from memnet.native import build

_OPERATOR = build.Operator("readout and loss", "loss.cpp")


class _Problem(ctypes.Structure):
    """Problem in loss.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "time", "width", "outputs", "symbols", "mean")),
        *((name, ctypes.c_void_p) for name in ("features", "weight", "bias", "target", "scored", "room", "told")),
        *((name, ctypes.c_void_p) for name in ("d_features", "d_weight", "d_bias")),
    ]


def refusal(tensors: Sequence[Tensor]) -> str | None:
    """Why the operator does not compute with such tensors, or cannot be compiled; None where it can."""
    return build.uncomputable(_OPERATOR, tensors)


class Losses(NamedTuple):
    """What a loss comes to, float64.

    loss: the mean over sequences. sums: the same of the sums over their answers. scored: how many steps are.
    """

    loss: Tensor
    sums: Tensor
    scored: Tensor


class Loss:
    """Of sequences of one shape, from their features to the loss, and back to the gradients of features and readout.

    features, d_features: (batch, time, width), which stay where they are, as gradients do, by a weight's id.
    Attribute told: of the last forward.
    """

    def __init__(
        self, readout: nn.Linear, features: Tensor, d_features: Tensor, gradients: Mapping[int, Tensor]
    ) -> None:
        self._readout, (batch, time, width) = readout, features.shape
        self._shape = torch.Size([batch, time, readout.out_features])
        self._dtype, self._library = features.dtype, build.library(_OPERATOR, features.dtype)
        self._problem = _Problem(batch=batch, time=time, width=width, outputs=readout.out_features)
        self._library.numbers_of_room.restype = ctypes.c_int64
        room = features.new_empty(self._library.numbers_of_room(ctypes.byref(self._problem)))
        told = torch.zeros(3, dtype=torch.float64)
        self.told = Losses(*told)
        # The problem tells where they are, and keeps none.
        self._kept = [features, d_features, room, told]
        self._weights = [one for one in (readout.weight, readout.bias) if one is not None]
        self._forms = build.forms(self._weights)
        own = {f"d_{name}": gradients.get(id(one)) for name, one in readout._parameters.items() if one is not None}
        build.fill(self._problem, features=features, d_features=d_features, room=room, told=told, **own)

    def forward(self, target: Tensor, scored: Tensor, *, symbols: int, mean: bool) -> None:
        """See memnet.straight.Straight.lose."""
        if symbols and self._problem.outputs % symbols:
            raise ValueError(f"{self._problem.outputs} outputs are not of {symbols} symbols alike")
        build.check_shapes([target, scored], [tuple(self._shape), tuple(self._shape[:2])])
        build.check_forms(self._weights, self._forms)
        target, scored = build.in_order(target.to(self._dtype)), build.in_order(scored.bool())
        problem, readout = self._problem, self._readout
        problem.symbols, problem.mean, problem.weight = symbols, mean, readout.weight.data_ptr()
        problem.bias = None if readout.bias is None else readout.bias.data_ptr()
        problem.target, problem.scored = target.data_ptr(), scored.data_ptr()
        build.run(_OPERATOR, self._library.forward, problem)
        # Until the backward pass, which looks again at what is scored.
        self._scored = scored

    def backward(self) -> None:
        """Of the mean over sequences of their losses."""
        build.run(_OPERATOR, self._library.backward, self._problem)
