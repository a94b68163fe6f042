"""mLSTM, the matrix memory of xLSTM (Beck et al. 2024, arXiv 2405.04517)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.blocks import Stack, stack_of
from memnet.checks import check_sizes
from memnet.functional.associations import Associate, associate
from memnet.mixers import AssociativeMixer, ConvolvedMixer, MixerState, per_head_norm, without
from memnet.sequence import SequenceModule
from memnet.trace import Part


class MLSTMMemory(NamedTuple):
    """What an mLSTM remembers, times exp(-stabilizer).

    memory:     (batch, head, key, value), C.
    normalizer: (batch, head, key), n.
    stabilizer: (batch, head), m, the logarithm of the largest weight of a past token: its input gate times the forget
                gates since.
    """

    memory: Tensor
    normalizer: Tensor
    stabilizer: Tensor


class MLSTMSteered(NamedTuple):
    """What steers a step.

    query:      (batch, head, key).
    key:        (batch, head, key), divided by sqrt(key).
    value:      (batch, head, value).
    log_input:  (batch, head), the logarithm of the input gate, any number.
    log_forget: (batch, head), of the forget gate, at most 0.
    gate:       (batch, head, value), of the output, before its sigmoid.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    log_input: Tensor
    log_forget: Tensor
    gate: Tensor


def stabilizers(first: Tensor, log_forget: Tensor, log_input: Tensor) -> Tensor:
    """m_t = max(log f_t + m_{t-1}, log i_t) for all steps at once (Beck et al. 2024, eq. 15).

    first: (batch, head), m before the first step. log_forget, log_input: (batch, time, head).
    Sums of decays are made pair by pair, not as differences of sums from the beginning, which lose digits.
    """
    largest = torch.maximum(log_input, torch.cat([first.unsqueeze(1) + log_forget[:, :1], log_input[:, 1:]], 1))
    reach = 1
    while reach < log_input.size(1):
        before = functional.pad(largest, (0, 0, reach, 0), value=-torch.inf)[:, :-reach]
        largest = torch.maximum(largest, log_forget + before)
        log_forget = log_forget + functional.pad(log_forget, (0, 0, reach, 0))[:, :-reach]
        reach *= 2
    return largest


