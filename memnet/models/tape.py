"""Recurrent networks with tapes: the Tape-RNN (Deletang et al. 2022) and the Baby-NTM (Suzgun et al. 2019)."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from memnet.cells import AnswerRun, Cell, ControllerName, Room, StraightRun
from memnet.checks import check_choice, check_sizes
from memnet.controlled import by_head, full_precision, with_reads
from memnet.functional.tape import move, rotate_or_pop, write_at_head
from memnet.native import tape
from memnet.state import State
from memnet.structures import StructureCell, StructureModule
from memnet.trace import Part

Rule: TypeAlias = Literal["write-and-move", "rotate-and-add"]
# By rule, and whether it jumps.
_MOVES = {
    ("write-and-move", False): ("stay", "forward", "back"),
    ("write-and-move", True): ("stay", "forward", "back", "jump forward", "jump back"),
    ("rotate-and-add", False): ("forward", "back", "stay", "pop forward", "pop back"),
}


class TapeState(NamedTuple):
    """What it carries from step to step; in float32 at least, but for the controller's state.

    controller: the controller's own state.
    reads:      (batch, num_tapes, slot_size), what is under the heads.
    memory:     (batch, num_tapes, num_slots, slot_size), from the slot under the head on.
    length:     (batch,), of a cell that jumps: how long the input is so far; else ().
    reading:    (batch,), of a cell that jumps: 1 until the input has ended, then 0; else ().
    """

    controller: State
    reads: Tensor
    memory: Tensor
    length: State
    reading: State


class TapeWatched(NamedTuple):
    """What steered a step.

    actions: (batch, tape, action), shares.
    value:   (batch, tape, slot_size), what was written.
    """

    actions: Tensor
    value: Tensor


class TapeCell(StructureCell):
    """One step of a recurrent network with tapes, whose ends are joined.

    The controller sees the input and what is under the heads, and tells each tape what to write and where to go; the
    output is the controller's, followed by what is under the heads then. By rule:

    "write-and-move": a value takes the place of what is under the head, which then stays, goes a slot on, or a slot
    back (Deletang et al. 2022, arXiv 2207.02098, whose output is the controller's alone). With `jump` also as many
    slots on or back as the input is long: a prior by which some tasks are nearly done. Their code is told the length
    beforehand; here the input ends before the first step whose last feature is not zero, as that of a channel which
    asks for the answer.
    "rotate-and-add": the tape goes a slot on or back, with or without what would come round, or stays; then a value is
    added under the head, a sigmoid (Suzgun et al. 2019, arXiv 1911.03329, the Baby-NTM).

    See memnet.functional.tape. In evaluation mode the moves may be rounded: a tape is then an exact one.

    input_size:     features of the input.
    controller:     "feedforward", "rnn-tanh", "rnn-relu", "lstm", "normalized-lstm", "gru"; or one's own, see NTMCell.
    hidden_size:    units of a layer of the controller. num_layers: its layers.
    rule:           "write-and-move" or "rotate-and-add".
    jump:           whether there are jumps, of the rule "write-and-move" alone; tokens must be one-hot for it.
    num_tapes:      tapes.
    num_slots:      slots of each. Not part of the weights: it may be set to another value at any time.
    slot_size:      features of a slot.
    write_units:    units of each of two layers (ReLU) between the controller and what is written; 0 for none, as the
                    Baby-NTM has it.
    round_actions:  take the likeliest move whole in evaluation mode; may be set at any time.
    learned_initial_state: train the controller's initial state (else zeros).
    forget_bias:    of an LSTM controller.
    Raises ValueError for sizes that cannot be, or for jumps of another rule.
    """

    has_native = True

    def __init__(
        self,
        input_size: int,
        *,
        controller: ControllerName | Cell | Callable[..., Cell] = "rnn-tanh",
        hidden_size: int = 128,
        num_layers: int = 1,
        rule: Rule = "write-and-move",
        jump: bool = False,
        num_tapes: int = 1,
        num_slots: int = 128,
        slot_size: int = 8,
        write_units: int = 64,
        round_actions: bool = False,
        learned_initial_state: bool = False,
        forget_bias: float = 1.0,
    ) -> None:
        check_sizes(num_tapes=num_tapes)
        check_sizes(0, write_units=write_units)
        check_choice("rule", rule, Rule)
        if jump and rule != "write-and-move":
            raise ValueError(f"there are no jumps with rule {rule}, only with write-and-move")
        moves = _MOVES[rule, bool(jump)]
        super().__init__(
            input_size,
            controller,
            hidden_size,
            num_layers=num_layers,
            num_memories=num_tapes,
            slot_size=slot_size,
            reads_per_memory=1,
            sizes=(len(moves), 0 if write_units else slot_size),
            round_actions=round_actions,
            learned_initial_state=learned_initial_state,
            forget_bias=forget_bias,
        )
        self.rule, self.jump, self.moves = rule, jump, moves
        self.num_tapes, self.write_units = num_tapes, write_units
        self.num_slots = num_slots
        self.writer = _perceptron(self.controller.output_size, write_units, num_tapes * slot_size)

    def initial_state(self, batch_size: int) -> TapeState:
        """Tapes of zeros."""
        zeros = self.zeros(batch_size)
        return TapeState(
            controller=self.controller.initial_state(batch_size),
            reads=zeros(self.num_tapes, self.slot_size),
            memory=zeros(self.num_tapes, self.num_slots, self.slot_size),
            length=zeros() if self.jump else (),
            reading=zeros() + 1 if self.jump else (),
        )

    def native_refusal(self, input: Tensor, state: State) -> str | None:
        sizes = [(self.num_tapes, len(self.moves)), (self.num_tapes, 0 if self.write_units else self.slot_size)]
        own = type(self) is TapeCell and sizes == self._sizes and self.num_tapes == self.num_reads
        own = own and self.moves == _MOVES.get((self.rule, self.jump))
        return tape.SEQUENCES.refusal(self, input, state, own=own)

    def unroll_native(self, input: Tensor, state: TapeState, lengths: Tensor | None) -> tuple[Tensor, State]:
        return tape.SEQUENCES.unroll(self, input, state, lengths)

    def straight(self, input: Tensor, state: TapeState, gradients: Mapping[int, Tensor], room: Room) -> StraightRun:
        return tape.SEQUENCES.straight(self, input, state, gradients, room)

    def answering(self, input: Tensor, state: TapeState) -> AnswerRun:
        return tape.SEQUENCES.answering(self, input, state)

    def project(self, input: Tensor) -> tuple[Tensor, ...]:
        return (_asked(input), *super().project(input)) if self.jump else super().project(input)

    def input_weights(self) -> tuple[Tensor, ...]:
        return () if self.jump else super().input_weights()

    def forward(self, input: Tensor, state: TapeState) -> tuple[Tensor, TapeState]:
        return super().forward(input, self._counted(state, _asked(input)) if self.jump else state)

    def watched_step(self, projected: tuple[Any, ...], state: TapeState) -> tuple[Tensor, TapeState, Any]:
        if self.jump:
            asked, *rest = projected
            projected, state = tuple(rest), self._counted(state, asked)
        return super().watched_step(projected, state)

    @staticmethod
    def _counted(state: TapeState, asked: Tensor) -> TapeState:
        reading = state.reading * (1 - asked.squeeze(-1).to(state.reading.dtype))
        return state._replace(length=state.length + reading, reading=reading)

    def after_controller(
        self, hidden: Tensor, controller: State, state: TapeState
    ) -> tuple[Tensor, TapeState, TapeWatched]:
        """The rest of a step: write and move, or move and add."""
        emitted = self.interface(hidden)
        written = None if self.writer is None else self.writer(hidden).unflatten(-1, (-1, self.slot_size))
        with full_precision(hidden):
            logits, value = by_head(emitted.to(state.memory.dtype), self._sizes)
            value = value if written is None else written.to(state.memory.dtype)
            actions = self.one_of(logits)
            if self.rule == "write-and-move":
                distance = state.length if self.jump else None
                memory = move(write_at_head(state.memory, value), actions, distance)
            else:
                value = torch.sigmoid(value)
                memory = rotate_or_pop(state.memory, actions)
                memory = write_at_head(memory, memory[:, :, 0] + value)
            reads = memory[:, :, 0]
        output = with_reads(hidden, reads, self.interface.weight)
        state = state._replace(controller=controller, reads=reads, memory=memory)
        return output, state, TapeWatched(actions, value)

    def parts(self, states: TapeState, watched: TapeWatched) -> list[Part]:
        """The tapes, where they went, what was written and read; the controller's state."""
        gates = dict(zip(self.moves, watched.actions.unbind(-1), strict=True))
        return self.parts_of_structures(states, watched.value, gates)


def _perceptron(inputs: int, units: int, outputs: int) -> nn.Module | None:
    """Two layers of so many units (ReLU) and a linear one; None for no units."""
    if not units:
        return None
    return nn.Sequential(
        nn.Linear(inputs, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU(), nn.Linear(units, outputs)
    )


def _asked(input: Tensor) -> Tensor:
    """1 where the last feature of an input (..., feature) is not zero, else 0: (..., 1)."""
    return (input[..., -1:] != 0).to(input.dtype)


class Tape(StructureModule):
    """A recurrent network with tapes over sequences (Tape-RNN, Baby-NTM), with a linear readout.

    input_size, output_size: features. All options are those of TapeCell: the controller and its units and layers, the
    tapes, and by which rule they are written and move. `forward` is SequenceModule's: state in, state out, lengths.
    """

    cell: TapeCell
    cell_type = TapeCell
