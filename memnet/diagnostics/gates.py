"""What gates let through, unit by unit, and how long they make a network remember."""

import copy

import torch
from torch import Tensor

from memnet.cells import Cell, GRUCell, GRUGates, LSTMCell, LSTMGates
from memnet.diagnostics.gradients import check_input
from memnet.state import State
from memnet.unroll import unroll


def gate_activity(cell: Cell, input: Tensor, state: State | None = None) -> dict[str, LSTMGates | GRUGates]:
    """The gates of every LSTM and GRU in a cell over a sequence.

    input:   (batch, time, input_size).
    state:   the state before the first step, None for the cell's initial one.
    Returns  by module name ("" for the cell itself, "layers.0" in a stack, "controller" in an NTM) the gates, each
             (batch, time, hidden) in (0, 1). Empty for a cell without gates.
    Raises   ValueError for an input of another shape.
    """
    check_input(cell, input)
    watched = copy.deepcopy(cell)
    layers = {name: module for name, module in watched.named_modules() if isinstance(module, LSTMCell | GRUCell)}
    watchers = {name: _Watcher(layer) for name, layer in layers.items()}
    for name, watcher in watchers.items():
        if name:
            watched.set_submodule(name, watcher)
        else:
            watched = watcher
    with torch.no_grad():
        unroll(watched, input, watched.initial_state(input.size(0)) if state is None else state)
    return {
        name: type(watcher.gates[0])(*(torch.stack(steps, 1) for steps in zip(*watcher.gates, strict=True)))
        for name, watcher in watchers.items()
    }


def time_scales(gate: Tensor) -> Tensor:
    """The steps over which each unit forgets, to 1/e, as its forget gate (of a GRU the update gate) implies.

        tau = -1 / log(mean gate)        Tallec & Ollivier 2018, section 2, for a gate that stays at its mean

    gate:    (..., hidden) in [0, 1], averaged over all axes but the last.
    Returns  (hidden,), in steps: zero for a gate that is always shut, infinite for one that is always open.
    """
    # The size of the logarithm, since that of one is a zero whose sign would make the infinity negative.
    return 1 / gate.flatten(0, -2).mean(0).log().abs()


class _Watcher(Cell):
    """A gated cell that keeps its gates, step by step."""

    def __init__(self, cell: LSTMCell | GRUCell) -> None:
        super().__init__()
        self.cell = cell
        self.input_size, self.output_size = cell.input_size, cell.output_size
        self.gates: list[LSTMGates | GRUGates] = []

    def initial_state(self, batch_size: int) -> State:
        return self.cell.initial_state(batch_size)

    def project(self, input: Tensor) -> tuple[Tensor, ...]:
        return self.cell.project(input)

    def input_weights(self) -> tuple[Tensor, ...]:
        return self.cell.input_weights()

    def step(self, projected: tuple[Tensor, ...], state: State) -> tuple[Tensor, State]:
        output, state, gates = self.cell.watched_step(projected, state)
        self.gates.append(gates)
        return output, state
