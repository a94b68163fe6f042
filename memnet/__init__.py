"""memnet: networks with differentiable memory in PyTorch."""

import ast
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memnet.blocks import Block, Stack
    from memnet.cells import (
        Cell,
        FeedForwardCell,
        GRUCell,
        GRUGates,
        LSTMCell,
        LSTMGates,
        LSTMState,
        NormalizedLSTMCell,
        RNNCell,
        RNNState,
        StackedCell,
        make_controller,
    )
    from memnet.decoding import Decoded, beam_search, greedy, sampled
    from memnet.diagnostics import gradient_norms
    from memnet.export import export_step
    from memnet.functional.weightings import slots_used, weighting_entropy
    from memnet.models.captioner import Captioner, CaptionState, CaptionTrace, PictureEncoder
    from memnet.models.delta import DeltaCell, DeltaNet
    from memnet.models.dnc import DNC, DNCCell, DNCState
    from memnet.models.encoder_decoder import AttentionEncoderDecoder, DecoderState, EncoderDecoder, TranslationTrace
    from memnet.models.entnet import EntNet, EntNetCell, EntNetState, EntNetTrace
    from memnet.models.fast_weights import FastWeights, FastWeightsCell, FastWeightsState
    from memnet.models.key_value import KeyValueMemory, KeyValueMemoryNetwork, KeyValueRead, KeyValueTrace
    from memnet.models.lrua import LRUA, LRUACell, LRUAState
    from memnet.models.mamba import Mamba, MambaCell
    from memnet.models.memn2n import MemN2N, MemN2NTrace
    from memnet.models.mesa import Mesa, MesaCell
    from memnet.models.mlstm import MLSTM, MLSTMCell
    from memnet.models.neural_stack import NeuralStack, NeuralStackCell, NeuralStackState
    from memnet.models.ntm import NTM, HeadParameters, NTMCell, NTMState, NTMTrace
    from memnet.models.recurrent import GRU, LSTM, RNN, RecurrentTrace
    from memnet.models.recurrent_memory import RecurrentMemoryTransformer, SegmentCell, SegmentState
    from memnet.models.relational import RelationalMemory, RelationalMemoryCell, RelationalState
    from memnet.models.rwkv7 import RWKV7, RWKV7Cell
    from memnet.models.sam import SAM, SAMCell, SAMState
    from memnet.models.sdnc import SDNC, SDNCCell, SDNCState
    from memnet.models.slstm import SLSTM, SLSTMCell, SLSTMState
    from memnet.models.stack_rnn import StackCell, StackRNN, StackState
    from memnet.models.stores import EpisodicMemory, ProductKeyMemory
    from memnet.models.tape import Tape, TapeCell, TapeState
    from memnet.models.titans import Titans, TitansCell
    from memnet.models.transformer import AttentionCell, AttentionState, Transformer
    from memnet.models.ttt import TTT, TTTCell
    from memnet.readers import LanguageModel, StoryReader, StoryReaderTrace, TokenReader
    from memnet.sequence import SequenceModule
    from memnet.state import detach_state, state_tensors
    from memnet.story import StoryModel
    from memnet.trace import Part, Trace

__all__ = [
    "DNC",
    "GRU",
    "LRUA",
    "LSTM",
    "MLSTM",
    "NTM",
    "RNN",
    "RWKV7",
    "SAM",
    "SDNC",
    "SLSTM",
    "TTT",
    "AttentionCell",
    "AttentionEncoderDecoder",
    "AttentionState",
    "Block",
    "CaptionState",
    "CaptionTrace",
    "Captioner",
    "Cell",
    "DNCCell",
    "DNCState",
    "Decoded",
    "DecoderState",
    "DeltaCell",
    "DeltaNet",
    "EncoderDecoder",
    "EntNet",
    "EntNetCell",
    "EntNetState",
    "EntNetTrace",
    "EpisodicMemory",
    "FastWeights",
    "FastWeightsCell",
    "FastWeightsState",
    "FeedForwardCell",
    "GRUCell",
    "GRUGates",
    "HeadParameters",
    "KeyValueMemory",
    "KeyValueMemoryNetwork",
    "KeyValueRead",
    "KeyValueTrace",
    "LRUACell",
    "LRUAState",
    "LSTMCell",
    "LSTMGates",
    "LSTMState",
    "LanguageModel",
    "MLSTMCell",
    "Mamba",
    "MambaCell",
    "MemN2N",
    "MemN2NTrace",
    "Mesa",
    "MesaCell",
    "NTMCell",
    "NTMState",
    "NTMTrace",
    "NeuralStack",
    "NeuralStackCell",
    "NeuralStackState",
    "NormalizedLSTMCell",
    "Part",
    "PictureEncoder",
    "ProductKeyMemory",
    "RNNCell",
    "RNNState",
    "RWKV7Cell",
    "RecurrentMemoryTransformer",
    "RecurrentTrace",
    "RelationalMemory",
    "RelationalMemoryCell",
    "RelationalState",
    "SAMCell",
    "SAMState",
    "SDNCCell",
    "SDNCState",
    "SLSTMCell",
    "SLSTMState",
    "SegmentCell",
    "SegmentState",
    "SequenceModule",
    "Stack",
    "StackCell",
    "StackRNN",
    "StackState",
    "StackedCell",
    "StoryModel",
    "StoryReader",
    "StoryReaderTrace",
    "TTTCell",
    "Tape",
    "TapeCell",
    "TapeState",
    "Titans",
    "TitansCell",
    "TokenReader",
    "Trace",
    "Transformer",
    "TranslationTrace",
    "beam_search",
    "detach_state",
    "export_step",
    "gradient_norms",
    "greedy",
    "make_controller",
    "sampled",
    "slots_used",
    "state_tensors",
    "weighting_entropy",
]
__version__ = "0.1.0"


# Who checks types would take any name to be there.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """What is exported is imported when it is asked for: all of it takes a fifth of a second."""
        if name in _modules():
            found = getattr(import_module(_modules()[name], __name__), name)
        elif not name.startswith("_") and find_spec(f"{__name__}.{name}"):
            found = import_module(f"{__name__}.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals().setdefault(name, found)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


@cache
def _modules() -> dict[str, str]:
    """Where each name is, as it is written above for readers and for who checks types."""
    loader: Any = sys.modules[__name__].__loader__
    above = next(node for node in ast.parse(loader.get_source(__name__) or "").body if isinstance(node, ast.If))
    found = [node for node in above.body if isinstance(node, ast.ImportFrom)]
    return {one.name: "." * node.level + str(node.module) for node in found for one in node.names}


# Where recurrent cells are given their operator, whoever makes one.
import_module(".models.recurrent", __name__)
