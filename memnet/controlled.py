"""What cells with a memory share: a controller that sees the input and what was last read."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from memnet.cells import Cell, added, parted, together
from memnet.state import State, under_autocast


class ControlledCell(Cell):
    """A step of a controller and, after it, of a memory.

    The controller sees the input followed by the last read vectors. Where its layers are linear in what they see, the
    part that is the input's is computed for all steps at once, see Cell.project.

    controller: a cell of input_size plus the size of the reads. States have fields `controller` and `reads`
                (batch, read, width); `reads` in float32 at least, also of a model in half precision.
    A class brings `after_controller`.
    """

    controller: Cell

    def after_controller(self, hidden: Tensor, controller: State, state: State) -> tuple[Tensor, State, Any]:
        """The rest of a step, from the controller's output and next state: as Cell.watched_step returns it."""
        raise NotImplementedError

    def project(self, input: Tensor) -> tuple[Tensor, ...]:
        return self.controller.project(input) if self.controller.input_weights() else (input,)

    def input_weights(self) -> tuple[Tensor, ...]:
        return tuple(weight[:, : self.input_size] for weight in self.controller.input_weights())

    def shared(self) -> tuple[tuple[Tensor, ...], Any]:
        """The controller's weights of the reads, where its input may come in parts, and what its own steps share."""
        weights = tuple(weight[:, self.input_size :] for weight in self.controller.input_weights())
        return weights, self.controller.shared()

    def step(self, projected: tuple[Any, ...], state: State) -> tuple[Tensor, State]:
        output, state, _ = self.watched_step(projected, state)
        return output, state

    def forward(self, input: Tensor, state: State) -> tuple[Tensor, State]:
        seen = torch.cat([input, state.reads.flatten(1).to(input.dtype)], -1)
        hidden, controller = self.controller(seen, state.controller)
        output, state, _ = self.after_controller(hidden, controller, state)
        return output, state

    def watched_step(self, projected: tuple[Any, ...], state: State) -> tuple[Tensor, State, Any]:
        projected, (weights, shared) = parted(self, projected)
        reads = state.reads.flatten(1).to(projected[0].dtype)
        if weights:
            seen = added(projected, reads, weights)
        else:
            seen = self.controller.project(torch.cat([*projected, reads], -1))
        return self.after_controller(*self.controller.step(together(seen, shared), state.controller), state)


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """Where addressing and memory keep the state's dtype under autocast."""
    return torch.autocast(like.device.type, enabled=False) if under_autocast(like) else nullcontext()
