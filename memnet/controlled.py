"""What cells with a memory share: a controller that sees the input and what was last read."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.cells import Cell, ControllerName, WatchedCell, added, make_controller, parted, together
from memnet.checks import check_sizes
from memnet.sequence import SequenceModule
from memnet.state import State, under_autocast
from memnet.trace import Part


class MemoryCell(WatchedCell):
    """A step of a controller and, after it, of a memory of slots.

    The controller sees the input followed by the last read vectors. Where its layers are linear in what they see, the
    part that is the input's is computed for all steps at once, see Cell.project.

    Options are those of NTMCell. Attribute controller: a cell of input_size plus the size of the reads.
    States have fields `controller`, `reads` (batch, read, width) and `memory`; all but the first in float32 at least,
    also of a model in half precision.
    A class brings `after_controller`, sets `num_slots`, and says which numbers of them it can have: in `slots_for` by
    options that need as many, or in `check_slots`.
    """

    slots_for: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        input_size: int,
        controller: ControllerName | Cell | Callable[..., Cell],
        hidden_size: int,
        *,
        num_layers: int,
        slot_size: int,
        num_reads: int,
        learned_initial_state: bool,
        forget_bias: float,
    ) -> None:
        super().__init__()
        check_sizes(input_size=input_size, slot_size=slot_size, num_reads=num_reads)
        self.input_size, self.slot_size, self.num_reads = input_size, slot_size, num_reads
        self.controller = make_controller(
            controller,
            input_size + num_reads * slot_size,
            hidden_size,
            num_layers=num_layers,
            forget_bias=forget_bias,
            learned_initial_state=learned_initial_state,
        )
        self.output_size = self.controller.output_size + num_reads * slot_size

    def after_controller(self, hidden: Tensor, controller: State, state: State) -> tuple[Tensor, State, Any]:
        """The rest of a step, from the controller's output and next state: as Cell.watched_step returns it."""
        raise NotImplementedError

    @property
    def num_slots(self) -> int:
        """Rows of the memory that initial_state makes; ValueError where it is set to a number that cannot be."""
        return self._num_slots

    @num_slots.setter
    def num_slots(self, value: int) -> None:
        self.check_slots(value)
        self._num_slots = value

    def check_slots(self, value: int) -> None:
        """ValueError for a number of rows that cannot be."""
        check_sizes(num_slots=value)
        for name in self.slots_for:
            if value < (needed := getattr(self, name)):
                raise ValueError(f"{name} {needed} needs at least {needed} slots, not {value}")

    def project(self, input: Tensor) -> tuple[Tensor, ...]:
        return self.controller.project(input) if self.controller.input_weights() else (input,)

    def input_weights(self) -> tuple[Tensor, ...]:
        return tuple(weight[:, : self.input_size] for weight in self.controller.input_weights())

    def shared(self) -> tuple[tuple[Tensor, ...], Any]:
        """The controller's weights of the reads, where its input may come in parts, and what its own steps share."""
        weights = tuple(weight[:, self.input_size :] for weight in self.controller.input_weights())
        return weights, self.controller.shared()

    def forward(self, input: Tensor, state: State) -> tuple[Tensor, State]:
        seen = torch.cat([input, state.reads.flatten(1).to(input.dtype)], -1)
        hidden, controller = self.controller(seen, state.controller)
        output, state, _ = self.after_controller(hidden, controller, state)
        return output, state

    def watched_step(self, projected: tuple[Any, ...], state: State) -> tuple[Tensor, State, Any]:
        hidden, controller = self.controlled(projected, state.controller, state.reads)
        return self.after_controller(hidden, controller, state)

    def controlled(self, projected: tuple[Any, ...], controller: State, reads: Tensor) -> tuple[Tensor, State]:
        """The controller's part of a step, from what was last read: its output and next state."""
        projected, (weights, shared) = parted(self, projected)
        reads = reads.flatten(1).to(projected[0].dtype)
        if weights:
            seen = added(projected, reads, weights)
        else:
            seen = self.controller.project(torch.cat([*projected, reads], -1))
        return self.controller.step(together(seen, shared), controller)

    def parts_of_controller(self, states: State) -> list[Part]:
        """What the controller tells of itself."""
        parts = self.controller.parts(states.controller, ())
        return [part._replace(name=f"controller {part.name}") for part in parts]


class ControlledCell(MemoryCell):
    """Such a cell whose memory (batch, slot, width) is written and read by heads, by weightings over its slots.

    Its states have a field `read_weights` (batch, head, slot), too.
    """

    def __init__(
        self,
        input_size: int,
        controller: ControllerName | Cell | Callable[..., Cell],
        hidden_size: int,
        *,
        num_layers: int,
        slot_size: int,
        num_reads: int,
        num_writes: int,
        learned_initial_state: bool,
        forget_bias: float,
        norm_floor: float,
    ) -> None:
        super().__init__(
            input_size,
            controller,
            hidden_size,
            num_layers=num_layers,
            slot_size=slot_size,
            num_reads=num_reads,
            learned_initial_state=learned_initial_state,
            forget_bias=forget_bias,
        )
        check_sizes(num_writes=num_writes)
        if not norm_floor >= 0:
            raise ValueError(f"norm_floor must be at least 0, not {norm_floor}")
        self.num_writes, self.norm_floor = num_writes, norm_floor

    def parts_of_heads(self, states: State, write_weights: Tensor) -> list[Part]:
        """The memory, where heads wrote and read, and what they read."""
        head = ("time", "head")
        return [
            Part("memory", "memory", states.memory, ("time", "slot", "width")),
            Part("write", "write", write_weights, (*head, "slot")),
            Part("read", "read", states.read_weights, (*head, "slot")),
            Part("signal", "read vector", states.reads, (*head, "width")),
        ]


class ControlledModule(SequenceModule):
    """Such a cell over sequences, whose memory may have another number of rows at any time."""

    cell: MemoryCell

    @property
    def num_slots(self) -> int:
        """Rows of the memory at the next initial state; may be set, also after training."""
        return self.cell.num_slots

    @num_slots.setter
    def num_slots(self, value: int) -> None:
        self.cell.num_slots = value


def interface_of(controller: Cell, sizes: Sequence[tuple[int, int]]) -> nn.Linear:
    """The linear layer by which a controller steers a memory: numbers of these sizes, which `by_head` takes apart."""
    return nn.Linear(controller.output_size, sum(map(math.prod, sizes)))


def by_head(emitted: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """What a linear layer emitted, (batch, features), as tensors (batch, *size), one after the other."""
    parts = emitted.split([count * width for count, width in sizes], -1)
    return [part.unflatten(-1, size) for part, size in zip(parts, sizes, strict=True)]


def with_reads(hidden: Tensor, reads: Tensor, weight: Tensor) -> Tensor:
    """The output of a cell with such a weight: its controller's, followed by what was read, (batch, head, width)."""
    return torch.cat([hidden, reads.flatten(1).to(weight.dtype)], -1)


def zeros_like_state(weight: Tensor, *shape: int) -> Tensor:
    """A part of a first state, all zero, for a cell with such a weight: on its device, in float32 at least."""
    return torch.zeros(shape, dtype=torch.promote_types(weight.dtype, torch.float32), device=weight.device)


def oneplus(emitted: Tensor) -> Tensor:
    """Numbers of at least one: 1 + log(1 + exp x)."""
    return 1 + functional.softplus(emitted)


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """Where addressing and memory keep the state's dtype under autocast."""
    return torch.autocast(like.device.type, enabled=False) if under_autocast(like) else nullcontext()
