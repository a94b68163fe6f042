"""Neural stacks, queues and DeQues (Grefenstette et al. 2015, arXiv 1506.02516)."""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor

from memnet.cells import Cell, ControllerName
from memnet.checks import check_choice, check_sizes
from memnet.controlled import by_head, full_precision, with_reads
from memnet.functional.strengths import End, end_weights, pop_strength, push_both, push_top
from memnet.state import State
from memnet.structures import StructureCell, StructureModule
from memnet.trace import Part

Structure: TypeAlias = Literal["stack", "queue", "deque"]
# Where each is popped and read.
_ENDS: dict[str, tuple[End, ...]] = {"stack": ("top",), "queue": ("bottom",), "deque": get_args(End)}


class NeuralStackState(NamedTuple):
    """What it carries from step to step; in float32 at least, but for the controller's state.

    controller: the controller's own state.
    reads:      (batch, num_structures * ends, slot_size), what is at the ends, those of the first structure first.
    memory:     (batch, num_structures, num_slots, slot_size), from top to bottom.
    strengths:  (batch, num_structures, num_slots), how far each element is there, in [0, 1].
    """

    controller: State
    reads: Tensor
    memory: Tensor
    strengths: Tensor


class NeuralStackWatched(NamedTuple):
    """What steered a step, for every end of every structure.

    push, pop: (batch, structure, end), in (0, 1).
    value:     (batch, structure, end, slot_size), in (-1, 1).
    """

    push: Tensor
    pop: Tensor
    value: Tensor


class NeuralStackCell(StructureCell):
    """One step of a recurrent network with continuous stacks, queues or DeQues.

    The controller sees the input and what was last read, and tells each structure how much to pop, what to push and
    how firmly; the output is the controller's, followed by what is read afterwards, which the paper's lacks.

        u, d = sigmoid of linear layers        v = tanh of one        r = sum_i w[i] V[i]

    u is popped first, then v is pushed with strength d; the other equations are in memnet.functional.strengths. Every
    step takes a slot of each end, also where it pushes next to nothing: as many slots as steps lose nothing. In
    evaluation mode actions may be rounded: a structure is then an exact one.

    input_size:     features of the input.
    controller:     "feedforward", "rnn-tanh", "rnn-relu", "lstm", "normalized-lstm", "gru"; or one's own, see NTMCell.
    hidden_size:    units of a layer of the controller. num_layers: its layers.
    structure:      "stack", "queue", or "deque", which is popped, pushed and read at both ends.
    num_structures: how many of them.
    num_slots:      elements of each; of a deque an even number is best, half of it for either end. Not part of the
                    weights: it may be set to another value at any time.
    slot_size:      features of an element.
    round_actions:  push and pop wholly or not at all in evaluation mode; may be set at any time.
    learned_initial_state: train the controller's initial state (else zeros).
    forget_bias:    of an LSTM controller.
    Raises ValueError for sizes that cannot be.
    """

    def __init__(
        self,
        input_size: int,
        *,
        controller: ControllerName | Cell | Callable[..., Cell] = "lstm",
        hidden_size: int = 128,
        num_layers: int = 1,
        structure: Structure = "stack",
        num_structures: int = 1,
        num_slots: int = 128,
        slot_size: int = 16,
        round_actions: bool = False,
        learned_initial_state: bool = False,
        forget_bias: float = 1.0,
    ) -> None:
        check_sizes(num_structures=num_structures)
        check_choice("structure", structure, Structure)
        ends = _ENDS[structure]
        super().__init__(
            input_size,
            controller,
            hidden_size,
            num_layers=num_layers,
            num_memories=num_structures,
            slot_size=slot_size,
            reads_per_memory=len(ends),
            sizes=(len(ends), len(ends), len(ends) * slot_size),
            round_actions=round_actions,
            learned_initial_state=learned_initial_state,
            forget_bias=forget_bias,
        )
        self.structure, self.num_structures, self.ends = structure, num_structures, ends
        self.num_slots = num_slots

    def check_slots(self, value: int) -> None:
        super().check_slots(value)
        if value < len(self.ends):
            raise ValueError(f"a deque needs at least 2 slots, not {value}")

    def initial_state(self, batch_size: int) -> NeuralStackState:
        """Empty structures."""
        zeros = self.zeros(batch_size)
        return NeuralStackState(
            controller=self.controller.initial_state(batch_size),
            reads=zeros(self.num_reads, self.slot_size),
            memory=zeros(self.num_structures, self.num_slots, self.slot_size),
            strengths=zeros(self.num_structures, self.num_slots),
        )

    def after_controller(
        self, hidden: Tensor, controller: State, state: NeuralStackState
    ) -> tuple[Tensor, NeuralStackState, NeuralStackWatched]:
        """The rest of a step: pop, push, read."""
        emitted = self.interface(hidden)
        with full_precision(hidden):
            push, pop, value = by_head(emitted.to(state.memory.dtype), self._sizes)
            push, pop = self.how_much(push), self.how_much(pop)
            value = torch.tanh(value).unflatten(-1, (len(self.ends), self.slot_size))
            strengths = state.strengths
            for end, amount in zip(self.ends, pop.unbind(-1), strict=True):
                strengths = pop_strength(strengths, amount, end)
            if self.structure == "deque":
                memory = push_both(state.memory, *value.unbind(-2))
                strengths = push_both(strengths.unsqueeze(-1), *push.unsqueeze(-1).unbind(-2)).squeeze(-1)
            else:
                memory = push_top(state.memory, value.squeeze(-2))
                strengths = push_top(strengths.unsqueeze(-1), push).squeeze(-1)
            reads = (self._read_weights(strengths) @ memory).flatten(1, 2)
        output = with_reads(hidden, reads, self.interface.weight)
        return output, NeuralStackState(controller, reads, memory, strengths), NeuralStackWatched(push, pop, value)

    def _read_weights(self, strengths: Tensor) -> Tensor:
        """(..., structure, slot) to (..., structure, end, slot)."""
        return torch.stack([end_weights(strengths, end) for end in self.ends], -2)

    def parts(self, states: NeuralStackState, watched: NeuralStackWatched) -> list[Part]:
        """The structures, where they were read, how firm their elements are, and what was done with them; the
        controller's state."""
        several = len(self.ends) > 1
        gates = {
            f"{action} {end}" if several else action: amount
            for action, amounts in (("push", watched.push), ("pop", watched.pop))
            for end, amount in zip(self.ends, amounts.unbind(-1), strict=True)
        }
        slots = ("time", "head", "slot")
        return [
            *self.parts_of_structures(states, watched.value.flatten(2, 3), gates),
            Part("read", "read", self._read_weights(states.strengths).flatten(2, 3), slots),
            Part("gate", "strength", states.strengths, slots),
        ]


class NeuralStack(StructureModule):
    """A recurrent network with continuous stacks, queues or DeQues over sequences, with a linear readout.

    input_size, output_size: features. All options are those of NeuralStackCell: the controller and its units and
    layers, which structures, and how many and wide their elements are. `forward` is SequenceModule's: state in, state
    out, lengths.
    """

    cell: NeuralStackCell
    cell_type = NeuralStackCell
