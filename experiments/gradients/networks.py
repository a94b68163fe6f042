"""The untrained networks of the demonstration, from those that forget to one with a memory."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from experiments.base.seeds import drawing_weights, generator_for
from memnet import Cell, GRUCell, LSTMCell, NTMCell, RNNCell
from memnet.functional.initialization import spectral_radius_
from memnet.state import State

_INPUT, _HIDDEN = 8, 32
_NTM: dict[str, Any] = {"hidden_size": _HIDDEN, "num_slots": 16, "slot_size": 4}
ABOUT = (
    f"{_HIDDEN} hidden units, {_INPUT} inputs from N(0, 1), or none at rest; the NTM has {_NTM['num_slots']} slots of "
    f"{_NTM['slot_size']} and a feed-forward controller, so that memory and heads alone remember"
)


class Network(NamedTuple):
    """name: in words. make: draws it from torch's global generator. driven: with inputs, else with zeros."""

    name: str
    make: Callable[[], Cell]
    driven: bool = True

    def drawn(self, seed: int, steps: int, before: int) -> tuple[Cell, Tensor, State]:
        """The network in float64, one sequence (1, steps, input) for it, and its state after `before` earlier steps."""
        with drawing_weights(seed):
            cell = self.make().double()
        inputs = torch.randn(1, before + steps, _INPUT, generator=generator_for("test", seed), dtype=torch.float64)
        earlier, input = (inputs if self.driven else torch.zeros_like(inputs)).split([before, steps], 1)
        state = cell.initial_state(1)
        with torch.no_grad():
            for now in earlier.unbind(1):
                state = cell(now, state)[1]
        return cell, input, state


def _elman(draw: Callable[[Tensor], object], nonlinearity: Any = "tanh") -> RNNCell:
    """All weights drawn alike, no biases."""
    cell = RNNCell(_INPUT, _HIDDEN, nonlinearity=nonlinearity, recurrent_bias=False)
    for name, parameter in cell.named_parameters():
        if name.startswith("weight"):
            draw(parameter)
        else:
            nn.init.zeros_(parameter)
    return cell


def _of_radius(radius: float) -> RNNCell:
    """Input weights as torch.nn draws them, no biases."""
    cell = RNNCell(_INPUT, _HIDDEN, recurrent_bias=False)
    assert cell.weight_hh is not None
    spectral_radius_(cell.weight_hh, radius)
    nn.init.zeros_(cell.bias_ih)
    return cell


AT_REST = [Network(f"tanh RNN, radius {one}, at rest", partial(_of_radius, one), False) for one in (0.8, 1.0, 1.3)]
DRIVEN = [
    *(Network(f"tanh RNN, radius {one}", partial(_of_radius, one)) for one in (0.8, 1.0, 1.3)),
    Network("tanh RNN, Glorot", partial(_elman, nn.init.xavier_uniform_)),
    Network("ReLU RNN, He", partial(_elman, partial(nn.init.kaiming_normal_, nonlinearity="relu"), "relu")),
    Network("ReLU RNN, identity", partial(RNNCell, _INPUT, _HIDDEN, nonlinearity="relu")),
]
GATED = [
    Network("LSTM, no forget bias", partial(LSTMCell, _INPUT, _HIDDEN, forget_bias=0.0)),
    Network("LSTM, forget bias 1", partial(LSTMCell, _INPUT, _HIDDEN, forget_bias=1.0)),
    Network("LSTM, forget bias 5", partial(LSTMCell, _INPUT, _HIDDEN, forget_bias=5.0)),
    Network("GRU", partial(GRUCell, _INPUT, _HIDDEN)),
    Network("NTM", partial(NTMCell, _INPUT, controller="feedforward", **_NTM)),
]
NETWORKS = [*AT_REST, *DRIVEN, *GATED]
