"""Segments that pass a few tokens on: the recurrent memory transformer (Bulatov et al. 2022, arXiv 2207.06881)."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from memnet.blocks import Block, Stack
from memnet.cells import WatchedCell, parted
from memnet.checks import check_sizes
from memnet.inner import taken
from memnet.models.transformer import AttentionCell, Positions
from memnet.sequence import SequenceModule
from memnet.state import State, map_state, select_rows
from memnet.trace import Part


class SegmentState(NamedTuple):
    """What a network of segments carries from step to step.

    layers:   the states of its layers within the segment, which begins with the memory's tokens.
    memory:   (batch, num_memory, width), the tokens that the segment began with.
    position: (batch,), steps since then, a whole number below the segment's length.
    """

    layers: State
    memory: Tensor
    position: Tensor


class SegmentCell(WatchedCell):
    """Layers that forget all at the end of each segment, but for a few tokens that they write for the next.

        segment: [memory_t, x_1 ... x_L, memory_t] through the layers        memory_{t+1} = their outputs at its end

    The first memory is learned. The memory's tokens are read and written at a segment's end, so that each step has but
    one token of its own.

    stack:          the layers, of any cells, with their embedding and norm.
    segment_length: L, steps of a segment.
    num_memory:     tokens that are passed on.
    Raises ValueError for sizes that cannot be.
    """

    has_scan = True

    def __init__(self, stack: Stack, *, segment_length: int = 32, num_memory: int = 4) -> None:
        super().__init__()
        check_sizes(segment_length=segment_length, num_memory=num_memory)
        self.input_size, self.output_size = stack.input_size, stack.output_size
        self.segment_length, self.num_memory = segment_length, num_memory
        self.stack = stack
        self.memory = nn.Parameter(torch.randn(num_memory, stack.output_size))

    def initial_state(self, batch_size: int) -> SegmentState:
        memory = self.memory.to(torch.promote_types(self.memory.dtype, torch.float32)).unsqueeze(0)
        layers = self._read(memory)
        first = SegmentState(layers, memory, memory.new_zeros(1))
        state: SegmentState = map_state(lambda one: one.repeat(batch_size, *[1] * (one.dim() - 1)), first)
        return state

    def project(self, input: Tensor) -> tuple[Tensor, ...]:
        return self.stack.project(input)

    def shared(self) -> Any:
        return self.stack.shared()

    def watched_step(
        self, projected: tuple[Any, ...], state: SegmentState
    ) -> tuple[Tensor, SegmentState, tuple[Any, ...]]:
        """`step`, with what the layers' own gives beside its results."""
        (hidden,), shared = parted(self, projected)
        hidden, layers, watched = self.stack.step_of_blocks(hidden, state.layers, shared)
        after = SegmentState(layers, state.memory, state.position + 1)
        ends = after.position >= self.segment_length
        return self.stack.norm(hidden), select_rows(ends, self._ended(after, shared), after), watched

    def scan(self, input: Tensor, state: SegmentState, lengths: Tensor | None) -> tuple[Tensor, SegmentState]:
        hidden, time, size = self.stack.embedding(input), input.size(1), self.segment_length
        begin = state.position.long()
        room = size - begin
        total = torch.full_like(begin, time) if lengths is None else lengths
        steps = torch.arange(size, device=begin.device)
        outputs: list[Tensor] = []
        # Every row's own segments: the rest of that which has begun, and those after it.
        for start in (torch.zeros_like(begin), *(room + first for first in range(0, time - 1, size))):
            real = torch.minimum((total - start).clamp(min=0), room if not outputs else torch.full_like(room, size))
            seen = taken(hidden, (start.unsqueeze(1) + steps).clamp(max=time - 1))
            found, layers = self.stack.scan_of_blocks(seen, state.layers, real)
            outputs.append(found)
            state = SegmentState(layers, state.memory, state.position + real)
            state = select_rows(state.position >= size, self._ended(state, None), state)
        times = torch.arange(time, device=begin.device)
        places = torch.where(times < room.unsqueeze(1), times, size + times - room.unsqueeze(1))
        return self.stack.norm(taken(torch.cat(outputs, 1), places)), state

    def _ended(self, state: SegmentState, shared: tuple[Any, ...] | None) -> SegmentState:
        """The state with the memory written, and read by the next segment."""
        written, _ = self._tokens(state.memory, state.layers, shared)
        memory = self.stack.norm(written).to(state.memory.dtype)
        return SegmentState(self._read(memory, shared), memory, torch.zeros_like(state.position))

    def _read(self, memory: Tensor, shared: tuple[Any, ...] | None = None) -> State:
        """The layers' states after a memory's tokens, (batch, token, width)."""
        return self._tokens(memory, self.stack.initial_state(memory.size(0)), shared)[1]

    def _tokens(self, memory: Tensor, layers: State, shared: tuple[Any, ...] | None) -> tuple[Tensor, State]:
        """What the layers make of the memory's tokens: one by one where they are in a step, else at once."""
        hidden = memory.to(self.memory.dtype)
        if shared is None:
            return self.stack.scan_of_blocks(hidden, layers, None)
        found = []
        for token in hidden.unbind(1):
            output, layers, _ = self.stack.step_of_blocks(token, layers, shared)
            found.append(output)
        return torch.stack(found, 1), layers

    def parts(self, states: SegmentState, watched: tuple[Any, ...]) -> list[Part]:
        """The tokens that the segments began with, and what the layers tell."""
        memory = Part("memory", "memory tokens", states.memory, ("time", "slot", "width"))
        return [memory, *self.stack.parts(states.layers, watched)]


def _transformer(
    input_size: int,
    *,
    hidden_size: int = 64,
    num_layers: int = 2,
    expansion: int = 2,
    num_heads: int = 4,
    positions: Positions = "rotary",
    segment_length: int = 32,
    num_memory: int = 4,
) -> SegmentCell:
    check_sizes(num_layers=num_layers, segment_length=segment_length, num_memory=num_memory)
    seen = segment_length + 2 * num_memory
    layers = [
        AttentionCell(hidden_size, hidden_size, num_heads=num_heads, num_slots=seen, positions=positions)
        for _ in range(num_layers)
    ]
    stack = Stack(input_size, [Block(layer, expansion=expansion) for layer in layers])
    return SegmentCell(stack, segment_length=segment_length, num_memory=num_memory)


class RecurrentMemoryTransformer(SequenceModule):
    """Causal self-attention within segments, which pass a few tokens on as their memory.

    input_size, output_size: features.
    hidden_size:    features of a layer. num_layers: layers.
    expansion:      features within a layer's feed-forward part, as a multiple of hidden_size; 0 for no such part.
    num_heads:      heads of a layer.
    positions:      how a step knows how far back others are: "rotary", "alibi", or "none".
    segment_length: steps of a segment.
    num_memory:     tokens that are passed on.
    `forward` is SequenceModule's: state in, state out, lengths.
    """

    cell: SegmentCell
    cell_type = _transformer
