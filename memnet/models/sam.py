"""Sparse access memory (Rae et al. 2016, arXiv 1610.09027): every head reads and writes a few slots of many."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from memnet.cells import Cell, ControllerName
from memnet.checks import check_sizes
from memnet.controlled import (
    ControlledCell,
    ControlledModule,
    by_head,
    full_precision,
    interface_of,
    oneplus,
    with_reads,
    zeros_like_state,
)
from memnet.functional.sparse import Entries, Read, Slots, largest_entries, spread, write_sparsely, written_rows
from memnet.native import near_slots, sam, sam_compiled
from memnet.state import State
from memnet.trace import Part


class SAMState(NamedTuple):
    """What it carries from step to step; in float32 at least, but for the controller's state.

    controller:   the controller's own state.
    reads:        (batch, num_reads, slot_size), the last read vectors.
    memory:       (batch, num_slots, slot_size).
    read_weights: (batch, num_reads, num_slots), zero but for slots_per_read slots of a head; at first all zero.
    age:          (batch, num_slots), for how many steps a slot has not been used.
    """

    controller: State
    reads: Tensor
    memory: Tensor
    read_weights: Tensor
    age: Tensor


class Told(NamedTuple):
    """What the controller tells the memory.

    key, add: (batch, head, slot_size), what is looked for, and what is written.
    gate:     (batch, head, 1), alpha in (0, 1): how much is written.
    again:    (batch, head, 1), gamma in (0, 1): 1 writes where the head has just read, 0 to an unused slot.
    strength: (batch, head, 1), at least 1.
    """

    key: Tensor
    add: Tensor
    gate: Tensor
    again: Tensor
    strength: Tensor


class SAMWatched(NamedTuple):
    """What steered a step: what was told, and where was written.

    slots, weights: (batch, head, slots_per_read + 1), the last of them the slot that was emptied for the head.
    """

    told: Told
    slots: Tensor
    weights: Tensor


class SAMCell(ControlledCell):
    """One step of a network with sparse access memory.

    The controller sees the input and the last read vectors. Every head empties the slot that has not been used for
    longest, writes there and to the slots it has just read, and reads the K slots that are nearest to its key:

        r = sum_k w_k M(i_k)        w = softmax over the K slots of strength cos(key, M(i_k))

    The other equations are in memnet.functional.sparse. That heads have a strength of their own, as those of the NTM,
    is this library's choice. Gradients reach the chosen slots alone. The nearest are found by a scan of all slots, the
    only part of a step whose time grows with their number; of cosines that are the same to half the digits (3.5e-4 in
    float32) the first slot's is taken. As a whole sequence (backend "native", and "auto" where that is faster) the
    memory is changed in place, and rolled back in the backward pass: of T steps and N slots N + T K rows are kept, not
    N T. A step then looks at no slot but those that hold something and a few more, and takes the same time however many
    are still empty. That is for controllers of memnet's own, which compute the same when they are asked again;
    others run step by step. It is compiled, for the CPU in float32 or float64, but made of torch's operations, and then
    50 times slower, for a "normalized-lstm" controller, for other devices and dtypes, where there is no compiler, and
    where an index finds the slots; "auto" takes that form without gradients, or with 131,072 numbers of memory in a
    batch.

    input_size:     features of the input.
    controller:     "feedforward", "rnn-tanh", "rnn-relu", "lstm", "normalized-lstm", "gru"; or one's own, see NTMCell.
    hidden_size:    units of a layer of the controller. num_layers: its layers.
    num_slots:      memory rows. Not part of the weights: it may be set to another value at any time.
    slot_size:      memory columns.
    num_reads:      heads, each of which reads and writes.
    slots_per_read: K. With as many as there are slots it is the dense cell.
    used_above:     how much weight makes a slot one that is used (delta).
    approximate:    let an index of faiss (the extra "index") find the nearest where a sequence as a whole, see above,
                    may reach more than 100,000 slots; it is made anew for every sequence. Else a scan finds them.
    learned_initial_state: train the controller's initial state (else zeros).
    forget_bias:    of an LSTM controller.
    norm_floor:     norms below it count as it, see memnet.functional.addressing.cosine_similarity.
    Raises ValueError for sizes that cannot be: there must be a slot for each head and for each that one reads.
    """

    has_native = True
    slots_for = ("slots_per_read", "num_reads")

    def __init__(
        self,
        input_size: int,
        *,
        controller: ControllerName | Cell | Callable[..., Cell] = "lstm",
        hidden_size: int = 100,
        num_layers: int = 1,
        num_slots: int = 1024,
        slot_size: int = 32,
        num_reads: int = 4,
        slots_per_read: int = 4,
        used_above: float = 0.005,
        approximate: bool = False,
        learned_initial_state: bool = False,
        forget_bias: float = 1.0,
        norm_floor: float = 1e-6,
    ) -> None:
        check_sizes(slots_per_read=slots_per_read)
        if not 0 <= used_above < 1:
            raise ValueError(f"used_above must be in [0, 1), not {used_above}")
        if approximate:
            near_slots.check_installed()
        super().__init__(
            input_size,
            controller,
            hidden_size,
            num_layers=num_layers,
            slot_size=slot_size,
            num_reads=num_reads,
            num_writes=num_reads,
            learned_initial_state=learned_initial_state,
            forget_bias=forget_bias,
            norm_floor=norm_floor,
        )
        self.slots_per_read, self.used_above, self.approximate = slots_per_read, used_above, approximate
        self.num_slots = num_slots
        self._sizes = [(num_reads, slot_size), (num_reads, slot_size), *[(num_reads, 1)] * 3]
        self.interface = interface_of(self.controller, self._sizes)

    def initial_state(self, batch_size: int) -> SAMState:
        """All zero but for the controller's state, where that is trained; of the memory one slot stands for all."""
        zeros = partial(zeros_like_state, self.interface.weight, batch_size)
        return SAMState(
            controller=self.controller.initial_state(batch_size),
            reads=zeros(self.num_reads, self.slot_size),
            memory=zeros(1, self.slot_size).expand(-1, self.num_slots, -1),
            read_weights=zeros(self.num_reads, 1).expand(-1, -1, self.num_slots),
            age=zeros(1).expand(-1, self.num_slots),
        )

    def native_refusal(self, input: Tensor, state: State) -> str | None:
        return sam.refusal(self, input, state, own=type(self) is SAMCell)

    def native_loss(self, input: Tensor, state: SAMState) -> str | None:
        return None if sam_compiled.refusal(self, input, state) is None else sam.loss(state.memory)

    def unroll_native(self, input: Tensor, state: SAMState, lengths: Tensor | None) -> tuple[Tensor, State]:
        if sam_compiled.refusal(self, input, state) is None:
            return sam_compiled.unroll_sam(self, input, state, lengths)
        return sam.unroll_sam(self, input, state, lengths)

    def after_controller(
        self, hidden: Tensor, controller: State, state: SAMState
    ) -> tuple[Tensor, SAMState, SAMWatched]:
        """The rest of a step: empty, write, find, read."""
        memory = Slots(state.memory, state.age)
        last = Read(*largest_entries(state.read_weights, self.slots_per_read), state.reads)
        output, read, watched = self.access(hidden, last, memory)
        weights = spread(Entries(read.slots, read.weights), state.read_weights.size(-1))
        return output, SAMState(controller, read.vectors, memory.rows, weights, memory.age), watched

    def access(self, hidden: Tensor, last: Read, memory: Slots) -> tuple[Tensor, Read, SAMWatched]:
        """Write and read by what the controller has put out: the cell's output, what was read, and what steered it."""
        emitted = self.interface(hidden)
        with full_precision(hidden):
            told = self.parts_of_interface(emitted.to(last.weights.dtype))
            unused = memory.unused(self.num_reads)
            slots, weights = write_sparsely(last.slots, last.weights, unused, told.gate, told.again)
            places = slots.flatten(1)
            memory.put(places, written_rows(memory.take(places), slots, weights, told.add, unused))
            (found, shares), rows = memory.by_content(told.key, told.strength, self.slots_per_read, self.norm_floor)
            reads = (shares.unsqueeze(2) @ rows).squeeze(2)
            memory.touch(
                torch.cat([places, found.flatten(1)], -1),
                torch.cat([weights.flatten(1), shares.flatten(1)], -1),
                self.used_above,
            )
        output = with_reads(hidden, reads, self.interface.weight)
        return output, Read(found, shares, reads), SAMWatched(told, slots, weights)

    def parts_of_interface(self, emitted: Tensor) -> Told:
        """Squash what the linear layer emitted, (batch, features), into each part's range."""
        key, add, gate, again, strength = by_head(emitted, self._sizes)
        return Told(key, add, torch.sigmoid(gate), torch.sigmoid(again), oneplus(strength))

    def parts(self, states: SAMState, watched: SAMWatched) -> list[Part]:
        """Memory, weightings, ages, and what steered the heads; the controller's state."""
        head, told = ("time", "head"), watched.told
        written = spread(Entries(watched.slots, watched.weights), states.read_weights.size(-1))
        return [
            *self.parts_of_heads(states, written),
            Part("signal", "age", states.age, ("time", "slot")),
            Part("gate", "write gate", told.gate.squeeze(-1), head),
            Part("gate", "write by last reading", told.again.squeeze(-1), head),
            Part("gate", "write by least use", 1 - told.again.squeeze(-1), head),
            Part("signal", "read key", told.key, (*head, "width")),
            Part("signal", "read strength", told.strength.squeeze(-1), head),
            Part("signal", "write add", told.add, (*head, "width")),
            *self.parts_of_controller(states),
        ]


class SAM(ControlledModule):
    """A network with sparse access memory over sequences, with a linear readout of controller and reads.

    input_size, output_size: features. All options are those of SAMCell: the controller and its units and layers, rows
    and columns of the memory, heads, and how many slots each reads. `forward` is SequenceModule's: state in, state out,
    lengths.
    """

    cell: SAMCell
    cell_type = SAMCell