class MLSTMCell(AssociativeMixer, ConvolvedMixer):
    """One step of an LSTM whose memory binds keys to values, with exponential input gates.

        C <- f C + i k v^T        n <- f n + i k        h = sigmoid(o) norm(C^T q / max(|n . q|, 1))
        i = exp(i~)        f = sigmoid(f~)

    which but for the norm of each head are the paper's equations 19 to 27, computed times exp(-m) by its equation 15,
    so that no exponential is above 1: what comes out does not depend on where m begins. Gates may be capped,
    x -> c tanh(x / c), as in xLSTM 7B (Beck et al. 2025, arXiv 2503.13427), whose layer this is.

    Weights of mlstm_layer of NX-AI's xlstm_large, by rows where one linear layer holds several:

        projection.weight   q.weight, k.weight, v.weight, igate_preact.weight, fgate_preact.weight, ogate_preact.weight
        gate_bias           igate_preact.bias, fgate_preact.bias
        norm_weight, output multihead_norm.weight, out_proj

    input_size:  features of the input. hidden_size: features of the output.
    num_heads:   memories side by side.
    key_size:    features of a key, of one head. value_size: features of a value, of one head.
    gate_cap:    what the gates' inputs stay below, 0 for no cap.
    convolution: steps that queries, keys and values see, before SiLU; 0 for neither, as in xLSTM 7B.
    Raises ValueError for sizes that cannot be.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_heads: int = 2,
        key_size: int = 32,
        value_size: int = 32,
        gate_cap: float = 15.0,
        convolution: int = 4,
    ) -> None:
        check_sizes(num_heads=num_heads, key_size=key_size, value_size=value_size)
        if not gate_cap >= 0:
            raise ValueError(f"gate_cap must be at least 0, not {gate_cap}")
        keys, values = num_heads * key_size, num_heads * value_size
        channels, others = 2 * keys + values, 2 * num_heads + values
        super().__init__(input_size, hidden_size, channels, others, values, convolution=convolution)
        self.num_heads, self.key_size, self.value_size, self.gate_cap = num_heads, key_size, value_size, gate_cap
        self.gate_bias = nn.Parameter(torch.stack([0.1 * torch.randn(num_heads), torch.linspace(3, 6, num_heads)]))
        self.norm_weight = nn.Parameter(torch.ones(num_heads, value_size))
        with torch.no_grad():
            self.projection.weight[channels : channels + 2 * num_heads] = 0

    def first_memory(self, batch_size: int) -> MLSTMMemory:
        heads, keys = (batch_size, self.num_heads), self.key_size
        return MLSTMMemory(self.zeros(*heads, keys, self.value_size), self.zeros(*heads, keys), self.zeros(*heads))

    def steer(self, convolved: Tensor, others: Tensor) -> MLSTMSteered:
        heads = self.num_heads
        keys, values = heads * self.key_size, heads * self.value_size
        query, key, value = (one.unflatten(-1, (heads, -1)) for one in convolved.split([keys, keys, values], -1))
        gates, gate = others.split([2 * heads, values], -1)
        gates = gates.unflatten(-1, (2, heads)) + self.gate_bias.to(gates)
        if self.gate_cap:
            gates = self.gate_cap * torch.tanh(gates / self.gate_cap)
        log_input, forget = gates.unbind(-2)
        key = key / math.sqrt(self.key_size)
        return MLSTMSteered(
            query, key, value, log_input, functional.logsigmoid(forget), gate.unflatten(-1, (heads, -1))
        )

    def remember(self, memory: MLSTMMemory, steered: MLSTMSteered) -> tuple[Tensor, MLSTMMemory]:
        last, log_forget = memory.stabilizer, steered.log_forget
        stabilizer = torch.maximum(log_forget + last, steered.log_input)
        decay, scale = log_forget + last - stabilizer, torch.exp(steered.log_input - stabilizer)
        found, after = associate(
            _joined(memory),
            steered.query,
            steered.key.unsqueeze(-2),
            (_with_one(steered.value) * scale.unsqueeze(-1)).unsqueeze(-2),
            log_decay=decay.unsqueeze(-1),
        )
        return _normalized(found, stabilizer), MLSTMMemory(after[..., :-1], after[..., -1], stabilizer)

    def remember_by(
        self, associate_all: Associate, memory: MLSTMMemory, steered: MLSTMSteered, past: Tensor | None
    ) -> tuple[Tensor, MLSTMMemory]:
        log_input, log_forget = without(past, steered.log_input, -torch.inf), without(past, steered.log_forget)
        stabilizer = stabilizers(memory.stabilizer, log_forget, log_input)
        last = torch.cat([memory.stabilizer.unsqueeze(1), stabilizer[:, :-1]], 1)
        decay, scale = log_forget + last - stabilizer, torch.exp(log_input - stabilizer)
        found, after = associate_all(
            _joined(memory),
            steered.query,
            steered.key.unsqueeze(-2),
            (_with_one(steered.value) * scale.unsqueeze(-1)).unsqueeze(-2),
            log_decay=decay.unsqueeze(-1),
        )
        return _normalized(found, stabilizer), MLSTMMemory(after[..., :-1], after[..., -1], stabilizer[:, -1])

    def emit(self, reads: Tensor, steered: MLSTMSteered) -> Tensor:
        reads = per_head_norm(reads, self.norm_weight, 1e-6, centered=True)
        return (torch.sigmoid(steered.gate) * reads).flatten(-2)

    def parts(self, states: MixerState, watched: MLSTMSteered) -> list[Part]:
        """The memory of every head, and what steered it."""
        head, memory = ("time", "head"), states.memory
        return [
            Part("matrix", "memory", memory.memory, (*head, "key", "value")),
            Part("signal", "normalizer", memory.normalizer, (*head, "key")),
            Part("signal", "stabilizer", memory.stabilizer, head),
            Part("signal", "query", watched.query, (*head, "key")),
            Part("signal", "key", watched.key, (*head, "key")),
            Part("signal", "value", watched.value, (*head, "value")),
            Part("signal", "log of input gate", watched.log_input, head),
            Part("gate", "forget gate", torch.exp(watched.log_forget), head),
            Part("gate", "output gate", torch.sigmoid(watched.gate), (*head, "value")),
        ]


def _with_one(value: Tensor) -> Tensor:
    """Values with a one behind them: what is summed for it is the normaliser."""
    return torch.cat([value, torch.ones_like(value[..., :1])], -1)


def _joined(memory: MLSTMMemory) -> Tensor:
    return torch.cat([memory.memory, memory.normalizer.unsqueeze(-1)], -1)


def _normalized(found: Tensor, stabilizer: Tensor) -> Tensor:
    """C^T q / max(|n . q|, exp(-m)) of what C and n together gave, (..., value + 1)."""
    # What is so small is nothing; an infinite floor would have gradients that are no numbers.
    floor = torch.maximum(found[..., -1:].abs(), torch.exp(-stabilizer.clamp(min=-80)).unsqueeze(-1))
    return found[..., :-1] / floor


class MLSTM(SequenceModule):
    """Layers of mLSTM, the matrix memory with exponential gates of xLSTM.

    input_size, output_size: features. All options are those of memnet.blocks.stack_of and of MLSTMCell: num_layers,
    hidden_size and expansion of the layers, whether they are normed; heads and the sizes of their memories. `forward`
    is SequenceModule's: state in, state out, lengths.
    """

    cell: Stack
    cell_type = stack_of(MLSTMCell)
