"""Stack-augmented recurrent networks (Joulin & Mikolov 2015, arXiv 1503.01007)."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from memnet.cells import AnswerRun, Cell, ControllerName, Room, StraightRun
from memnet.checks import check_choice, check_sizes
from memnet.controlled import by_head, full_precision, with_reads
from memnet.functional.stacks import push_or_pop
from memnet.native import stack_rnn
from memnet.state import State
from memnet.structures import StructureCell, StructureModule
from memnet.trace import Part

PushedValues: TypeAlias = Literal["sigmoid", "linear"]


class StackState(NamedTuple):
    """What it carries from step to step; in float32 at least, but for the controller's state.

    controller: the controller's own state.
    reads:      (batch, num_stacks * num_tops, slot_size), the tops of all stacks, the first stack's first.
    memory:     (batch, num_stacks, num_slots, slot_size), tops first.
    """

    controller: State
    reads: Tensor
    memory: Tensor


class StackWatched(NamedTuple):
    """What steered a step.

    actions: (batch, stack, 3), shares of push, pop and no-op.
    value:   (batch, stack, slot_size), what was pushed.
    """

    actions: Tensor
    value: Tensor


class StackCell(StructureCell):
    """One step of a recurrent network with stacks.

    The controller sees the input and the tops of the stacks, and tells each stack how far to push, to pop, or to stay
    as it is; the output is the controller's, followed by the new tops, which the papers' outputs lack.

        a = softmax(A h)        v = sigmoid(D h)        s' = a_push push(s, v) + a_pop pop(s) + a_no s

    see memnet.functional.stacks. Of several stacks each has a softmax of its own. In evaluation mode the actions may be
    rounded: a stack is then an exact one, and does not blur over long sequences.

    input_size:     features of the input.
    controller:     "feedforward", "rnn-tanh", "rnn-relu", "lstm", "normalized-lstm", "gru"; or one's own, see NTMCell.
    hidden_size:    units of a layer of the controller. num_layers: its layers.
    num_stacks:     stacks.
    num_slots:      how deep a stack is. Not part of the weights: it may be set to another value at any time.
    slot_size:      features of an element.
    num_tops:       how many elements of each stack are read, from its top.
    pushed_values:  "sigmoid" (the paper) or "linear" (Deletang et al. 2022, arXiv 2207.02098).
    empty_value:    what an empty stack holds: -1 tells it from all that a sigmoid pushes; Deletang et al. have 0.
    round_actions:  take the likeliest action whole in evaluation mode; may be set at any time.
    learned_initial_state: train the controller's initial state (else zeros).
    forget_bias:    of an LSTM controller.
    Raises ValueError for sizes that cannot be.
    """

    has_native = True
    slots_for = ("num_tops",)

    def __init__(
        self,
        input_size: int,
        *,
        controller: ControllerName | Cell | Callable[..., Cell] = "rnn-tanh",
        hidden_size: int = 128,
        num_layers: int = 1,
        num_stacks: int = 1,
        num_slots: int = 128,
        slot_size: int = 8,
        num_tops: int = 1,
        pushed_values: PushedValues = "sigmoid",
        empty_value: float = -1.0,
        round_actions: bool = False,
        learned_initial_state: bool = False,
        forget_bias: float = 1.0,
    ) -> None:
        check_sizes(num_stacks=num_stacks, num_tops=num_tops)
        check_choice("pushed_values", pushed_values, PushedValues)
        super().__init__(
            input_size,
            controller,
            hidden_size,
            num_layers=num_layers,
            num_memories=num_stacks,
            slot_size=slot_size,
            reads_per_memory=num_tops,
            sizes=(3, slot_size),
            round_actions=round_actions,
            learned_initial_state=learned_initial_state,
            forget_bias=forget_bias,
        )
        self.num_stacks, self.num_tops = num_stacks, num_tops
        self.pushed_values, self.empty_value = pushed_values, empty_value
        self.num_slots = num_slots

    def initial_state(self, batch_size: int) -> StackState:
        """Empty stacks."""
        memory = self.zeros(batch_size)(self.num_memories, self.num_slots, self.slot_size) + self.empty_value
        return StackState(self.controller.initial_state(batch_size), self._tops(memory), memory)

    def native_refusal(self, input: Tensor, state: State) -> str | None:
        sizes, heads = [(self.num_stacks, 3), (self.num_stacks, self.slot_size)], self.num_stacks * self.num_tops
        own = type(self) is StackCell and sizes == self._sizes and heads == self.num_reads
        return stack_rnn.SEQUENCES.refusal(self, input, state, own=own)

    def unroll_native(self, input: Tensor, state: StackState, lengths: Tensor | None) -> tuple[Tensor, State]:
        return stack_rnn.SEQUENCES.unroll(self, input, state, lengths)

    def straight(self, input: Tensor, state: StackState, gradients: Mapping[int, Tensor], room: Room) -> StraightRun:
        return stack_rnn.SEQUENCES.straight(self, input, state, gradients, room)

    def answering(self, input: Tensor, state: StackState) -> AnswerRun:
        return stack_rnn.SEQUENCES.answering(self, input, state)

    def after_controller(
        self, hidden: Tensor, controller: State, state: StackState
    ) -> tuple[Tensor, StackState, StackWatched]:
        """The rest of a step: push, pop or stay, and look at the tops."""
        emitted = self.interface(hidden)
        with full_precision(hidden):
            logits, value = by_head(emitted.to(state.memory.dtype), self._sizes)
            actions = self.one_of(logits)
            value = torch.sigmoid(value) if self.pushed_values == "sigmoid" else value
            memory = push_or_pop(state.memory, actions, value, self.empty_value)
            reads = self._tops(memory)
        output = with_reads(hidden, reads, self.interface.weight)
        return output, StackState(controller, reads, memory), StackWatched(actions, value)

    def _tops(self, memory: Tensor) -> Tensor:
        return memory[:, :, : self.num_tops].flatten(1, 2)

    def parts(self, states: StackState, watched: StackWatched) -> list[Part]:
        """The stacks, what was done with them, what was pushed and what is on top; the controller's state."""
        gates = dict(zip(("push", "pop", "no-op"), watched.actions.unbind(-1), strict=True))
        return self.parts_of_structures(states, watched.value, gates)


class StackRNN(StructureModule):
    """A recurrent network with stacks over sequences (Stack-RNN), with a linear readout of controller and tops.

    input_size, output_size: features. All options are those of StackCell: the controller and its units and layers, the
    stacks, how deep and wide they are, and what is pushed. `forward` is SequenceModule's: state in, state out, lengths.
    """

    cell: StackCell
    cell_type = StackCell
