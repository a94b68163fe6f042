"""The relational memory core (Santoro et al. 2018, arXiv 1806.01822)."""

import math
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.cells import WatchedCell
from memnet.checks import check_choice, check_sizes
from memnet.controlled import full_precision, zeros_like_state
from memnet.sequence import SequenceModule
from memnet.trace import Part

GateStyle: TypeAlias = Literal["unit", "memory"]


class RelationalState(NamedTuple):
    """memory: (batch, num_slots, slot_size), M; in float32 at least."""

    memory: Tensor


class RelationalWatched(NamedTuple):
    """What steered a step.

    input, forget: (batch, slot, slot_size), or (batch, slot, 1) of gates for whole slots, in (0, 1).
    attention:     (batch, head, slot, slot + 1), what each slot attended to in the last round, the input last.
    """

    input: Tensor
    forget: Tensor
    attention: Tensor


class RelationalMemoryCell(WatchedCell):
    """One step of a memory whose slots attend to one another and to the input.

        M~ = [M; W x]        A = attention of M~ to M~        M' = LN(M~ + A)        M' = LN(M' + MLP(M'))
        i, f = sigmoid(U W x + V tanh(M) + b)        M <- i tanh(M') + f M

    Attention is by heads, softmax(Q K^T / sqrt(d)) V with Q, K, V = LN(M~ W_qkv), whose outputs side by side are of
    the slots' size; the row of the input is left out at the end. The MLP has two layers of the slots' size, a ReLU
    between. Memory begins as the rows of an identity matrix, which tell the slots apart, cut or filled with zeros. What
    the equations of the paper leave open is as the authors' code, relational_memory.py of Sonnet 1, has it, but for
    several rounds: there only the MLP is the same in all of them. The output is all of the memory.

    input_size:  features of the input.
    num_slots:   slots, which the output's size depends on. num_heads: heads. head_size: features of a head; a slot has
                 those of all heads, at least two, so that they can be normalised.
    num_rounds:  how often the slots attend in a step, by the same weights.
    gate_style:  "unit" (gates for every feature) or "memory" (one for each slot).
    forget_bias, input_bias: added to the gates before their sigmoid.
    Raises ValueError for sizes that cannot be.
    """

    def __init__(
        self,
        input_size: int,
        *,
        num_slots: int = 8,
        num_heads: int = 4,
        head_size: int = 16,
        num_rounds: int = 1,
        gate_style: GateStyle = "unit",
        forget_bias: float = 1.0,
        input_bias: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(input_size=input_size, num_slots=num_slots, num_heads=num_heads, head_size=head_size)
        check_sizes(num_rounds=num_rounds)
        check_choice("gate_style", gate_style, GateStyle)
        self.input_size, self.num_slots, self.num_heads, self.head_size = input_size, num_slots, num_heads, head_size
        self.num_rounds, self.gate_style = num_rounds, gate_style
        self.forget_bias, self.input_bias = forget_bias, input_bias
        size = self.slot_size = num_heads * head_size
        check_sizes(2, slot_size=size)
        self.output_size = num_slots * size
        gates = 2 * (size if gate_style == "unit" else 1)
        self.embedding = nn.Linear(input_size, size)
        self.input_gates, self.memory_gates = nn.Linear(size, gates), nn.Linear(size, gates, bias=False)
        self.heads, self.heads_norm = nn.Linear(size, 3 * size), nn.LayerNorm(3 * size)
        self.attended_norm, self.norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.perceptron = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size))

    def initial_state(self, batch_size: int) -> RelationalState:
        """Rows of an identity matrix."""
        memory = zeros_like_state(self.embedding.weight, batch_size, self.num_slots, self.slot_size)
        rows = torch.eye(self.num_slots, self.slot_size, dtype=memory.dtype, device=memory.device)
        return RelationalState(memory + rows)

    def project(self, input: Tensor) -> tuple[Tensor, ...]:
        embedded = self.embedding(input)
        return embedded, self.input_gates(embedded)

    def watched_step(
        self, projected: tuple[Any, ...], state: RelationalState
    ) -> tuple[Tensor, RelationalState, RelationalWatched]:
        embedded, gates = (one.unsqueeze(1) for one in projected)
        memory, weight = state.memory, self.embedding.weight
        rows = torch.cat([memory.to(weight.dtype), embedded.to(weight.dtype)], 1)
        for _ in range(self.num_rounds):
            attended, attention = self._attend(rows)
            rows = self.attended_norm(rows + attended)
            rows = self.norm(rows + self.perceptron(rows))
        gates = gates + self.memory_gates(torch.tanh(memory).to(weight.dtype))
        with full_precision(rows):
            input_gate, forget_gate = gates.to(memory.dtype).chunk(2, -1)
            input_gate = torch.sigmoid(input_gate + self.input_bias)
            forget_gate = torch.sigmoid(forget_gate + self.forget_bias)
            memory = input_gate * torch.tanh(rows[:, :-1].to(memory.dtype)) + forget_gate * memory
        output = memory.flatten(1).to(weight.dtype)
        return output, RelationalState(memory), RelationalWatched(input_gate, forget_gate, attention[:, :, :-1])

    def _attend(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What the rows (batch, row, size) make of one another, of the same shape, and by which weights."""
        emitted = self.heads_norm(self.heads(rows)).unflatten(-1, (self.num_heads, 3, -1))
        query, key, value = emitted.permute(3, 0, 2, 1, 4).unbind(0)
        weights = functional.softmax(query @ key.transpose(-1, -2) / math.sqrt(self.head_size), -1)
        return (weights @ value).transpose(1, 2).flatten(2), weights

    def parts(self, states: RelationalState, watched: Any) -> list[Part]:
        """The memory, and where somebody watched its gates and what each slot attended to."""
        memory = Part("memory", "memory", states.memory, ("time", "slot", "width"))
        if not watched:
            return [memory]
        one = self.gate_style == "memory"
        gates = [("input", watched.input), ("forget", watched.forget)]
        return [
            memory,
            *(
                Part("gate", f"{name} gate", gate.squeeze(-1) if one else gate, ("time", "slot", "unit")[: 3 - one])
                for name, gate in gates
            ),
            Part("matrix", "attention", watched.attention, ("time", "head", "slot", "key")),
        ]


class RelationalMemory(SequenceModule):
    """A relational memory core over sequences: slots that attend to one another and to the input.

    input_size, output_size: features. All options are those of RelationalMemoryCell: slots, heads and their size, and
    gates. `forward` is SequenceModule's: state in, state out, lengths.
    """

    cell: RelationalMemoryCell
    cell_type = RelationalMemoryCell
