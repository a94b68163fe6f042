"""The first state of sequences that an operator runs, made of weights, and its gradient back to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from memnet.cells import StraightRun
from memnet.state import State, state_tensors


class _Repeated(NamedTuple):
    """A tensor of the state that is a weight, repeated along some axes.

    values: the tensor, a view of the weight. axes: those along which it is repeated.
    """

    place: int
    weight: Tensor
    values: Tensor
    axes: tuple[int, ...]


class FirstState:
    """Of one batch, whose state is that of `make`, into the tensors of a run, and back from their gradients.

    Where all of it is weights, repeated or softened, no graph is made.
    trained, gradients: the model's parameters, and where their gradients are to be written, by id.
    written: ids of those that have one by something else already, to which that by the state is added.
    Attribute written: of those that have one by the state; known once `spread` was called.
    """

    def __init__(
        self,
        make: Callable[[], State],
        run: StraightRun,
        trained: Sequence[Tensor],
        gradients: Mapping[int, Tensor],
        written: set[int],
    ) -> None:
        self._make, self._run, self._trained, self._gradients = make, run, trained, gradients
        self._before, self.written = written, set[int]()
        self._learned = any(one is not None for one in run.d_first)
        self._look()

    def _look(self) -> None:
        """Find what the state is made of."""
        with torch.enable_grad():
            self._leaves = state_tensors(self._make())
        softened = [one for one in self._run.softened if one.logits.requires_grad]
        soft = {place for one in softened for place in one.places}
        learned = [place for place, one in enumerate(self._run.d_first) if one is not None and place not in soft]
        found = [_repeated(place, self._leaves[place], self._trained) for place in learned]
        self._repeated = [one for one in found if one is not None]
        self._softened = [(one, torch.softmax(one.logits.detach(), -1)) for one in softened]
        weights = [*(one.weight for one in self._repeated), *(one.logits for one in softened)]
        apart = {*map(id, weights)} - self._before
        self._plain = len(found) == len(self._repeated) and len(apart) == len(weights)
        self._weights, self._addresses = weights, [one.data_ptr() for one in weights]
        self._targets = [self._run.first[one.place] for one in self._repeated]
        self._values = [one.values for one in self._repeated]
        if self._plain:
            self.written = apart

    @torch.no_grad()
    def fill(self) -> None:
        """Give the run the state as the weights are now."""
        if not self._learned:
            return
        if not self._plain or [one.data_ptr() for one in self._weights] != self._addresses:
            self._look()
        if not self._plain:
            for one, leaf in zip(self._run.first, self._leaves, strict=True):
                one.copy_(leaf)
            return
        if self._targets:
            torch._foreach_copy_(self._targets, self._values)
        for soft, values in self._softened:
            torch.softmax(soft.logits, -1, out=values)
            for place, rows in zip(soft.places, soft.rows, strict=True):
                self._run.first[place].copy_(values[rows])

    def spread(self) -> None:
        """Give the weights the gradients of the run's first state."""
        if not self._learned:
            return
        if not self._plain:
            self._spread_by_graph()
            return
        for one in self._repeated:
            d_leaf, own = self._run.d_first[one.place], self._gradients[id(one.weight)]
            assert d_leaf is not None
            if one.axes:
                rest = [size for axis, size in enumerate(d_leaf.shape) if axis not in one.axes]
                torch.sum(d_leaf, one.axes, out=own.view(rest))
            else:
                own.copy_(d_leaf.view_as(own))
        for soft, values in self._softened:
            d_values = torch.cat([_sum_of_rows(self._run.d_first[place]) for place in soft.places])
            d_values -= (d_values * values).sum(-1, keepdim=True)
            torch.mul(d_values, values, out=self._gradients[id(soft.logits)])

    def _spread_by_graph(self) -> None:
        pairs = [(leaf, own) for leaf, own in zip(self._leaves, self._run.d_first, strict=True) if own is not None]
        leaves, given = zip(*pairs, strict=True)
        reached = torch.autograd.grad(leaves, self._trained, given, allow_unused=True)
        made = {id(one): own for one, own in zip(self._trained, reached, strict=True) if own is not None}
        for one, own in made.items():
            if one in self._before:
                self._gradients[one] += own
            else:
                self._gradients[one].copy_(own)
        self.written = {*made}


def _sum_of_rows(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor[0] if len(tensor) == 1 else tensor.sum(0)


def _repeated(place: int, leaf: Tensor, trained: Sequence[Tensor]) -> _Repeated | None:
    """The weight that a tensor repeats, all of it in its order; None where it is anything else."""
    weight = next((one for one in trained if one is leaf._base), None)
    if weight is None or leaf.data_ptr() != weight.data_ptr():
        return None
    step = 1
    for size, stride in reversed([*zip(leaf.shape, leaf.stride(), strict=True)]):
        if size > 1 and stride:
            if stride != step:
                return None
            step *= size
    axes = [
        axis for axis, (size, stride) in enumerate(zip(leaf.shape, leaf.stride(), strict=True)) if size > 1 > stride
    ]
    return _Repeated(place, weight, leaf.detach(), tuple(axes)) if step == weight.numel() else None
