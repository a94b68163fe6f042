"""The sparse differentiable neural computer (Rae et al. 2016, arXiv 1610.09027): sparse access with temporal links."""

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
from memnet.functional.links import read_by_modes
from memnet.functional.sparse import Entries, Slots, largest_entries, spread, written_rows
from memnet.functional.sparse_links import (
    follow_rows,
    next_links_after,
    next_links_before,
    next_sparse_precedence,
)
from memnet.state import State
from memnet.trace import Part


class SDNCState(NamedTuple):
    """What it carries from step to step; in float32 at least, but for the controller's state.

    controller:   the controller's own state.
    reads:        (batch, num_reads, slot_size), the last read vectors.
    memory:       (batch, num_slots, slot_size).
    read_weights: (batch, num_reads, num_slots), zero but for slots_per_read slots of a head; at first all zero.
    age:          (batch, num_slots), for how many steps a slot has not been used.
    precedence:   (batch, num_slots), zero but for links_per_slot slots.
    before_slots, before: (batch, num_slots, links_per_slot), of every slot those written before it, and how much.
    after_slots, after:   (batch, num_slots, links_per_slot), of every slot those written after it, and how much.
    """

    controller: State
    reads: Tensor
    memory: Tensor
    read_weights: Tensor
    age: Tensor
    precedence: Tensor
    before_slots: Tensor
    before: Tensor
    after_slots: Tensor
    after: Tensor


class Told(NamedTuple):
    """What the controller tells the memory.

    key:         (batch, read, slot_size). strength: (batch, read, 1), at least 1.
    modes:       (batch, read, 3), a distribution: by the links backward, by content, by the links forward.
    add:         (batch, 1, slot_size).
    gate, again: (batch, 1, 1), alpha and gamma in (0, 1), see memnet.functional.sparse.write_sparsely.
    """

    key: Tensor
    strength: Tensor
    modes: Tensor
    add: Tensor
    gate: Tensor
    again: Tensor


class SDNCWatched(NamedTuple):
    """What steered a step: what was told, and where was written, (batch, 1, num_slots)."""

    told: Told
    written: Tensor


