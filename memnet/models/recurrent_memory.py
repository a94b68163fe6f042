"""Segments that pass a few tokens on, and what they associate: recurrent memory transformers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from memnet.blocks import Before, Block, Stack
from memnet.cells import WatchedCell, parted
from memnet.checks import check_sizes
from memnet.controlled import zeros_like_state
from memnet.functional.segments import Associations, dpfp, read_segments, write_segment
from memnet.inner import taken
from memnet.models.transformer import AttentionCell, Positions
from memnet.sequence import SequenceModule
from memnet.state import State, map_state, select_rows
from memnet.trace import Part


class SegmentState(NamedTuple):
    """What a network of segments carries from step to step.

    layers:       the states of its layers within the segment, which begins with the memory's tokens.
    memory:       (batch, num_memory, width), the tokens that the segment began with.
    position:     (batch,), steps since then, a whole number below the segment's length.
    associations: what each layer remembers of the segments before; () where they associate nothing.
    """

    layers: State
    memory: Tensor
    position: Tensor
    associations: tuple[Associations, ...]


class Association(nn.Module):
    """How a layer reads and writes what it remembers of past segments, see memnet.functional.segments.

        x + read(phi(W_q x)), what goes into the layer        beta = sigmoid(w_b y + b), v = W_v y, phi(W_k y)

    of what comes out of it at the memory's tokens, y.

    width: features of a layer. key_size: features of a query and a key before they are projected.
    Weights are those of the associative memory of ARMT's code: `query`, `key`, `value`, `strength` are W_mq, W_mk,
    W_mv, W_mb. Values begin at zero, as there.
    """

    def __init__(self, width: int, key_size: int) -> None:
        super().__init__()
        check_sizes(key_size=key_size)
        self.query, self.key = (nn.Linear(width, key_size, bias=False) for _ in range(2))
        self.value, self.strength = nn.Linear(width, width, bias=False), nn.Linear(width, 1)
        nn.init.zeros_(self.value.weight)

    def initial_state(self, batch_size: int) -> Associations:
        """Nothing."""
        key_size, width = self.key.weight.shape
        keys = dpfp(self.key.weight.new_zeros(1, key_size)).size(-1)
        memory = zeros_like_state(self.key.weight, batch_size, keys, width)
        return Associations(memory, zeros_like_state(self.key.weight, batch_size, keys))

    def reads(self, past: Associations, hidden: Tensor) -> Tensor:
        """What goes into the layer, (batch, time, width)."""
        return hidden + read_segments(past, dpfp(self.query(hidden)).to(past.memory.dtype)).to(hidden.dtype)

    def writes(self, past: Associations, hidden: Tensor) -> Associations:
        """The memory after what came out of the layer at the memory's tokens, (batch, token, width)."""
        keys, values, strengths = dpfp(self.key(hidden)), self.value(hidden), torch.sigmoid(self.strength(hidden))
        return write_segment(past, *(one.to(past.memory.dtype) for one in (keys, values, strengths)))


