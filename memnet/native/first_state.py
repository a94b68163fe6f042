"""A first state that is made of weights through first_state.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from memnet.native import build

_OPERATOR = build.Operator("first state", "first_state.cpp")


class Piece(NamedTuple):
    """Numbers of a weight that stand in a tensor of the state, again and again, one behind the other.

    values:  of the weight, a view. place: the state's tensor, as large or several times as large.
    d_place, d_values: their gradients.
    soft:    numbers of which each row is softened to a weighting; 0 where they stand as they are.
    """

    values: Tensor
    place: Tensor
    d_place: Tensor
    d_values: Tensor
    soft: int = 0


class _Piece(ctypes.Structure):
    """Piece in first_state.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("size", "times", "soft")),
        *((name, ctypes.c_void_p) for name in ("weight", "place", "d_place", "d_weight")),
    ]


class _Problem(ctypes.Structure):
    """Problem in first_state.cpp."""

    _fields_ = [("count", ctypes.c_int64), ("pieces", ctypes.c_void_p)]


def refusal(tensors: Sequence[Tensor]) -> str | None:
    """Why the operator does not compute with such tensors, or cannot be compiled; None where it can."""
    return build.uncomputable(_OPERATOR, tensors)


class Pieces:
    """All of a state, for tensors that `refusal` has nothing against and that lie in order, and stay where they are."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        def told(one: Piece) -> _Piece:
            addresses = (tensor.data_ptr() for tensor in one[:4])
            return _Piece(one.values.numel(), one.place.numel() // one.values.numel(), one.soft, *addresses)

        self._kept, self._table = pieces, (_Piece * len(pieces))(*map(told, pieces))
        self._problem = _Problem(count=len(pieces), pieces=ctypes.addressof(self._table))
        self._library = build.library(_OPERATOR, pieces[0].values.dtype)

    def fill(self) -> None:
        """Write the state."""
        build.run(_OPERATOR, self._library.forward, self._problem)

    def spread(self) -> None:
        """Write the weights' gradients; only of what `fill` wrote last, since weightings are read again."""
        build.run(_OPERATOR, self._library.backward, self._problem)
