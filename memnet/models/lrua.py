"""Least recently used access, the memory of the MANN for one-shot learning (Santoro et al. 2016, arXiv 1605.06065)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

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
from memnet.functional.least_used import decayed_usage, least_used, write_by_use
from memnet.functional.memory import add_memory, read_memory
from memnet.native import lrua
from memnet.state import State
from memnet.trace import Part


class LRUAState(NamedTuple):
    """What it carries from step to step; in float32 at least, but for the controller's state.

    controller:    the controller's own state.
    reads:         (batch, num_reads, slot_size), the last read vectors.
    memory:        (batch, num_slots, slot_size).
    read_weights:  (batch, num_reads, num_slots), which sum to one, but before the first step to zero.
    write_weights: (batch, num_reads, num_slots), of sums up to one.
    usage:         (batch, num_slots), at least 0.
    """

    controller: State
    reads: Tensor
    memory: Tensor
    read_weights: Tensor
    write_weights: Tensor
    usage: Tensor


class LRUAWatched(NamedTuple):
    """What steered a step.

    key:        (batch, head, slot_size), in (-1, 1).
    gate:       (batch, head, 1), in (0, 1): 1 writes where the head has just read, 0 to the least used slot.
    strength:   (batch, head, 1), at least 1; the last axis is empty where it is always 1.
    least_used: (batch, head, num_slots), 1 at the slot that was emptied for the head.
    """

    key: Tensor
    gate: Tensor
    strength: Tensor
    least_used: Tensor


class LRUACell(ControlledCell):
    """One step of a network with least recently used access.

    The controller sees the input and the last read vectors. Every head has one key: the head writes it where it has
    just read or to a slot that nobody has used for long, and then reads by it what resembles it.

        K(k, M(i)) = k . M(i) / (|k| |M(i)|)        w^r = softmax over slots of strength K        r = sum_i w^r(i) M(i)
        M_t(i) = [1 - sum_h w_h^lu(i)] M_{t-1}(i) + sum_h w_h^w(i) k_h

    with w^w and w^lu of memnet.functional.least_used. The paper says of one location that it is emptied before the
    write; with several heads here every head has a slot of its own, and all of those are emptied. It does not say what
    bounds a key: here tanh.

    input_size:     features of the input.
    controller:     "feedforward", "rnn-tanh", "rnn-relu", "lstm", "normalized-lstm", "gru"; or one's own, see NTMCell.
    hidden_size:    units of a layer of the controller. num_layers: its layers.
    num_slots:      memory rows, at least one a head. Not part of the weights: may be set to another value at any time.
    slot_size:      memory columns.
    num_reads:      heads, each of which reads and writes.
    usage_decay:    how much of its usage a slot keeps for a step, in [0, 1).
    learned_strength: the controller says how sharply a head reads. The paper has none: all cosines lie in [-1, 1], so
                    that a head can put at most e^2 times as much weight on one slot as on another.
    learned_initial_state: train the controller's initial state (else zeros).
    forget_bias:    of an LSTM controller.
    norm_floor:     norms below it count as it, see memnet.functional.addressing.cosine_similarity.
    Raises ValueError for sizes that cannot be.
    """

    slots_for = ("num_reads",)
    has_native = True

    def __init__(
        self,
        input_size: int,
        *,
        controller: ControllerName | Cell | Callable[..., Cell] = "lstm",
        hidden_size: int = 200,
        num_layers: int = 1,
        num_slots: int = 128,
        slot_size: int = 40,
        num_reads: int = 4,
        usage_decay: float = 0.99,
        learned_strength: bool = False,
        learned_initial_state: bool = False,
        forget_bias: float = 1.0,
        norm_floor: float = 1e-6,
    ) -> None:
        if not 0 <= usage_decay < 1:
            raise ValueError(f"usage_decay must be in [0, 1), not {usage_decay}")
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
        self.num_slots = num_slots
        self.usage_decay, self.learned_strength = usage_decay, learned_strength
        self._sizes = self._emitted_sizes()
        self.interface = interface_of(self.controller, self._sizes)

    def _emitted_sizes(self) -> list[tuple[int, int]]:
        """Heads, and numbers for each: of keys, gates and strengths."""
        heads = self.num_reads
        return [(heads, self.slot_size), (heads, 1), (heads, 1 * self.learned_strength)]

    def initial_state(self, batch_size: int) -> LRUAState:
        """All zero but for the controller's state, where that is trained."""
        zeros = partial(zeros_like_state, self.interface.weight, batch_size)
        return LRUAState(
            controller=self.controller.initial_state(batch_size),
            reads=zeros(self.num_reads, self.slot_size),
            memory=zeros(self.num_slots, self.slot_size),
            read_weights=zeros(self.num_reads, self.num_slots),
            write_weights=zeros(self.num_reads, self.num_slots),
            usage=zeros(self.num_slots),
        )

    def native_refusal(self, input: Tensor, state: State) -> str | None:
        own = type(self) is LRUACell and self._emitted_sizes() == self._sizes
        return lrua.SEQUENCES.refusal(self, input, state, own=own)

    def unroll_native(self, input: Tensor, state: LRUAState, lengths: Tensor | None) -> tuple[Tensor, State]:
        return lrua.unroll_lrua(self, input, state, lengths)

    def straight(self, input: Tensor, state: LRUAState, gradients: Mapping[int, Tensor], room: Room) -> StraightRun:
        return lrua.SEQUENCES.straight(self, input, state, gradients, room)

    def answering(self, input: Tensor, state: LRUAState) -> AnswerRun:
        return lrua.SEQUENCES.answering(self, input, state)

    def after_controller(
        self, hidden: Tensor, controller: State, state: LRUAState
    ) -> tuple[Tensor, LRUAState, LRUAWatched]:
        """The rest of a step: empty, write, read."""
        emitted = self.interface(hidden)
        with full_precision(hidden):
            key, gate, strength = by_head(emitted.to(state.memory.dtype), self._sizes)
            key, gate, strength = torch.tanh(key), torch.sigmoid(gate), oneplus(strength)
            least = least_used(state.usage, self.num_reads)
            write_weights = write_by_use(state.read_weights, least, gate)
            memory = state.memory * (1 - least.sum(1)).unsqueeze(-1)
            memory = add_memory(memory, write_weights, key)
            sharpness = strength if self.learned_strength else torch.ones_like(gate)
            read_weights = content_weights(memory, key, sharpness, self.norm_floor)
            usage = decayed_usage(state.usage, read_weights, write_weights, self.usage_decay)
            reads = read_memory(memory, read_weights)
        output = with_reads(hidden, reads, self.interface.weight)
        state = LRUAState(controller, reads, memory, read_weights, write_weights, usage)
        return output, state, LRUAWatched(key, gate, strength, least)

    def parts(self, states: LRUAState, watched: LRUAWatched) -> list[Part]:
        """Memory, weightings, usage, the least used slots, and what steered the heads; the controller's state."""
        head = ("time", "head")
        found = [
            *self.parts_of_heads(states, states.write_weights),
            Part("signal", "usage", states.usage, ("time", "slot")),
            Part("gate", "least used", watched.least_used, (*head, "slot")),
            Part("gate", "write by last reading", watched.gate.squeeze(-1), head),
            Part("gate", "write by least use", 1 - watched.gate.squeeze(-1), head),
            Part("signal", "read key", watched.key, (*head, "width")),
        ]
        if self.learned_strength:
            found.append(Part("signal", "read strength", watched.strength.squeeze(-1), head))
        return found + self.parts_of_controller(states)


class LRUA(ControlledModule):
    """A network with least recently used access over sequences (MANN), with a linear readout of controller and reads.

    input_size, output_size: features. All options are those of LRUACell: the controller and its units and layers, rows
    and columns of the memory, and heads. `forward` is SequenceModule's: state in, state out, lengths.
    """

    cell: LRUACell
    cell_type = LRUACell