class SegmentCell(WatchedCell):
    """Layers that forget all at the end of each segment, but for a few tokens that they write for the next.

        segment: [memory_t, x_1 ... x_L, memory_t] through the layers        memory_{t+1} = their outputs at its end

    (Bulatov et al. 2022, arXiv 2207.06881). The first memory is learned. The memory's tokens are read and written at a
    segment's end, so that each step has but one token of its own. With associations each layer also has a memory of its
    own of all segments before, which what it makes of the last tokens is written to (Rodkin et al. 2024, arXiv
    2407.04841).

    stack:          the layers, of any cells, with their embedding and norm.
    segment_length: L, steps of a segment.
    num_memory:     tokens that are passed on.
    associations:   one for each layer, or none.
    Raises ValueError for sizes that cannot be.
    """

    has_scan = True

    def __init__(
        self,
        stack: Stack,
        *,
        segment_length: int = 32,
        num_memory: int = 4,
        associations: Sequence[Association] = (),
    ) -> None:
        super().__init__()
        check_sizes(segment_length=segment_length, num_memory=num_memory)
        self.input_size, self.output_size = stack.input_size, stack.output_size
        self.segment_length, self.num_memory = segment_length, num_memory
        if associations and len(associations) != len(stack.blocks):
            raise ValueError(f"associations must be {len(stack.blocks)}, one for each layer, not {len(associations)}")
        self.stack, self.associations = stack, nn.ModuleList(associations)
        self.memory = nn.Parameter(torch.randn(num_memory, stack.output_size))

    def initial_state(self, batch_size: int) -> SegmentState:
        memory = self.memory.to(torch.promote_types(self.memory.dtype, torch.float32)).unsqueeze(0)
        associations = tuple(one.initial_state(1) for one in self._associations())
        layers = self._read(memory, associations)
        first = SegmentState(layers, memory, memory.new_zeros(1), associations)
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
        before = self._before(state.associations)
        hidden, layers, watched = self.stack.step_of_blocks(hidden, state.layers, shared, before)
        after = state._replace(layers=layers, position=state.position + 1)
        ends = after.position >= self.segment_length
        return self.stack.norm(hidden), select_rows(ends, self._ended(after, shared), after), watched

    def scan(self, input: Tensor, state: SegmentState, lengths: Tensor | None) -> tuple[Tensor, SegmentState]:
        hidden, time, size = self.stack.embedding(input), input.size(1), self.segment_length
        begin = state.position.long()
        room = size - begin
        total = torch.full_like(begin, time) if lengths is None else lengths
        steps = torch.arange(size, device=begin.device)
        outputs: list[Tensor] = []
        # Every row's own segments: the rest of that which has begun, and those after it. They are taken at once: the
        # gradient of each by itself would be as large as all.
        starts = [torch.zeros_like(begin), *(room + first for first in range(0, time - 1, size))]
        places = torch.cat([start.unsqueeze(1) + steps for start in starts], 1).clamp(max=time - 1)
        for start, seen in zip(starts, taken(hidden, places).split(size, 1), strict=True):
            real = torch.minimum((total - start).clamp(min=0), room if not outputs else torch.full_like(room, size))
            found, layers = self.stack.run_of_blocks(seen, state.layers, real, self._before(state.associations))
            outputs.append(found)
            state = state._replace(layers=layers, position=state.position + real)
            state = select_rows(state.position >= size, self._ended(state, None), state)
        times = torch.arange(time, device=begin.device)
        places = torch.where(times < room.unsqueeze(1), times, size + times - room.unsqueeze(1))
        return self.stack.norm(taken(torch.cat(outputs, 1), places)), state

    def _ended(self, state: SegmentState, shared: tuple[Any, ...] | None) -> SegmentState:
        """The state with the memory written, and read by the next segment."""
        inputs: list[Tensor] = []
        written, _ = self._tokens(state.memory, state.layers, state.associations, shared, inputs)
        # What came out of a layer is what comes to the next, before that reads.
        outputs = (*inputs[1:], written)
        associations = tuple(
            one.writes(past, output)
            for one, past, output in zip(self._associations(), state.associations, outputs, strict=False)
        )
        memory = self.stack.norm(written).to(state.memory.dtype)
        layers = self._read(memory, associations, shared)
        return SegmentState(layers, memory, torch.zeros_like(state.position), associations)

    def _read(
        self, memory: Tensor, associations: tuple[Associations, ...], shared: tuple[Any, ...] | None = None
    ) -> State:
        """The layers' states after a memory's tokens, (batch, token, width)."""
        return self._tokens(memory, self.stack.initial_state(memory.size(0)), associations, shared, [])[1]

    def _before(self, associations: tuple[Associations, ...], inputs: list[Tensor] | None = None) -> Before:
        """What each layer's input becomes by what it associates; `inputs` take what it was before."""

        def before(place: int, hidden: Tensor) -> Tensor:
            if inputs is not None:
                inputs.append(hidden)
            if not associations:
                return hidden
            several = hidden if hidden.dim() == 3 else hidden.unsqueeze(1)
            return self._associations()[place].reads(associations[place], several).view_as(hidden)

        return before

    def _tokens(
        self,
        memory: Tensor,
        layers: State,
        associations: tuple[Associations, ...],
        shared: tuple[Any, ...] | None,
        inputs: list[Tensor],
    ) -> tuple[Tensor, State]:
        """What the layers make of the memory's tokens: one by one where they are in a step, else at once.

        inputs: takes what came to each layer, (batch, token, width).
        """
        hidden = memory.to(self.memory.dtype)
        if shared is None:
            return self.stack.run_of_blocks(hidden, layers, None, self._before(associations, inputs))
        found, seen = [], []
        for token in hidden.unbind(1):
            of_token: list[Tensor] = []
            output, layers, _ = self.stack.step_of_blocks(token, layers, shared, self._before(associations, of_token))
            found.append(output)
            seen.append(of_token)
        inputs += [torch.stack(of_layer, 1) for of_layer in zip(*seen, strict=True)]
        return torch.stack(found, 1), layers

    def _associations(self) -> list[Association]:
        return list(self.associations)  # type: ignore[arg-type]

    def parts(self, states: SegmentState, watched: tuple[Any, ...]) -> list[Part]:
        """The tokens that the segments began with, what layers associate, and what the layers tell."""
        memory = Part("memory", "memory tokens", states.memory, ("time", "slot", "width"))
        associations = [
            Part("matrix", f"associations, layer {place}", one.memory, ("time", "key", "value"))
            for place, one in enumerate(states.associations, start=1)
        ]
        return [memory, *associations, *self.stack.parts(states.layers, watched)]


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
    key_size: int = 0,
) -> SegmentCell:
    check_sizes(num_layers=num_layers, segment_length=segment_length, num_memory=num_memory)
    check_sizes(0, key_size=key_size)
    seen = segment_length + 2 * num_memory
    layers = [
        AttentionCell(hidden_size, hidden_size, num_heads=num_heads, num_slots=seen, positions=positions)
        for _ in range(num_layers)
    ]
    stack = Stack(input_size, [Block(layer, expansion=expansion) for layer in layers])
    associations = [Association(hidden_size, key_size) for _ in layers if key_size]
    return SegmentCell(stack, segment_length=segment_length, num_memory=num_memory, associations=associations)


class RecurrentMemoryTransformer(SequenceModule):
    """Causal self-attention within segments, which pass a few tokens on as their memory, and may associate (ARMT).

    input_size, output_size: features.
    hidden_size:    features of a layer. num_layers: layers.
    expansion:      features within a layer's feed-forward part, as a multiple of hidden_size; 0 for no such part.
    num_heads:      heads of a layer.
    positions:      how a step knows how far back others are: "rotary", "alibi", or "none".
    segment_length: steps of a segment.
    num_memory:     tokens that are passed on.
    key_size:       features of a key of each layer's associative memory, before they are projected; 0 for none.
    `forward` is SequenceModule's: state in, state out, lengths.
    """

    cell: SegmentCell
    cell_type = _transformer
