"""Gradients of a sequence model without a graph: where an operator computes its cell, and only the parameters want one.

The definition is the model's forward and the backward pass of torch, of which outputs and gradients differ by rounding
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.cells import Room, StraightRun
from memnet.first_state import FirstState
from memnet.native import build, loss
from memnet.snapshot import Snapshot
from memnet.state import State
from memnet.torch_private import have_hooks

# Features that sequences of several shapes, which are kept ready, may have together.
_MOST_FEATURES = 1 << 24


class Runs(Protocol):
    """A sequence model, as far as it is read here."""

    readout: nn.Linear

    @property
    def backend(self) -> str: ...

    def initial_state(self, batch_size: int) -> State: ...

    def run_straight(
        self, input: Tensor, state: State, gradients: Mapping[int, Tensor], room: Room
    ) -> StraightRun | None: ...


class Straight:
    """Trains one model, of which nothing but numbers may change: for another device, dtype or option make another, and
    where numbers of what is not trained are written through `.data`, which torch does not count.
    Between an output and its backward pass the weights stay as they are.

    Gradients stand end to end in one vector, which the next backward pass writes anew, in the order of the parameters.
    """

    def __init__(self, model: nn.Module) -> None:
        assert isinstance(model, nn.Module)
        self._model: Runs = model  # type: ignore[assignment]
        self._seen, every = Snapshot([model]), list(model.parameters())
        trained = [one for one in every if one.requires_grad]
        self._fixed = [one for one in (*every, *model.buffers()) if not one.requires_grad]
        alike = len({(one.dtype, one.device) for one in trained}) == 1 and all(one.is_contiguous() for one in every)
        self._trained = trained if alike else []
        whole = torch.cat([one.detach().flatten() for one in self._trained]) if alike else torch.empty(0)
        self._kind = (whole.dtype, whole.device)
        parts = whole.split([one.numel() for one in self._trained])
        self._gradients = [part.view(one.shape) for part, one in zip(parts, self._trained, strict=True)]
        self._of = {id(one): gradient for one, gradient in zip(self._trained, self._gradients, strict=True)}
        self._room = Room()
        self._runs: dict[torch.Size, _Run | None] = {}
        self._versions: list[int] = []
        self._backend = self._model.backend
        self._calls = 0
        self._lost: Callable[[], None] | None = None

    def __call__(self, input: Tensor) -> Tensor | None:
        """What forward(input) returns first, as a leaf: the gradient of a loss of it goes to the parameters alone.

        Only of the last call, and not to be differentiated again: RuntimeError, as for weights that no longer lie as
        they did. None where only forward can tell.
        """
        with torch.no_grad():
            if (run := self._run_of(input)) is None:
                return None
            output = run.answer(build.in_order(input.detach()))
        output.requires_grad_().register_hook(partial(self._spread, run, self._calls))
        return output

    @torch.no_grad()
    def lose(
        self, input: Tensor, target: Tensor, scored: Tensor, *, symbols: int = 0, mean: bool = False
    ) -> loss.Losses | None:
        """The cross-entropy at the steps that are scored, whose gradient `backward` gives without being told.

        target:  (batch, time, output_size), each 0 or 1. scored: (batch, time) bool.
        symbols: groups of outputs, one after the other, of which one is right each; 0 where each is a bit.
        mean:    whether a sequence's loss is the mean of its answers, not their sum.
        Returns the mean over sequences, of which the gradient is, and more, written anew by the next call; None where
        only forward can tell, or nothing is compiled for it.
        """
        if (run := self._run_of(input)) is None:
            return None
        self._lost = partial(self._spread, run, self._calls, None)
        return run.lose(build.in_order(input.detach()), target, scored, symbols, mean=mean)

    @torch.no_grad()
    def backward(self) -> None:
        """Give the parameters the gradients of what `lose` told, which must be the last call; else RuntimeError."""
        if self._lost is None:
            raise RuntimeError("no loss was told that could have a gradient: call lose")
        self._lost()

    def _run_of(self, input: Tensor) -> _Run | None:
        """What runs sequences like this one; None where only forward can tell."""
        if (input.dtype, input.device) != self._kind or self._watched(input):
            return None
        versions = [one._version for one in self._fixed]
        if versions != self._versions or self._backend != self._model.backend:
            self._runs, self._versions, self._backend = {}, versions, self._model.backend
        if input.shape not in self._runs:
            made = self._made(input)
            self._runs[input.shape] = made
        if (run := self._runs[input.shape]) is None:
            return None
        self._calls += 1
        return run

    def _watched(self, input: Tensor) -> bool:
        """Whether somebody sees what happens between input and gradients, or wants more of it, in this call."""
        hooks = self._seen.watched() or have_hooks(self._trained)
        unusual = build.switched_off() or build.unusual_call([input])
        return hooks or input.requires_grad or unusual is not None

    def _made(self, input: Tensor) -> _Run | None:
        if not self._trained:
            return None
        with torch.enable_grad():
            state = self._model.initial_state(input.size(0))
        before = self._room.numbers
        cell = self._model.run_straight(input, state, self._of, self._room)
        taken = sum(run.features.numel() for run in self._runs.values() if run is not None)
        if self._room.numbers is not before or taken > _MOST_FEATURES:
            self._runs = {}
        readout = self._model.readout
        # Parameters of both would have two gradients.
        apart = cell is not None and cell.written.isdisjoint(map(id, readout.parameters()))
        return _Run(self._model, cell, self._trained, self._of) if cell is not None and apart else None

    def _spread(self, run: _Run, call: int, gradient: Tensor | None) -> None:
        if torch.is_grad_enabled() or call != self._calls:
            raise RuntimeError("only the last output has a gradient, which is not differentiated again: take forward")
        before = [None if one.grad is None else one.grad.clone() for one in self._trained]
        written = run.backward(gradient)
        for one, own, more in zip(self._trained, self._gradients, before, strict=True):
            if id(one) in written:
                one.grad = own
                if more is not None:
                    own += more


class _Run:
    """Sequences of one shape: cell and readout."""

    def __init__(
        self, model: Runs, cell: StraightRun, trained: Sequence[Tensor], gradients: Mapping[int, Tensor]
    ) -> None:
        self._model, self._cell, readout = model, cell, model.readout
        self._batch, self._time, width = cell.features.shape
        self.features = cell.features.view(-1, width)
        self._d_features = torch.empty_like(self.features)
        self._d_weight = gradients.get(id(readout.weight))
        self._d_bias = None if readout.bias is None else gradients.get(id(readout.bias))
        self._written = cell.written | {id(one) for one in readout.parameters() if id(one) in gradients}
        make = partial(model.initial_state, self._batch)
        self._first = FirstState(make, cell, trained, gradients, self._written)
        able = loss.refusal([self.features]) is None
        self._loss = loss.Loss(readout, cell.features, self._d_features, gradients) if able else None

    def answer(self, input: Tensor) -> Tensor:
        self._run(input)
        readout = self._model.readout
        return functional.linear(self.features, readout.weight, readout.bias).view(self._batch, self._time, -1)

    def lose(self, input: Tensor, target: Tensor, scored: Tensor, symbols: int, *, mean: bool) -> loss.Losses | None:
        if self._loss is None:
            return None
        self._run(input)
        self._loss.forward(target, scored, symbols=symbols, mean=mean)
        return self._loss.told

    def _run(self, input: Tensor) -> None:
        self._first.fill()
        self._cell.forward(input)

    def backward(self, gradient: Tensor | None) -> set[int]:
        """Writes the gradients of parameters; returns which of them have one. None: of `lose`."""
        if gradient is not None:
            self._read_backward(gradient.reshape(len(self.features), -1))
        elif self._loss is not None:
            self._loss.backward()
        self._cell.backward(self._d_features)
        self._first.spread()
        return self._written | self._first.written

    def _read_backward(self, rows: Tensor) -> None:
        if self._d_weight is not None:
            torch.mm(rows.t(), self.features, out=self._d_weight)
        if self._d_bias is not None:
            torch.sum(rows, 0, out=self._d_bias)
        torch.mm(rows, self._model.readout.weight.detach(), out=self._d_features)
