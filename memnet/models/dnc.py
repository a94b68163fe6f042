"""The Differentiable Neural Computer (Graves et al. 2016, Nature 538:471) and its improvements."""

from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.cells import AnswerRun, Cell, ControllerName, Room, StraightRun
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
from memnet.functional.addressing import content_weights
from memnet.functional.allocation import allocations, next_usage, retention
from memnet.functional.links import follow_links, next_links, next_precedence, read_by_modes, sharpen_links
from memnet.functional.memory import add_memory, erase_memory, read_memory
from memnet.native import dnc
from memnet.state import State
from memnet.trace import Part

# The signals of the interface by what they are called, and what their numbers count; none where there is one a head.
_SIGNALS = {
    "read_key": ("read key", "width"),
    "read_mask": ("read mask", "width"),
    "read_strength": ("read strength", None),
    "write_key": ("write key", "width"),
    "write_mask": ("write mask", "width"),
    "write_strength": ("write strength", None),
    "erase": ("write erase", "width"),
    "add": ("write add", "width"),
    "modes": ("read modes", "mode"),
    "backward_sharpness": ("read backward sharpness", "link"),
    "forward_sharpness": ("read forward sharpness", "link"),
}


class DNCState(NamedTuple):
    """What a DNC carries from step to step; in float32 at least, but for the controller's state.

    controller:    the controller's own state.
    reads:         (batch, num_reads, slot_size), the last read vectors.
    memory:        (batch, num_slots, slot_size).
    read_weights:  (batch, num_reads, num_slots), of sums up to one.
    write_weights: (batch, num_writes, num_slots), of sums up to one.
    usage:         (batch, num_slots), in [0, 1].
    precedence:    (batch, num_writes, num_slots); without links (batch, num_writes, 0).
    links:         (batch, num_writes, num_slots, num_slots); without links (batch, num_writes, 0, 0).
    """

    controller: State
    reads: Tensor
    memory: Tensor
    read_weights: Tensor
    write_weights: Tensor
    usage: Tensor
    precedence: Tensor
    links: Tensor


class Interface(NamedTuple):
    """What the controller tells the memory; the last axis is empty where no option has a use for it.

    read_key, read_mask:     (batch, read, slot_size); masks in [mask_floor, 1].
    write_key, write_mask:   (batch, write, slot_size).
    read_strength:           (batch, read, 1), at least 1.      write_strength: (batch, write, 1), at least 1.
    free:                    (batch, read, 1), in (0, 1).
    allocation_gate:         (batch, write, 1), in (0, 1).      write_gate: (batch, write, 1), in (0, 1).
    erase:                   (batch, write, slot_size), in (0, 1).
    add:                     (batch, write, slot_size).
    modes:                   (batch, read, 2 write + 1), a distribution, see read_by_modes.
    backward_sharpness, forward_sharpness: (batch, read, write), at least 1.
    """

    read_key: Tensor
    read_mask: Tensor
    read_strength: Tensor
    write_key: Tensor
    write_mask: Tensor
    write_strength: Tensor
    free: Tensor
    allocation_gate: Tensor
    write_gate: Tensor
    erase: Tensor
    add: Tensor
    modes: Tensor
    backward_sharpness: Tensor
    forward_sharpness: Tensor


class DNCWatched(NamedTuple):
    """What steered a step beside its states: the interface, and where each write head could allocate."""

    interface: Interface
    allocation: Tensor


