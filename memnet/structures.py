"""What stacks, queues and tapes share: memories in an order, steered by actions that may be rounded in a test."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from memnet.cells import Cell, ControllerName
from memnet.checks import check_sizes
from memnet.controlled import ControlledModule, MemoryCell, interface_of, zeros_like_state
from memnet.state import State
from memnet.trace import Part


class StructureCell(MemoryCell):
    """A controller and, after it, a step of some memories (batch, memory, slot, width), each with actions of its own.

    Options are those of StackCell. Every memory is read at `reads_per_memory` places. A class brings
    `after_controller`, sets `num_slots`, and tells `sizes`, those of what the layer `interface` emits for each memory.
    Attribute round_actions: in evaluation mode (`model.eval()`) actions are rounded. It may be set at any time.
    """

    def __init__(
        self,
        input_size: int,
        controller: ControllerName | Cell | Callable[..., Cell],
        hidden_size: int,
        *,
        num_layers: int,
        num_memories: int,
        slot_size: int,
        reads_per_memory: int,
        sizes: tuple[int, ...],
        round_actions: bool,
        learned_initial_state: bool,
        forget_bias: float,
    ) -> None:
        check_sizes(reads_per_memory=reads_per_memory)
        super().__init__(
            input_size,
            controller,
            hidden_size,
            num_layers=num_layers,
            slot_size=slot_size,
            num_reads=num_memories * reads_per_memory,
            learned_initial_state=learned_initial_state,
            forget_bias=forget_bias,
        )
        self.num_memories, self.round_actions = num_memories, round_actions
        self._sizes = [(num_memories, size) for size in sizes]
        self.interface = interface_of(self.controller, self._sizes)

    @property
    def rounding(self) -> bool:
        """Whether actions are rounded now."""
        return self.round_actions and not self.training

    def zeros(self, batch_size: int) -> Callable[..., Tensor]:
        """What makes a part of a first state, all zero, of its axes after the batch."""
        return partial(zeros_like_state, self.interface.weight, batch_size)

    def one_of(self, logits: Tensor) -> Tensor:
        """Shares of the actions of which one is to be taken, (..., action): a softmax, rounded the likeliest alone."""
        if not self.rounding:
            return torch.softmax(logits, -1)
        places = torch.arange(logits.size(-1), device=logits.device)
        return (logits.argmax(-1, keepdim=True) == places).to(logits.dtype)

    def how_much(self, logits: Tensor) -> Tensor:
        """How much an action is taken, of the same shape: a sigmoid, rounded 0 or 1."""
        return (logits > 0).to(logits.dtype) if self.rounding else torch.sigmoid(logits)

    def parts_of_structures(self, states: State, value: Tensor, gates: Mapping[str, Tensor]) -> list[Part]:
        """The memories, what was written and read, (batch, time, head, width), and the actions, (batch, time, head).

        Of a single memory the axis of its head is left out.
        """
        head, slots = ("time", "head"), ("slot", "width")
        if self.num_memories == 1:
            memory = Part("memory", "memory", states.memory.squeeze(2), ("time", *slots))
        else:
            memory = Part("memory", "memory", states.memory, (*head, *slots))
        return [
            memory,
            *(Part("gate", name, values, head) for name, values in gates.items()),
            Part("signal", "written value", value, (*head, "width")),
            Part("signal", "read vector", states.reads, (*head, "width")),
            *self.parts_of_controller(states),
        ]


class StructureModule(ControlledModule):
    """Such a cell over sequences."""

    cell: StructureCell

    @property
    def round_actions(self) -> bool:
        """Whether actions are rounded in evaluation mode; may be set, also after training."""
        return self.cell.round_actions

    @round_actions.setter
    def round_actions(self, value: bool) -> None:
        self.cell.round_actions = value
