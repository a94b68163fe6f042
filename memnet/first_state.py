"""The first state of sequences that an operator runs, made of weights, and its gradient back to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from memnet.cells import StraightRun
from memnet.native import first_state
from memnet.state import State, state_tensors


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
        self._pieces: first_state.Pieces | None = None
        if self._learned:
            self._look()

    def _look(self) -> None:
        """Find what the state is made of."""
        with torch.enable_grad():
            self._leaves = state_tensors(self._make())
        softened = [one for one in self._run.softened if one.logits.requires_grad]
        soft = {place for one in softened for place in one.places}
        learned = [place for place, one in enumerate(self._run.d_first) if one is not None and place not in soft]
        repeated = [(place, _repeated(self._leaves[place], self._trained)) for place in learned]
        weights = [*(one for _, one in repeated if one is not None), *(one.logits for one in softened)]
        self.written = {*map(id, weights)} - self._before
        # A weight that is anything else, too, would have two gradients.
        plain = len(self.written) == len(repeated) + len(softened) and first_state.refusal(weights) is None
        self._weights, self._addresses, self._pieces = weights, [one.data_ptr() for one in weights], None
        if not plain:
            return
        pieces = [self._piece(place, one, self._gradients[id(one)]) for place, one in repeated if one is not None]
        for one in softened:
            logits, d_logits, slots = one.logits, self._gradients[id(one.logits)], one.logits.size(1)
            parts = zip(one.places, one.rows, strict=True)
            pieces += [self._piece(place, logits[rows], d_logits[rows], slots) for place, rows in parts]
        self._pieces = first_state.Pieces(pieces)

    def _piece(self, place: int, values: Tensor, d_values: Tensor, soft: int = 0) -> first_state.Piece:
        d_place = self._run.d_first[place]
        assert d_place is not None
        return first_state.Piece(values.detach(), self._run.first[place], d_place, d_values, soft)

    @torch.no_grad()
    def fill(self) -> None:
        """Give the run the state as the weights are now."""
        if not self._learned:
            return
        if self._pieces is None or [one.data_ptr() for one in self._weights] != self._addresses:
            self._look()
        if self._pieces is not None:
            self._pieces.fill()
            return
        for one, leaf in zip(self._run.first, self._leaves, strict=True):
            one.copy_(leaf)

    def spread(self) -> None:
        """Give the weights the gradients of the run's first state."""
        if self._pieces is not None:
            self._pieces.spread()
        elif self._learned:
            self._spread_by_graph()

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


def _repeated(leaf: Tensor, trained: Sequence[Tensor]) -> Tensor | None:
    """The weight that a tensor is, all of it in its order, again and again; None where it is anything else."""
    weight = next((one for one in trained if one is leaf._base), None)
    if weight is None or leaf.data_ptr() != weight.data_ptr() or leaf.numel() == 0:
        return None
    axes = [(size, stride) for size, stride in zip(leaf.shape, leaf.stride(), strict=True) if size > 1]
    step = 1
    while axes and axes[-1][1] == step:
        step *= axes.pop()[0]
    return weight if step == weight.numel() and not any(stride for _, stride in axes) else None
