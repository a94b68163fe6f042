"""A cell over time, step by step: the one loop that every recurrent model shares."""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import Module

from memnet.cells import Cell, together
from memnet.checks import values_known
from memnet.state import State, packed, select_rows
from memnet.torch_private import has_global_hooks

Step: TypeAlias = Callable[[tuple[Any, ...], State], tuple[Tensor, State]]

# Where a module keeps what is to be run beside its forward.
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def unroll(
    cell: Cell,
    input: Tensor,
    state: State,
    *,
    lengths: Tensor | None = None,
    step: Step | None = None,
) -> tuple[Tensor, State]:
    """Run a cell over time.

    input:   (batch, time, input_size).
    lengths: (batch,) real steps of each row; later steps leave the row's state as it is.
    step:    stands in for cell.step, to watch it. Without one, the cell and the cells within it are called as modules
             where any has hooks, which then run at every step.
    Returns  outputs (batch, time, output_size), which mean nothing past the end of a row, and the state after each
             row's last real step.
    """
    shortest = input.size(1)
    if lengths is not None:
        shortest = int(lengths.min()) if values_known() else 0
    watched = step is None and hooked(*_cells_within(cell))
    parts = (input,) if watched else cell.project(input)
    # Time first, so that a compiled step meets the same strides at every length.
    steps = zip(
        *(packed(rearrange(part, "batch time unit -> time batch unit")).unbind(0) for part in parts), strict=True
    )
    step, shared = step or cell.step, cell.shared()
    outputs: list[Tensor] = []
    for time, projected in enumerate(steps):
        output, after = cell(*projected, state) if watched else step(together(projected, shared), state)
        if time >= shortest:
            assert lengths is not None
            after = select_rows(lengths > time, after, state)
        state = after
        outputs.append(output)
    return torch.stack(outputs, 1), state


def unroll_fast(cell: Cell, input: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
    """`unroll` by the cell's operator where that covers the call and is faster, else many steps at once or by step."""
    if cell.has_native and cell.native_refusal(input, state) is None and cell.native_loss(input, state) is None:
        return cell.unroll_native(input, state, lengths)
    return cell.scan(input, state, lengths) if cell.has_scan else unroll(cell, input, state, lengths=lengths)


def unroll_chunked(cell: Cell, input: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
    """`unroll` many steps at once if the cell can, else as fast as may be."""
    return cell.scan(input, state, lengths) if cell.has_scan else unroll_fast(cell, input, state, lengths)


def _cells_within(cell: Cell) -> list[Cell]:
    return [module for module in cell.modules() if isinstance(module, Cell)]


def hooked(*modules: Module) -> bool:
    """Whether any of the modules, those within it not counted, has a hook that a call of it would run.

    A forward of a module's own, in place of its class's, is one, too.
    """
    return bool(has_global_hooks()) or any(
        "forward" in vars(module) or any(getattr(module, hooks) for hooks in HOOKS) for module in modules
    )
