"""Updates of weights, and limits on their gradients, through update.cpp, see memnet.native."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from memnet.native import build

_OPERATOR = build.Operator("update of the weights", "update.cpp", ("update", "limit", "add_noise", "take_noise_away"))
# As update.cpp counts them.
_RULES = {"adam": 0, "rmsprop": 1, "graves": 2, "sgd": 3}


class _Problem(ctypes.Structure):
    """Problem in update.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("rule", "count")),
        *((name, ctypes.c_void_p) for name in ("sizes", "weights", "gradient", "kept", "more", "most", "averaged")),
        *((name, ctypes.c_double) for name in ("rate", "decay", "other", "scale", "share")),
    ]


class _Shift(ctypes.Structure):
    """Shift in update.cpp."""

    _fields_ = [
        ("count", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("sizes", "weights", "noise", "before")),
        ("scale", ctypes.c_double),
    ]


class _Limits(ctypes.Structure):
    """Limits in update.cpp."""

    _fields_ = [
        ("count", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("gradient", "norm")),
        *((name, ctypes.c_double) for name in ("most", "longest")),
    ]


def refusal(tensors: Sequence[Tensor]) -> str | None:
    """Why nothing compiled computes with such tensors; None where it can, and they lie in order."""
    if not all(one.is_contiguous() for one in tensors):
        return "it computes with numbers in order"
    return build.unusual_call(tensors) or build.uncomputable(_OPERATOR, tensors)


class _Weights:
    """Weights that `refusal` has nothing against, as a problem in update.cpp tells where they are."""

    def __init__(self, weights: Sequence[Tensor], problem: Any) -> None:
        self._weights, self._problem = weights, problem
        self._library = build.library(_OPERATOR, weights[0].dtype)
        self._sizes = (ctypes.c_int64 * len(weights))(*(one.numel() for one in weights))
        problem.count, problem.sizes = len(weights), ctypes.addressof(self._sizes)
        self._addresses, self._table = list[int](), list[Any]()

    def _found(self) -> bool:
        """Tell where the weights are now; False where they do not lie in order any more."""
        if not all(one.is_contiguous() for one in self._weights):
            return False
        if (addresses := [one.data_ptr() for one in self._weights]) != self._addresses:
            self._addresses, self._table = addresses, build.fill(self._problem, weights=self._weights)
        return True

    def _run(self, function: Any) -> None:
        """Change the weights, which autograd is told of, as of any change."""
        build.run(_OPERATOR, function, self._problem)
        increment_version(self._weights)


class Shift(_Weights):
    """Noise that moves such weights, and takes them back. noise: end to end, which stays where it is."""

    def __init__(self, weights: Sequence[Tensor], noise: Tensor) -> None:
        super().__init__(weights, _Shift())
        self._kept = noise, torch.empty_like(noise)
        build.fill(self._problem, noise=noise, before=self._kept[1])

    def add(self, scale: float) -> bool:
        """False where weights do not lie in order any more, and nothing is done."""
        if not self._found():
            return False
        self._problem.scale = scale
        self._run(self._library.add_noise)
        return True

    def take_away(self) -> None:
        """The weights as they were before `add`."""
        self._run(self._library.take_noise_away)


class Update(_Weights):
    """Of such weights, by vectors of what belongs to them end to end.

    rule:     adam, rmsprop, graves or sgd.
    kept:     what the rule keeps, in its order. averaged: the running mean of the weights, or None.
    """

    def __init__(
        self, rule: str, weights: Sequence[Tensor], gradient: Tensor, kept: Sequence[Tensor], averaged: Tensor | None
    ) -> None:
        super().__init__(weights, _Problem(rule=_RULES[rule]))
        self._gradient, self._kept = gradient, [*kept, averaged]
        vectors = dict(zip(("kept", "more", "most"), kept, strict=False))
        build.fill(self._problem, gradient=gradient, averaged=averaged, **vectors)
        self._limits = _Limits(count=gradient.numel(), gradient=gradient.data_ptr())

    def __call__(self, *, share: float, rate: float, decay: float, other: float = 0.0, scale: float = 1.0) -> bool:
        """Move the weights by the rule with these numbers, see update.cpp, and their mean by a share.

        False where weights do not lie in order any more, and nothing is done.
        """
        if not self._found():
            return False
        problem = self._problem
        problem.share, problem.rate, problem.decay, problem.other, problem.scale = share, rate, decay, other, scale
        self._run(self._library.update)
        return True

    def limit(self, value: float | None, norm: float | None) -> Tensor:
        """Keep the gradient's numbers within -value .. value, then its norm; the norm before, ()."""
        limits = self._limits
        before = self._gradient.new_empty(())
        limits.norm = before.data_ptr()
        limits.most = math.inf if value is None else value
        limits.longest = math.inf if norm is None else norm
        build.run(_OPERATOR, self._library.limit, limits)
        return before
