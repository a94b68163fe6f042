"""memnet: networks with differentiable memory in PyTorch."""

from memnet.cells import (
    Cell,
    FeedForwardCell,
    GRUCell,
    LSTMCell,
    LSTMState,
    RNNCell,
    RNNState,
    StackedCell,
    make_controller,
)
from memnet.ntm import NTM, HeadParameters, NTMCell, NTMState, NTMTrace
from memnet.recurrent import GRU, LSTM, RNN
from memnet.sequence import SequenceModule, detach_state

__all__ = [
    "GRU",
    "LSTM",
    "NTM",
    "RNN",
    "Cell",
    "FeedForwardCell",
    "GRUCell",
    "HeadParameters",
    "LSTMCell",
    "LSTMState",
    "NTMCell",
    "NTMState",
    "NTMTrace",
    "RNNCell",
    "RNNState",
    "SequenceModule",
    "StackedCell",
    "detach_state",
    "make_controller",
]
__version__ = "0.1.0"
