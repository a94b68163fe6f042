"""Causal Transformers (Vaswani et al. 2017, arXiv 1706.03762) whose state is a cache of the last steps."""

import math
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from memnet.blocks import Stack, stack_of
from memnet.cells import WatchedCell
from memnet.checks import check_choice, check_sizes
from memnet.controlled import full_precision, zeros_like_state
from memnet.functional.self_attention import alibi_slopes, rotate, window_weights
from memnet.mixers import last_steps
from memnet.native import build
from memnet.sequence import SequenceModule
from memnet.trace import Part

Positions: TypeAlias = Literal["rotary", "alibi", "none"]


class AttentionState(NamedTuple):
    """The last steps; in float32 at least.

    memory: (batch, num_slots, 2 * hidden_size), their keys, then their values; the newest last, zeros where none is.
    filled: (batch,), how many there are.
    """

    memory: Tensor
    filled: Tensor


class AttentionWatched(NamedTuple):
    """weights: (batch, head, num_slots), what a step attended to, itself last."""

    weights: Tensor


class AttentionCell(WatchedCell):
    """One step of causal self-attention.

        w = softmax over s of q_t . k_s / sqrt(d)        o = W sum_s w(s) v_s

    for each head, see memnet.functional.self_attention. A state is of one size from step to step: it holds as many
    steps as there are slots, and a step sees so many, itself among them. With as many slots as steps these are all;
    with fewer it is a window that slides.

    input_size:  features of the input. hidden_size: features of the output, shared out to the heads.
    num_heads:   heads.
    num_slots:   steps that are seen. Not part of the weights: it may be set to another value at any time.
    positions:   how a step knows how far back others are: "rotary", "alibi", or "none", where it may count alone.
    Raises ValueError for sizes that cannot be.
    """

    has_scan = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_heads: int = 4,
        num_slots: int = 256,
        positions: Positions = "rotary",
    ) -> None:
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size, num_heads=num_heads)
        check_choice("positions", positions, Positions)
        if hidden_size % num_heads:
            raise ValueError(f"num_heads {num_heads} must divide hidden_size, not {hidden_size}")
        self.input_size, self.output_size, self.hidden_size = input_size, hidden_size, hidden_size
        self.num_heads, self.positions, self.num_slots = num_heads, positions, num_slots
        self.projection = nn.Linear(input_size, 3 * hidden_size, bias=False)
        self.output = nn.Linear(hidden_size, hidden_size, bias=False)

    @property
    def num_slots(self) -> int:
        """Steps that a state of initial_state holds; ValueError where it is set to a number that cannot be."""
        return self._num_slots

    @num_slots.setter
    def num_slots(self, value: int) -> None:
        check_sizes(num_slots=value)
        self._num_slots = value

    def initial_state(self, batch_size: int) -> AttentionState:
        """No steps."""
        weight = self.projection.weight
        memory = zeros_like_state(weight, batch_size, self.num_slots, 2 * self.hidden_size)
        return AttentionState(memory, zeros_like_state(weight, batch_size))

    def project(self, input: Tensor) -> tuple[Tensor, ...]:
        return (self.projection(input),)

    def watched_step(
        self, projected: tuple[Any, ...], state: AttentionState
    ) -> tuple[Tensor, AttentionState, AttentionWatched]:
        emitted = projected[0].unsqueeze(1)
        with full_precision(emitted):
            reads, weights, state = self._attend(emitted.to(state.memory.dtype), state)
        return self._out(reads).squeeze(1), state, AttentionWatched(weights[:, :, 0, 1:])

    def scan(self, input: Tensor, state: AttentionState, lengths: Tensor | None) -> tuple[Tensor, AttentionState]:
        (emitted,) = self.project(input)
        reads = []
        with full_precision(emitted):
            # A window of queries at a time, so that the scores do not grow with the square of the time.
            for part in emitted.to(state.memory.dtype).split(state.memory.size(1), 1):
                found, _, state = self._attend(part, state, lengths, _most(state))
                lengths = None if lengths is None else (lengths - part.size(1)).clamp(min=0)
                reads.append(found)
        return self._out(torch.cat(reads, 1)), state

    def _attend(
        self, emitted: Tensor, state: AttentionState, lengths: Tensor | None = None, held: int | None = None
    ) -> tuple[Tensor, Tensor, AttentionState]:
        """What steps (batch, time, 3 * hidden_size) read, at most num_slots of them; their weights; the next state.

        held: the most steps that a row of the state has, where that is known: no other slots are looked at.
        """
        time, slots = emitted.size(1), state.memory.size(1)
        empty = 0 if held is None else slots - held
        query, new = emitted.split([self.hidden_size, 2 * self.hidden_size], -1)
        memory = torch.cat([state.memory, new], 1)
        known = memory[:, empty:].unflatten(-1, (2, self.num_heads, -1)).transpose(1, 3)
        key, value = known.unbind(2)
        query = query.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        places = torch.arange(empty, slots + time, device=memory.device)
        if self.positions == "rotary":
            query, key = rotate(query, places[-time:]), rotate(key, places)
        slopes = torch.tensor(alibi_slopes(self.num_heads)).to(memory) if self.positions == "alibi" else None
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.size(-1))
        weights = window_weights(scores, places >= slots - state.filled.unsqueeze(-1), slots, slopes)
        reads = (weights @ value).transpose(1, 2).flatten(2)
        real = time if lengths is None else lengths.clamp(max=time)
        return (
            reads,
            weights,
            AttentionState(
                last_steps(memory, slots, None if lengths is None else lengths.clamp(max=time)),
                (state.filled + real).clamp(max=slots).to(state.filled.dtype),
            ),
        )

    def _out(self, reads: Tensor) -> Tensor:
        output: Tensor = self.output(reads.to(self.output.weight.dtype))
        return output

    def parts(self, states: AttentionState, watched: Any) -> list[Part]:
        """What every step attended to, where somebody watched, the values that it might have, and how many."""
        weights = [Part("read", "read", watched.weights, ("time", "head", "slot"))] if watched else []
        values = states.memory[..., self.hidden_size :]
        return [
            *weights,
            Part("memory", "values", values, ("time", "slot", "width")),
            Part("signal", "steps", states.filled, ("time",)),
        ]


def _most(state: AttentionState) -> int | None:
    """The most steps that a row holds; None where no number can be told, or may not: transformed, traced, on "meta"."""
    unknown = state.filled.is_meta or build.unusual_call([state.filled]) is not None
    return None if unknown else int(state.filled.max())


class Transformer(SequenceModule):
    """Layers of causal self-attention, the baseline without recurrence, with a cache of the last steps as its state.

    input_size, output_size: features. All options are those of memnet.blocks.stack_of and of AttentionCell: num_layers,
    hidden_size and expansion of the layers, whether they are normed, heads, how many steps they see, and how they know
    positions. `forward` is SequenceModule's: state in, state out, lengths.
    """

    cell: Stack
    cell_type = stack_of(AttentionCell)

    @property
    def num_slots(self) -> int:
        """Steps that each layer sees; may be set, also after training."""
        return self._layers()[0].num_slots

    @num_slots.setter
    def num_slots(self, value: int) -> None:
        for layer in self._layers():
            layer.num_slots = value

    def _layers(self) -> list[AttentionCell]:
        return [one for one in self.cell.modules() if isinstance(one, AttentionCell)]
