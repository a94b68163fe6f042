"""Outputs of a sequence model without gradients, again and again: where an operator computes its cell.

The definition is the model's forward, which they equal to the bit. What forward asks at every call is asked once here,
and at a call whether it is still so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.cells import AnswerRun, Cell
from memnet.native import build
from memnet.snapshot import Snapshot
from memnet.state import State, count_numbers, state_tensors, with_leaves
from memnet.unroll import HOOKS

# Shapes of sequences that are known at a time, and numbers of a first state that is kept.
_MOST_SHAPES, _MOST_NUMBERS = 64, 1 << 16


class Answering(Protocol):
    """A sequence model, as far as it is read here."""

    cell: Cell
    readout: nn.Linear

    @property
    def backend(self) -> str: ...

    def answer_run(self, input: Tensor) -> tuple[AnswerRun, State] | None: ...


class Answers:
    """Of one model of cell and readout as it is now, with whatever numbers it has; it is given at every call."""

    def __init__(self, model: Answering) -> None:
        self._own, self._class, self._backend = len(vars(model)), type(model), model.backend
        self._cell, self._readout = model.cell, model.readout
        self._seen = Snapshot([self._cell, self._readout])
        self._runs: dict[tuple[torch.Size, torch.dtype, torch.device], _Run | None] = {}

    def hold(self, model: Answering) -> bool:
        """Whether the model is still as it was, and nobody watches it."""
        own = vars(model)
        return (
            len(own) == self._own
            and type(model) is self._class
            and model.backend == self._backend
            and model.cell is self._cell
            and model.readout is self._readout
            and not any(own[hooks] for hooks in HOOKS)
            and self._seen.holds()
        )

    def __call__(self, model: Answering, input: Tensor) -> tuple[Tensor, State] | None:
        """What forward(input) returns while they hold; None where only forward can tell."""
        shape = (input.shape, input.dtype, input.device)
        # Another thread may begin them anew.
        runs = self._runs
        if shape not in runs:
            if len(runs) >= _MOST_SHAPES:
                runs = self._runs = {}
            runs[shape] = self._made(model, input)
        run = runs[shape]
        return None if run is None else run(input)

    def _made(self, model: Answering, input: Tensor) -> _Run | None:
        tensors = self._seen.tensors
        if (
            self._seen.watched()
            or self._seen.own("initial_state")
            or any(build.in_order(one) is not one for one in tensors)
        ):
            return None
        if (found := model.answer_run(input)) is None:
            return None
        answer, state = found
        # One that stands in two places may be both a weight and part of a first state.
        places = Counter(map(id, tensors))
        read = answer.reads | set(map(id, self._readout.parameters()))
        before = [one for one in tensors if id(one) not in read or places[id(one)] > 1]
        return _Run(self._cell, self._readout, answer, state, before)


class _Run:
    """Sequences of one shape.

    state:  the first. before: the tensors that it may depend on.
    """

    def __init__(
        self, cell: Cell, readout: nn.Linear, answer: AnswerRun, state: State, before: Sequence[Tensor]
    ) -> None:
        self._cell, self._answer, self._state, self._before = cell, answer, state, before
        self._weight, self._bias = readout.weight, readout.bias
        self._batch = state_tensors(state)[0].size(0)
        self._few = count_numbers(state) <= _MOST_NUMBERS
        self._known = self._begun()

    def __call__(self, input: Tensor) -> tuple[Tensor, State]:
        then, first = self._known
        if not self._few or not all(map(torch.equal, self._before, then)):
            _, first = self._known = self._begun()
        features, last = self._answer(build.in_order(input), first)
        return functional.linear(features, self._weight, self._bias), with_leaves(self._state, last)

    def _begun(self) -> tuple[list[Tensor], list[Tensor]]:
        """What the first state depends on as it is now, and its tensors."""
        first = [build.in_order(one.detach()) for one in state_tensors(self._cell.initial_state(self._batch))]
        return [one.detach().clone() for one in self._before], first
