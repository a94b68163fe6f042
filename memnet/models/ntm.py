"""The Neural Turing Machine (Graves et al. 2014, arXiv 1410.5401)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.cells import AnswerRun, Cell, ControllerName, Room, StraightRun
from memnet.checks import check_choice
from memnet.controlled import ControlledCell, ControlledModule, by_head, full_precision, with_reads
from memnet.functional.addressing import content_weights, interpolate_weights, sharpen_weights, shift_weights
from memnet.functional.memory import add_memory, erase_memory, read_memory
from memnet.native import ntm
from memnet.state import State
from memnet.trace import Part

Addressing: TypeAlias = Literal["content-and-location", "content", "location"]
MemoryInit: TypeAlias = Literal["constant", "learned", "random"]
WeightsInit: TypeAlias = Literal["first", "learned"]
ReadOrder: TypeAlias = Literal["before-write", "after-write"]
# What the numbers of a head parameter count; the others are one a head.
_COUNTED = {"key": "width", "shift": "offset", "erase": "width", "add": "width"}


class NTMState(NamedTuple):
    """What an NTM carries from step to step; in float32 at least, also of a model in half precision, but for the
    controller's state.

    controller:    the controller's own state.
    reads:         (batch, num_reads, slot_size), the last read vectors.
    memory:        (batch, num_slots, slot_size).
    read_weights:  (batch, num_reads, num_slots), sums to one over slots.
    write_weights: (batch, num_writes, num_slots), sums to one over slots.
    """

    controller: State
    reads: Tensor
    memory: Tensor
    read_weights: Tensor
    write_weights: Tensor


class HeadParameters(NamedTuple):
    """What the controller tells its heads, read heads first; last axis empty where the addressing has no use for it.

    key:        (batch, head, slot_size), in (-1, 1).
    strength:   (batch, head, 1), at least 0.
    gate:       (batch, head, 1), in (0, 1).
    shift:      (batch, head, 2 * shift_range + 1), sums to one.
    sharpening: (batch, head, 1), at least 1.
    erase:      (batch, num_writes, slot_size), in (0, 1).
    add:        (batch, num_writes, slot_size), in (-1, 1).
    """

    key: Tensor
    strength: Tensor
    gate: Tensor
    shift: Tensor
    sharpening: Tensor
    erase: Tensor
    add: Tensor


class NTMTrace(NamedTuple):
    """An NTM watched over time, for pictures.

    output:        (batch, time, output_size), before any squashing.
    reads:         (batch, time, num_reads, slot_size).
    read_weights:  (batch, time, num_reads, num_slots).
    write_weights: (batch, time, num_writes, num_slots).
    memory:        (batch, time, num_slots, slot_size), after every step's writes.
    heads:         HeadParameters with a time axis after the batch.
    state:         the state after the last step.
    parts:         all of it, and the controller's state, as parts, see memnet.trace.
    """

    output: Tensor
    reads: Tensor
    read_weights: Tensor
    write_weights: Tensor
    memory: Tensor
    heads: HeadParameters
    state: NTMState
    parts: Sequence[Part]


class NTMCell(ControlledCell):
    """One step of a Neural Turing Machine.

    The controller sees the input and the last read vectors; one linear layer emits the parameters of all heads,
    which are addressed together; the output is the controller's output followed by the read vectors.

    input_size:     features of the input.
    controller:     "feedforward", "rnn-tanh", "rnn-relu", "lstm", "normalized-lstm" or "gru".
    hidden_size:    units of a layer of the controller. num_layers: its layers.
    num_slots:      memory rows. Not part of the weights: it may be set to another value at any time.
    slot_size:      memory columns.
    num_reads:      read heads. num_writes: write heads.
    shift_range:    furthest rotation in one step; 2 * shift_range + 1 offsets must fit in num_slots.
    addressing:     "content-and-location" (the paper), "content" (eqs. 5-6 alone; slots that start equal then
                    stay equal, so start from a random memory) or "location" (eqs. 8-9 alone).
    read_order:     "after-write": heads read the memory written in the same step (M_t in eq. 2);
                    "before-write": they read M_{t-1}, as most implementations do. Addressing always sees M_{t-1}.
    memory_init:    "constant" (1e-6, recommended by Collier & Beel 2018), "learned" (one trained row shared by all
                    slots, from N(0, 0.1^2)) or "random" (num_slots rows drawn once from N(0, 0.1^2), repeated if
                    num_slots grows). Where slots begin alike, a weighting spread over all of them may come to a point
                    again where rounding decides, over some hundred steps, with gradients as large as 1e24.
    trainable_memory: train the initial memory; None trains it where memory_init is "learned".
    weights_init:   "first": every head starts on slot 0, which tells the slots apart; "learned": trained
                    logits for each of the num_slots at construction (slots added later start at weight zero).
    learned_initial_state: train the initial read vectors (else zeros), and the controller's initial state, as far as
                    what makes it has such an option.
    forget_bias:    of an LSTM controller, and of any whose maker has such an option.
    norm_floor:     norms below it count as it in eq. 6, see memnet.functional.addressing.cosine_similarity.
    The controller may be one's own: a class of cells, or whatever else makes one of an input size, which is
    input_size + num_reads * slot_size, and hidden_size; or such a cell, whose output may be of any size.
    Raises ValueError for sizes that cannot be, and TypeError for a controller that is no cell.
    """

    has_native = True
    initial_memory: Tensor
    initial_weights: nn.Parameter | None
    initial_reads: nn.Parameter | None

    def __init__(
        self,
        input_size: int,
        *,
        controller: ControllerName | Cell | Callable[..., Cell] = "lstm",
        hidden_size: int = 100,
        num_layers: int = 1,
        num_slots: int = 128,
        slot_size: int = 20,
        num_reads: int = 1,
        num_writes: int = 1,
        shift_range: int = 1,
        addressing: Addressing = "content-and-location",
        read_order: ReadOrder = "after-write",
        memory_init: MemoryInit = "constant",
        trainable_memory: bool | None = None,
        weights_init: WeightsInit = "first",
        learned_initial_state: bool = False,
        forget_bias: float = 1.0,
        norm_floor: float = 1e-6,
    ) -> None:
        if shift_range < 0:
            raise ValueError(f"shift_range must be at least 0, not {shift_range}")
        for name, value, choices in (
            ("addressing", addressing, Addressing),
            ("read_order", read_order, ReadOrder),
            ("memory_init", memory_init, MemoryInit),
            ("weights_init", weights_init, WeightsInit),
        ):
            check_choice(name, value, choices)
        if memory_init == "learned" and trainable_memory is False:
            raise ValueError('memory_init "learned" needs trainable_memory; take "constant" or "random" instead')
        super().__init__(
            input_size,
            controller,
            hidden_size,
            num_layers=num_layers,
            slot_size=slot_size,
            num_reads=num_reads,
            num_writes=num_writes,
            learned_initial_state=learned_initial_state,
            forget_bias=forget_bias,
            norm_floor=norm_floor,
        )
        self.shift_range, self.addressing, self.read_order = shift_range, addressing, read_order
        self.memory_init, self.weights_init = memory_init, weights_init
        self.num_slots = num_slots
        self._head_sizes = self._emitted_sizes()
        self.heads = nn.Linear(self.controller.output_size, sum(count * width for count, width in self._head_sizes))
        self._add_initial_state(memory_init, trainable_memory, weights_init, learned_initial_state)

    def _emitted_sizes(self) -> list[tuple[int, int]]:
        heads = self.num_reads + self.num_writes
        by_content = self.addressing != "location"
        by_location = self.addressing != "content"
        return [
            (heads, self.slot_size * by_content),
            (heads, 1 * by_content),
            (heads, 1 * (by_content and by_location)),
            (heads, (2 * self.shift_range + 1) * by_location),
            (heads, 1 * by_location),
            (self.num_writes, self.slot_size),
            (self.num_writes, self.slot_size),
        ]

    def write_features(self) -> Tensor:
        """Which outputs of the linear layer `heads` are for write heads: (features,) bool, false for read heads."""
        marks = [(torch.arange(count) >= count - self.num_writes, width) for count, width in self._head_sizes]
        return torch.cat([writes.repeat_interleave(width) for writes, width in marks])

    def _add_initial_state(
        self, memory_init: MemoryInit, trainable: bool | None, weights_init: WeightsInit, learned: bool
    ) -> None:
        if memory_init == "constant":
            memory = torch.full((1, self.slot_size), 1e-6)
        else:
            memory = torch.empty(self.num_slots if memory_init == "random" else 1, self.slot_size).normal_(std=0.1)
        if trainable or memory_init == "learned":
            self.initial_memory = nn.Parameter(memory)
        else:
            self.register_buffer("initial_memory", memory)
        logits = None
        if weights_init == "learned":
            logits = nn.Parameter(torch.zeros(self.num_reads + self.num_writes, self.num_slots))
            with torch.no_grad():
                logits[:, 0] = 10.0
        self.register_parameter("initial_weights", logits)
        reads = nn.Parameter(torch.zeros(self.num_reads, self.slot_size)) if learned else None
        self.register_parameter("initial_reads", reads)

    def check_slots(self, value: int) -> None:
        super().check_slots(value)
        if self.addressing != "content" and 2 * self.shift_range + 1 > value:
            raise ValueError(
                f"shift_range {self.shift_range} needs at least {2 * self.shift_range + 1} slots, not {value}"
            )

    def initial_state(self, batch_size: int) -> NTMState:
        memory = self.initial_memory.to(torch.promote_types(self.initial_memory.dtype, torch.float32))
        if memory.size(0) == 1:
            memory = memory.expand(self.num_slots, -1)
        else:
            memory = memory.repeat(-(-self.num_slots // memory.size(0)), 1)[: self.num_slots]
        memory = memory.expand(batch_size, -1, -1)
        if self.initial_weights is None:
            weights = memory.new_zeros(batch_size, self.num_reads + self.num_writes, self.num_slots)
            weights[:, :, 0] = 1
        else:
            logits = self.initial_weights.to(memory.dtype)
            if more := self.num_slots - logits.size(1):
                logits = functional.pad(logits, (0, more), value=-torch.inf)
            weights = torch.softmax(logits, -1).expand(batch_size, -1, -1)
        if self.initial_reads is None:
            reads = memory.new_zeros(batch_size, self.num_reads, self.slot_size)
        else:
            reads = self.initial_reads.to(memory.dtype).expand(batch_size, -1, -1)
        read_weights, write_weights = weights.split([self.num_reads, self.num_writes], 1)
        return NTMState(self.controller.initial_state(batch_size), reads, memory, read_weights, write_weights)

    def native_refusal(self, input: Tensor, state: State) -> str | None:
        own = type(self) is NTMCell and self._emitted_sizes() == self._head_sizes
        return ntm.SEQUENCES.refusal(self, input, state, own=own)

    def unroll_native(self, input: Tensor, state: NTMState, lengths: Tensor | None) -> tuple[Tensor, State]:
        return ntm.SEQUENCES.unroll(self, input, state, lengths)

    def straight(self, input: Tensor, state: NTMState, gradients: Mapping[int, Tensor], room: Room) -> StraightRun:
        return ntm.SEQUENCES.straight(self, input, state, gradients, room)

    def answering(self, input: Tensor, state: NTMState) -> AnswerRun:
        return ntm.SEQUENCES.answering(self, input, state)

    def after_controller(
        self, hidden: Tensor, controller: State, state: NTMState
    ) -> tuple[Tensor, NTMState, HeadParameters]:
        """The rest of a step, from the controller's output and next state."""
        emitted = self.heads(hidden)
        with full_precision(hidden):
            heads = self.parameters_of_heads(emitted.to(state.memory.dtype))
            read_weights, write_weights = self.address(heads, state)
            memory = erase_memory(state.memory, write_weights, heads.erase)
            memory = add_memory(memory, write_weights, heads.add)
            readable = memory if self.read_order == "after-write" else state.memory
            reads = read_memory(readable, read_weights)
        output = with_reads(hidden, reads, self.initial_memory)
        return output, NTMState(controller, reads, memory, read_weights, write_weights), heads

    def parts(self, states: NTMState, watched: HeadParameters) -> list[Part]:
        """Memory, weightings, and by kind of head what steered them and what they brought; the controller's state."""
        signals = [part for name, values in watched._asdict().items() for part in self._signals(name, values)]
        return [*self.parts_of_heads(states, states.write_weights), *signals, *self.parts_of_controller(states)]

    def _signals(self, name: str, values: Tensor) -> list[Part]:
        """One of the head parameters over time, by kind of head; nothing of what the addressing has no use for."""
        if not values.size(-1):
            return []
        counted = _COUNTED.get(name)
        axes = ("time", "head", *([counted] if counted else []))
        heads = {"read": self.num_reads, "write": self.num_writes}
        if name in ("erase", "add"):
            del heads["read"]
        split = (values if counted else values.squeeze(-1)).split(list(heads.values()), 2)
        return [Part("signal", f"{kind} {name}", own, axes) for kind, own in zip(heads, split, strict=True)]

    def parameters_of_heads(self, emitted: Tensor) -> HeadParameters:
        """Squash what the linear layer emitted, (batch, features), into each parameter's range."""
        key, strength, gate, shift, sharpening, erase, add = by_head(emitted, self._head_sizes)
        return HeadParameters(
            key=torch.tanh(key),
            strength=functional.softplus(strength),
            gate=torch.sigmoid(gate),
            shift=torch.softmax(shift, -1),
            sharpening=1 + functional.softplus(sharpening),
            erase=torch.sigmoid(erase),
            add=torch.tanh(add),
        )

    def address(self, heads: HeadParameters, state: NTMState) -> tuple[Tensor, Tensor]:
        """The next read and write weightings (Graves et al. 2014, eqs. 5-9), all heads together."""
        if self.addressing == "content":
            weights = content_weights(state.memory, heads.key, heads.strength, self.norm_floor)
        else:
            weights = torch.cat([state.read_weights, state.write_weights], 1)
            if self.addressing == "content-and-location":
                content = content_weights(state.memory, heads.key, heads.strength, self.norm_floor)
                weights = interpolate_weights(content, weights, heads.gate)
            weights = sharpen_weights(shift_weights(weights, heads.shift), heads.sharpening)
        read_weights, write_weights = weights.split([self.num_reads, self.num_writes], 1)
        return read_weights, write_weights


class NTM(ControlledModule):
    """A Neural Turing Machine over sequences with a linear readout of controller and reads.

    input_size, output_size: features. All options are those of NTMCell: the controller and its units and layers, rows
    and columns of the memory, heads, and how they find their slots. `forward` is SequenceModule's: state in, state out,
    lengths.
    """

    cell: NTMCell
    cell_type = NTMCell

    def trace(self, input: Tensor, state: NTMState | None = None, *, lengths: Tensor | None = None) -> NTMTrace:
        """Run as `forward` does and keep what the heads did at every step.

        Arguments and errors as for forward. What is kept of steps after a row's length means nothing.
        """
        output, states, heads, last = self._watch(input, state, lengths)
        return NTMTrace(
            output=output,
            reads=states.reads,
            read_weights=states.read_weights,
            write_weights=states.write_weights,
            memory=states.memory,
            heads=heads,
            state=last,
            parts=self.cell.parts(states, heads),
        )
