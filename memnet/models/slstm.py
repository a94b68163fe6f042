"""sLSTM, the scalar memory of xLSTM (Beck et al. 2024, arXiv 2405.04517)."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.blocks import Stack, stack_of
from memnet.cells import WatchedCell
from memnet.checks import check_sizes
from memnet.controlled import full_precision, zeros_like_state
from memnet.sequence import SequenceModule
from memnet.trace import Part, state_parts


class SLSTMState(NamedTuple):
    """What it carries from step to step, in float32 at least: each (batch, hidden).

    hidden:     h, before the norm of its heads.
    cell:       c, times exp(-stabilizer).
    normalizer: n, times exp(-stabilizer); 0 before the first step alone.
    stabilizer: m, the logarithm of the largest weight of a past step: its input gate times the forget gates since.
    """

    hidden: Tensor
    cell: Tensor
    normalizer: Tensor
    stabilizer: Tensor


class SLSTMGates(NamedTuple):
    """What an sLSTM let in and kept, times exp(-m), and let out: (batch, hidden), from 0 to 1."""

    input: Tensor
    forget: Tensor
    output: Tensor


def scalar_memory(state: SLSTMState, emitted: Tensor) -> tuple[SLSTMState, SLSTMGates]:
    """A step of cells with exponential input gates (Beck et al. 2024, eqs. 8 to 17).

        c' = f c + i tanh(z)        n' = f n + i        h' = sigmoid(o) c' / n'
        i = exp(i~)        f = sigmoid(f~)

    computed times exp(-m), m' = max(log f + m, i~), so that no exponential is above 1. Of the paper's two forget gates
    it is the sigmoid, which the authors' code has.

    emitted: (batch, 4, hidden), i~, f~, z and o before their nonlinearities.
    """
    log_input, forget, candidate, output = emitted.unbind(1)
    kept = functional.logsigmoid(forget) + state.stabilizer
    # Of what is empty nothing is kept, so that the first step is as large as its own gate.
    stabilizer = torch.where(state.normalizer == 0, log_input, torch.maximum(kept, log_input))
    # Where it is empty the exponent may be above 0: what is kept is 0 all the same.
    gates = SLSTMGates(
        torch.exp(log_input - stabilizer), torch.exp((kept - stabilizer).clamp(max=0)), torch.sigmoid(output)
    )
    cell = gates.forget * state.cell + gates.input * torch.tanh(candidate)
    normalizer = gates.forget * state.normalizer + gates.input
    return SLSTMState(gates.output * cell / normalizer, cell, normalizer, stabilizer), gates


class SLSTMCell(WatchedCell):
    """One step of an LSTM with exponential input gates, whose cells are mixed within heads.

    The equations are in `scalar_memory`; what is emitted is W x + R h + b, where R mixes the units of each head alone.
    The output is h with the units of each head normalised (a group norm with a weight), which the recurrence does not
    see, as in the authors' code; so is its R of zeros at first. Its biases of forget gates are from 5 down to -7 over
    the units of a head, that they forget at many rates, as in the first block there. The state has no parallel form,
    and is what can track one.

    input_size, hidden_size: features of input and output.
    num_heads: heads, of hidden_size / num_heads units each; at least two, so that they can be normalised.
    Raises ValueError for sizes that cannot be.
    """

    def __init__(self, input_size: int, hidden_size: int, *, num_heads: int = 4) -> None:
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size, num_heads=num_heads)
        if hidden_size % num_heads or hidden_size == num_heads:
            raise ValueError(f"hidden_size must be num_heads {num_heads} times two or more, not {hidden_size}")
        self.input_size, self.output_size, self.hidden_size = input_size, hidden_size, hidden_size
        self.num_heads, width = num_heads, hidden_size // num_heads
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.bias_ih = nn.Parameter(torch.zeros(4 * hidden_size))
        self.weight_hh = nn.Parameter(torch.zeros(num_heads, 4 * width, width))
        self.norm_weight = nn.Parameter(torch.ones(hidden_size))
        nn.init.normal_(self.weight_ih, std=(2 / (5 * input_size)) ** 0.5)
        with torch.no_grad():
            forget = 5 - 12 * torch.linspace(0, 1, width) ** 0.3
            self.bias_ih[hidden_size : 2 * hidden_size] = forget.repeat(num_heads)

    def initial_state(self, batch_size: int) -> SLSTMState:
        """All zero."""
        return SLSTMState(*(zeros_like_state(self.weight_ih, batch_size, self.hidden_size) for _ in range(4)))

    def project(self, input: Tensor) -> tuple[Tensor, ...]:
        return (functional.linear(input, self.weight_ih[:, : input.size(-1)], self.bias_ih),)

    def input_weights(self) -> tuple[Tensor, ...]:
        return (self.weight_ih,)

    def watched_step(self, projected: tuple[Any, ...], state: SLSTMState) -> tuple[Tensor, SLSTMState, SLSTMGates]:
        with full_precision(projected[0]):
            state, gates = scalar_memory(state, self._emitted(projected[0].to(state.cell.dtype), state.hidden))
            weight = self.norm_weight.to(state.hidden.dtype)
            output = functional.group_norm(state.hidden, self.num_heads, weight)
        return output.to(self.weight_ih.dtype), state, gates

    def _emitted(self, projected: Tensor, hidden: Tensor) -> Tensor:
        """(batch, 4, hidden), from the input's part (batch, 4 * hidden)."""
        heads = hidden.unflatten(-1, (self.num_heads, -1)).transpose(0, 1)
        mixed = (heads @ self.weight_hh.to(hidden.dtype).transpose(1, 2)).unflatten(-1, (4, -1))
        emitted: Tensor = projected.unflatten(-1, (4, -1)) + mixed.permute(1, 2, 0, 3).flatten(2)
        return emitted

    def parts(self, states: SLSTMState, watched: Any) -> list[Part]:
        """Its states, as "hidden state", and its gates, as "forget gate"."""
        found = [part._replace(name=f"{part.name} state") for part in state_parts(states)]
        return found + [part._replace(kind="gate", name=f"{part.name} gate") for part in state_parts(watched)]


class SLSTM(SequenceModule):
    """Layers of sLSTM, the scalar memory with exponential gates of xLSTM, which tracks states.

    input_size, output_size: features. All options are those of memnet.blocks.stack_of and of SLSTMCell: num_layers,
    hidden_size and expansion of the layers, whether they are normed, and heads. `forward` is SequenceModule's: state
    in, state out, lengths.
    """

    cell: Stack
    cell_type = stack_of(SLSTMCell)