class DNCCell(ControlledCell):
    """One step of a Differentiable Neural Computer.

    The controller sees the input and the last read vectors, one linear layer emits the interface; the memory is written
    and then read, and the output is the controller's output followed by this step's read vectors.

    input_size:     features of the input.
    controller:     "feedforward", "rnn-tanh", "rnn-relu", "lstm", "normalized-lstm", "gru"; or one's own, see NTMCell.
    hidden_size:    units of a layer of the controller. num_layers: its layers.
    num_slots:      memory rows. Not part of the weights: it may be set to another value at any time.
    slot_size:      memory columns.
    num_reads:      read heads. num_writes: write heads, which allocate one after the other.
    masked:         masked content addressing: a head may look at some columns alone (DNC-M of Csordas & Schmidhuber
                    2019, arXiv 1904.10278).
    mask_floor:     least value of a mask.
    deallocate:     what free gates free is erased, too (their DNC-D); in the paper of the DNC it stays.
    sharp_links:    links are followed with a sharpness that undoes their blur (their DNC-S).
    linked:         temporal links; without them heads read by content alone (the slim memory of Franke et al. 2018,
                    arXiv 1807.02658).
    usage_gradient: whether usage passes gradients to the last write weightings, as the paper's equations have it; its
                    authors' published code stops them.
    normalized:     the interface is layer-normalised before it is squashed, as the memory's input is in the code of
                    Franke et al. 2018; theirs normalises within the LSTM, too: controller "normalized-lstm".
    bypass_dropout: of what of the controller goes to the output past the memory, the share that is left out in training
                    (Franke et al. 2018): the output is [d h, r] with d = 0 with this probability p, else 1 / (1 - p).
    learned_initial_state: train the controller's initial state (else zeros).
    forget_bias:    of an LSTM controller.
    norm_floor:     norms below it count as it, see memnet.functional.addressing.cosine_similarity.
    Raises ValueError for sizes that cannot be.
    """

    has_native = True

    def __init__(
        self,
        input_size: int,
        *,
        controller: ControllerName | Cell | Callable[..., Cell] = "lstm",
        hidden_size: int = 100,
        num_layers: int = 1,
        num_slots: int = 64,
        slot_size: int = 20,
        num_reads: int = 1,
        num_writes: int = 1,
        masked: bool = False,
        mask_floor: float = 0.0,
        deallocate: bool = False,
        sharp_links: bool = False,
        linked: bool = True,
        usage_gradient: bool = True,
        normalized: bool = False,
        bypass_dropout: float = 0.0,
        learned_initial_state: bool = False,
        forget_bias: float = 1.0,
        norm_floor: float = 1e-6,
    ) -> None:
        if not 0 <= mask_floor < 1:
            raise ValueError(f"mask_floor must be in [0, 1), not {mask_floor}")
        if mask_floor and not masked:
            raise ValueError(f"mask_floor {mask_floor} is for masked content addressing")
        if not 0 <= bypass_dropout < 1:
            raise ValueError(f"bypass_dropout must be in [0, 1), not {bypass_dropout}")
        if sharp_links and not linked:
            raise ValueError("sharp_links needs links to follow: linked is False")
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
        self.num_slots, self.bypass_dropout = num_slots, bypass_dropout
        self.masked, self.mask_floor, self.deallocate = masked, mask_floor, deallocate
        self.sharp_links, self.linked, self.usage_gradient = sharp_links, linked, usage_gradient
        self._sizes = self._emitted_sizes()
        self.interface = interface_of(self.controller, self._sizes)
        self.norm = nn.LayerNorm(self.interface.out_features, eps=1e-6) if normalized else None

    def _emitted_sizes(self) -> list[tuple[int, int]]:
        """Heads, and numbers for each, of every part of the interface."""
        reads, writes, width = self.num_reads, self.num_writes, self.slot_size
        sharpness = (reads, writes * self.sharp_links)
        sizes = {
            "read_key": (reads, width),
            "read_mask": (reads, width * self.masked),
            "read_strength": (reads, 1),
            "write_key": (writes, width),
            "write_mask": (writes, width * self.masked),
            "write_strength": (writes, 1),
            "free": (reads, 1),
            "allocation_gate": (writes, 1),
            "write_gate": (writes, 1),
            "erase": (writes, width),
            "add": (writes, width),
            "modes": (reads, (2 * writes + 1) * self.linked),
            "backward_sharpness": sharpness,
            "forward_sharpness": sharpness,
        }
        return [sizes[name] for name in Interface._fields]

    def initial_state(self, batch_size: int) -> DNCState:
        """All zero but for the controller's state, where that is trained."""
        slots, linked = self.num_slots, self.num_slots * self.linked
        zeros = partial(zeros_like_state, self.interface.weight, batch_size)
        return DNCState(
            controller=self.controller.initial_state(batch_size),
            reads=zeros(self.num_reads, self.slot_size),
            memory=zeros(slots, self.slot_size),
            read_weights=zeros(self.num_reads, slots),
            write_weights=zeros(self.num_writes, slots),
            usage=zeros(slots),
            precedence=zeros(self.num_writes, linked),
            links=zeros(self.num_writes, linked, linked),
        )

    def native_refusal(self, input: Tensor, state: State) -> str | None:
        own = type(self) is DNCCell and self._emitted_sizes() == self._sizes
        return dnc.SEQUENCES.refusal(self, input, state, own=own)

    def unroll_native(self, input: Tensor, state: DNCState, lengths: Tensor | None) -> tuple[Tensor, State]:
        # The operator, and its definition where that is differentiated again, draw nothing.
        undropped = self
        if self.bypass_dropout:
            undropped = copy(self)
            undropped.bypass_dropout = 0.0
        output, state = dnc.SEQUENCES.unroll(undropped, input, state, lengths)
        return self._dropped(output), state

    def straight(
        self, input: Tensor, state: DNCState, gradients: Mapping[int, Tensor], room: Room
    ) -> StraightRun | None:
        return None if self.bypass_dropout else dnc.SEQUENCES.straight(self, input, state, gradients, room)

    def answering(self, input: Tensor, state: DNCState) -> AnswerRun | None:
        return None if self.bypass_dropout and self.training else dnc.SEQUENCES.answering(self, input, state)

    def after_controller(
        self, hidden: Tensor, controller: State, state: DNCState
    ) -> tuple[Tensor, DNCState, DNCWatched]:
        """The rest of a step: write, link, read."""
        emitted = self.interface(hidden)
        if self.norm is not None:
            emitted = self.norm(emitted)
        with full_precision(hidden):
            told = self.parts_of_interface(emitted.to(state.memory.dtype))
            retained = retention(state.read_weights, told.free)
            written = state.write_weights if self.usage_gradient else state.write_weights.detach()
            usage = next_usage(state.usage, written, retained)
            share = told.allocation_gate * told.write_gate
            free_slots = allocations(usage, share)
            content = self._by_content(state.memory, told.write_key, told.write_mask, told.write_strength)
            write_weights = told.write_gate * torch.lerp(content, free_slots, told.allocation_gate)
            memory = state.memory * retained.unsqueeze(-1) if self.deallocate else state.memory
            memory = erase_memory(memory, write_weights, told.erase)
            memory = add_memory(memory, write_weights, told.add)
            precedence, links = state.precedence, state.links
            if self.linked:
                links = next_links(links, write_weights, precedence)
                precedence = next_precedence(precedence, write_weights)
            read_weights = self._where_to_read(told, memory, links, state.read_weights)
            reads = read_memory(memory, read_weights)
        output = self._dropped(with_reads(hidden, reads, self.interface.weight))
        state = DNCState(controller, reads, memory, read_weights, write_weights, usage, precedence, links)
        return output, state, DNCWatched(told, free_slots)

    def _dropped(self, output: Tensor) -> Tensor:
        """An output without a share of what bypasses the memory, in training."""
        if not self.training or not self.bypass_dropout:
            return output
        size = self.controller.output_size
        return torch.cat([functional.dropout(output[..., :size], self.bypass_dropout), output[..., size:]], -1)

    def parts_of_interface(self, emitted: Tensor) -> Interface:
        """Squash what the linear layer emitted, (batch, features), into each part's range."""
        told = Interface(*by_head(emitted, self._sizes))
        return told._replace(
            read_mask=self._mask(told.read_mask),
            read_strength=oneplus(told.read_strength),
            write_mask=self._mask(told.write_mask),
            write_strength=oneplus(told.write_strength),
            free=torch.sigmoid(told.free),
            allocation_gate=torch.sigmoid(told.allocation_gate),
            write_gate=torch.sigmoid(told.write_gate),
            erase=torch.sigmoid(told.erase),
            modes=torch.softmax(told.modes, -1),
            backward_sharpness=oneplus(told.backward_sharpness),
            forward_sharpness=oneplus(told.forward_sharpness),
        )

    def _mask(self, emitted: Tensor) -> Tensor:
        return self.mask_floor + (1 - self.mask_floor) * torch.sigmoid(emitted)

    def _by_content(self, memory: Tensor, key: Tensor, mask: Tensor, strength: Tensor) -> Tensor:
        return content_weights(memory, key, strength, self.norm_floor, mask if self.masked else None)

    def _where_to_read(self, told: Interface, memory: Tensor, links: Tensor, previous: Tensor) -> Tensor:
        content = self._by_content(memory, told.read_key, told.read_mask, told.read_strength)
        if not self.linked:
            return content
        forward, backward = follow_links(links, previous)
        if self.sharp_links:
            forward = sharpen_links(forward, told.forward_sharpness.unsqueeze(-1))
            backward = sharpen_links(backward, told.backward_sharpness.unsqueeze(-1))
        return read_by_modes(backward, content, forward, told.modes)

    def parts(self, states: DNCState, watched: DNCWatched) -> list[Part]:
        """Memory, weightings, usage, allocation, links, and what steered them; the controller's state."""
        head = ("time", "head")
        found = [
            *self.parts_of_heads(states, states.write_weights),
            Part("gate", "usage", states.usage, ("time", "slot")),
            Part("gate", "allocation", watched.allocation, (*head, "slot")),
        ]
        told = watched.interface
        gates = {"free": told.free, "write by allocation": told.allocation_gate, "write gate": told.write_gate}
        if self.linked:
            found.append(Part("matrix", "links", states.links, (*head, "slot", "slot")))
            back, _, on = told.modes.split([self.num_writes, 1, self.num_writes], -1)
            gates |= {f"read by going {way}": one.sum(-1, keepdim=True) for way, one in (("back", back), ("on", on))}
        found += [Part("gate", name, gate.squeeze(-1), head) for name, gate in gates.items()]
        for field, (name, counted) in _SIGNALS.items():
            values = getattr(told, field)
            if values.size(-1):
                one = values if counted else values.squeeze(-1)
                found.append(Part("signal", name, one, (*head, *([counted] if counted else []))))
        return found + self.parts_of_controller(states)


class DNC(ControlledModule):
    """A Differentiable Neural Computer over sequences with a linear readout of controller and reads.

    input_size, output_size: features. All options are those of DNCCell: the controller and its units and layers, rows
    and columns of the memory, heads, links, and the improvements of later papers. `forward` is SequenceModule's: state
    in, state out, lengths.
    """

    cell: DNCCell
    cell_type = DNCCell
