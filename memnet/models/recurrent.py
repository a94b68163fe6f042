"""Recurrent networks without external memory, behind the interface of every sequence model."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from torch import Tensor

from memnet.cells import Cell, NativeCell, RecurrentInit, SequenceOperator, make_controller
from memnet.native import recurrent
from memnet.sequence import SequenceModule
from memnet.state import State
from memnet.trace import Part

NativeCell.operator = SequenceOperator(
    recurrent.refusal, recurrent.unroll_recurrent, recurrent.answering, recurrent.straight
)


class RecurrentTrace(NamedTuple):
    """A recurrent network watched over time, for pictures.

    output: (batch, time, output_size), before any squashing.
    states: the cell's state after every step, with a time axis after the batch; of several layers a tuple.
    gates:  LSTMGates or GRUGates with a time axis after the batch, () of an RNN; of several layers a tuple.
    state:  the state after the last step.
    parts:  states and gates as parts, see memnet.trace.
    """

    output: Tensor
    states: State
    gates: Any
    state: State
    parts: Sequence[Part]


class RecurrentNetwork(SequenceModule):
    """What RNN, LSTM and GRU share beside a sequence module's interface."""

    def trace(self, input: Tensor, state: State | None = None, *, lengths: Tensor | None = None) -> RecurrentTrace:
        """Run as `forward` does and keep states and gates of every step.

        Arguments and errors as for forward. What is kept of steps after a row's length means nothing.
        """
        output, states, gates, last = self._watch(input, state, lengths)
        return RecurrentTrace(output, states, gates, last, self.cell.parts(states, gates))


def _rnn(
    input_size: int,
    *,
    hidden_size: int = 256,
    num_layers: int = 1,
    nonlinearity: Literal["tanh", "relu"] = "tanh",
    recurrent_init: RecurrentInit = "default",
    skip: bool = False,
    recurrent_bias: bool = True,
    learned_initial_state: bool = False,
) -> Cell:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f'nonlinearity must be "tanh" or "relu", not {nonlinearity!r}')
    return make_controller(
        "rnn-tanh" if nonlinearity == "tanh" else "rnn-relu",
        input_size,
        hidden_size,
        num_layers=num_layers,
        skip=skip,
        recurrent_init=recurrent_init,
        recurrent_bias=recurrent_bias,
        learned_initial_state=learned_initial_state,
    )


class RNN(RecurrentNetwork):
    """Stacked Elman networks with a linear readout.

    input_size, output_size: features.
    hidden_size:    units of a layer. num_layers: layers.
    nonlinearity:   "tanh" or "relu".
    recurrent_init: "default", "uniform" or "identity" (Le et al. 2015), see memnet.cells.RNNCell.
    skip, recurrent_bias, learned_initial_state: see LSTM.
    """

    cell_type = _rnn


def _lstm(
    input_size: int,
    *,
    hidden_size: int = 256,
    num_layers: int = 1,
    forget_bias: float = 1.0,
    skip: bool = False,
    recurrent_bias: bool = True,
    learned_initial_state: bool = False,
) -> Cell:
    return make_controller(
        "lstm",
        input_size,
        hidden_size,
        num_layers=num_layers,
        skip=skip,
        forget_bias=forget_bias,
        recurrent_bias=recurrent_bias,
        learned_initial_state=learned_initial_state,
    )


class LSTM(RecurrentNetwork):
    """Stacked long short-term memories with a linear readout.

    input_size, output_size: features.
    hidden_size:    units of a layer. num_layers: layers.
    forget_bias:    added to the forget gates' bias at initialisation.
    skip:           every layer sees the input and reaches the output (Graves 2013); with recurrent_bias=False and
                    learned_initial_state=True this is the baseline of Graves et al. 2014, parameter for parameter.
    recurrent_bias: a second bias on the recurrent part, as torch.nn has it.
    learned_initial_state: train the state before the first step (else zeros).
    """

    cell_type = _lstm


def _gru(
    input_size: int,
    *,
    hidden_size: int = 256,
    num_layers: int = 1,
    skip: bool = False,
    recurrent_bias: bool = True,
    learned_initial_state: bool = False,
) -> Cell:
    return make_controller(
        "gru",
        input_size,
        hidden_size,
        num_layers=num_layers,
        skip=skip,
        recurrent_bias=recurrent_bias,
        learned_initial_state=learned_initial_state,
    )


class GRU(RecurrentNetwork):
    """Stacked gated recurrent units with a linear readout.

    input_size, output_size: features.
    hidden_size:    units of a layer. num_layers: layers.
    skip, recurrent_bias, learned_initial_state: see LSTM.
    """

    cell_type = _gru