class SDNCCell(ControlledCell):
    """One step of a sparse differentiable neural computer.

    The controller sees the input and the last read vectors. One head writes as those of sparse access memory do: to the
    slot that has not been used for longest, which is emptied, and to the slots that all heads have just read. Links
    from slot to slot note in which order was written, a few for each slot. Every head reads K slots, the largest of

        w = pi_b b + pi_c c + pi_f f

    c over the K slots nearest to its key, b and f the slots written before and after those that it has read last. The
    equations are in memnet.functional.sparse and sparse_links. Of the DNC's allocation, free gates and erasing nothing
    is left. That links are followed by rows either way, that one head writes, and where it has read is the mean of all,
    is this library's reading. Steps run one by one and keep the memory of each.

    input_size:     features of the input.
    controller:     "feedforward", "rnn-tanh", "rnn-relu", "lstm", "normalized-lstm", "gru"; or one's own, see NTMCell.
    hidden_size:    units of a layer of the controller. num_layers: its layers.
    num_slots:      memory rows. Not part of the weights: it may be set to another value at any time.
    slot_size:      memory columns.
    num_reads:      heads that read.
    slots_per_read: K.
    links_per_slot: K_L. With as many as there are slots no link is left out.
    used_above:     how much weight makes a slot one that is used (delta).
    learned_initial_state: train the controller's initial state (else zeros).
    forget_bias:    of an LSTM controller.
    norm_floor:     norms below it count as it, see memnet.functional.addressing.cosine_similarity.
    Raises ValueError for sizes that cannot be: there must be as many slots as are read or linked.
    """

    slots_for = ("slots_per_read", "links_per_slot")

    def __init__(
        self,
        input_size: int,
        *,
        controller: ControllerName | Cell | Callable[..., Cell] = "lstm",
        hidden_size: int = 100,
        num_layers: int = 1,
        num_slots: int = 256,
        slot_size: int = 32,
        num_reads: int = 4,
        slots_per_read: int = 4,
        links_per_slot: int = 8,
        used_above: float = 0.005,
        learned_initial_state: bool = False,
        forget_bias: float = 1.0,
        norm_floor: float = 1e-6,
    ) -> None:
        check_sizes(slots_per_read=slots_per_read, links_per_slot=links_per_slot)
        if not 0 <= used_above < 1:
            raise ValueError(f"used_above must be in [0, 1), not {used_above}")
        super().__init__(
            input_size,
            controller,
            hidden_size,
            num_layers=num_layers,
            slot_size=slot_size,
            num_reads=num_reads,
            num_writes=1,
            learned_initial_state=learned_initial_state,
            forget_bias=forget_bias,
            norm_floor=norm_floor,
        )
        self.slots_per_read, self.links_per_slot, self.used_above = slots_per_read, links_per_slot, used_above
        self.num_slots = num_slots
        self._sizes = [(num_reads, slot_size), (num_reads, 1), (num_reads, 3), (1, slot_size), (1, 1), (1, 1)]
        self.interface = interface_of(self.controller, self._sizes)

    def initial_state(self, batch_size: int) -> SDNCState:
        """All zero but for the controller's state, where that is trained; of links that are none the slots differ."""
        slots, zeros = self.num_slots, partial(zeros_like_state, self.interface.weight, batch_size)
        links = partial(zeros, slots, self.links_per_slot)
        return SDNCState(
            controller=self.controller.initial_state(batch_size),
            reads=zeros(self.num_reads, self.slot_size),
            memory=zeros(slots, self.slot_size),
            read_weights=zeros(self.num_reads, slots),
            age=zeros(slots),
            precedence=zeros(slots),
            before_slots=_numbered(links()),
            before=links(),
            after_slots=_numbered(links()),
            after=links(),
        )

    def after_controller(
        self, hidden: Tensor, controller: State, state: SDNCState
    ) -> tuple[Tensor, SDNCState, SDNCWatched]:
        """The rest of a step: empty, write, link, find, read."""
        emitted = self.interface(hidden)
        with full_precision(hidden):
            told = self.parts_of_interface(emitted.to(state.memory.dtype))
            memory, size = Slots(state.memory, state.age), state.memory.size(1)
            last = largest_entries(state.read_weights, self.slots_per_read)
            written = self._write(told, state.read_weights, memory)
            precedence = largest_entries(state.precedence, self.links_per_slot)
            before = next_links_before(Entries(state.before_slots.long(), state.before), written, precedence)
            after = next_links_after(Entries(state.after_slots.long(), state.after), written, precedence)
            weights = spread(written, size)
            ways = [one.unsqueeze(2) for one in (follow_rows(before, last), follow_rows(after, last))]
            near, _ = memory.by_content(told.key, told.strength, self.slots_per_read, self.norm_floor)
            every = read_by_modes(ways[0], spread(near, size), ways[1], told.modes)
            read = largest_entries(every, self.slots_per_read)
            reads = (read.weights.unsqueeze(2) @ memory.take_of_heads(read.slots)).squeeze(2)
            used_slots, use = (torch.cat([one, more.flatten(1)], -1) for one, more in zip(written, read, strict=True))
            memory.touch(used_slots, use, self.used_above)
        after_all = SDNCState(
            controller=controller,
            reads=reads,
            memory=memory.rows,
            read_weights=spread(read, size),
            age=memory.age,
            precedence=next_sparse_precedence(state.precedence, weights, self.links_per_slot),
            before_slots=before.slots.to(before.weights.dtype),
            before=before.weights,
            after_slots=after.slots.to(after.weights.dtype),
            after=after.weights,
        )
        return with_reads(hidden, reads, self.interface.weight), after_all, SDNCWatched(told, weights.unsqueeze(1))

    def _write(self, told: Told, read_weights: Tensor, memory: Slots) -> Entries:
        """Empty a slot and write: where, and how much."""
        unused = memory.unused(1)
        empty = torch.zeros_like(read_weights[:, 0]).scatter(-1, unused, 1.0)
        again, gate = told.again.squeeze(1), told.gate.squeeze(1)
        weights = gate * torch.lerp(empty, read_weights.mean(1), again)
        count = min(self.num_reads * self.slots_per_read + 1, weights.size(-1))
        # What is emptied is so, however little is written there.
        slots = largest_entries(weights.detach() + empty, count).slots
        written = Entries(slots, weights.gather(-1, slots))
        of_head = Entries(*(one.unsqueeze(1) for one in written))
        memory.put(slots, written_rows(memory.take(slots), of_head.slots, of_head.weights, told.add, unused))
        return written

    def parts_of_interface(self, emitted: Tensor) -> Told:
        """Squash what the linear layer emitted, (batch, features), into each part's range."""
        key, strength, modes, add, gate, again = by_head(emitted, self._sizes)
        gates = torch.sigmoid(gate), torch.sigmoid(again)
        return Told(key, oneplus(strength), torch.softmax(modes, -1), add, *gates)

    def parts(self, states: SDNCState, watched: SDNCWatched) -> list[Part]:
        """Memory, weightings, ages, links, and what steered the heads; the controller's state."""
        head, told = ("time", "head"), watched.told
        before = Entries(states.before_slots.long(), states.before)
        back, _, on = told.modes.unbind(-1)
        return [
            *self.parts_of_heads(states, watched.written),
            Part("signal", "age", states.age, ("time", "slot")),
            Part("matrix", "links", spread(before, states.memory.size(2)).unsqueeze(2), (*head, "slot", "slot")),
            Part("gate", "write gate", told.gate.squeeze(-1), head),
            Part("gate", "write by last reading", told.again.squeeze(-1), head),
            Part("gate", "write by least use", 1 - told.again.squeeze(-1), head),
            Part("gate", "read by going back", back, head),
            Part("gate", "read by going on", on, head),
            Part("signal", "read key", told.key, (*head, "width")),
            Part("signal", "read strength", told.strength.squeeze(-1), head),
            Part("signal", "read modes", told.modes, (*head, "mode")),
            Part("signal", "write add", told.add, (*head, "width")),
            *self.parts_of_controller(states),
        ]


def _numbered(slots: Tensor) -> Tensor:
    """Along the last axis 0, 1, ..., in place."""
    return slots.add_(torch.arange(slots.size(-1), dtype=slots.dtype, device=slots.device))


class SDNC(ControlledModule):
    """A sparse differentiable neural computer over sequences, with a linear readout of controller and reads.

    input_size, output_size: features. All options are those of SDNCCell: the controller and its units and layers, rows
    and columns of the memory, heads, how many slots each reads, and how many links a slot has. `forward` is
    SequenceModule's: state in, state out, lengths.
    """

    cell: SDNCCell
    cell_type = SDNCCell
