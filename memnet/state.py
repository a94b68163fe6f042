"""What goes from step to step: states as nested tuples of tensors, leaf by leaf."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import Tensor

State: TypeAlias = Any
"""A nested NamedTuple (or tuple) of tensors, batch first; goes in and comes out of every step."""


def map_state(function: Callable[..., Tensor], *states: State) -> State:
    """Apply a function to the tensors of one state, or of several of the same structure, leaf by leaf."""
    first = states[0]
    if isinstance(first, Tensor):
        return function(*states)
    parts = [map_state(function, *leaves) for leaves in zip(*states, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)


def state_tensors(state: State) -> list[Tensor]:
    """The tensors of a state, in order."""
    if isinstance(state, Tensor):
        return [state]
    return [tensor for part in state for tensor in state_tensors(part)]


def count_numbers(state: State) -> int:
    """How many numbers a state holds."""
    return sum(tensor.numel() for tensor in state_tensors(state))


def with_leaves(state: State, leaves: Iterable[Tensor]) -> State:
    """A state of the same structure that holds other tensors, in order."""
    rest = iter(leaves)
    return map_state(lambda _: next(rest), state)


def describe_state(state: State) -> str:
    """How a state is laid out, as text: equal for two states exactly if their parts correspond."""
    if isinstance(state, Tensor):
        return "Tensor"
    if isinstance(state, tuple):
        return f"{type(state).__name__}({', '.join(describe_state(part) for part in state)})"
    return type(state).__name__


def detach_state(state: State) -> State:
    """The same state cut from its past: gradients of later steps stop here (truncated backpropagation)."""
    return map_state(Tensor.detach, state)


def select_rows(rows: Tensor, chosen: State, other: State) -> State:
    """Per row of the batch, `chosen` where `rows` (batch,) bool is true and `other` elsewhere."""
    return map_state(
        lambda yes, no: torch.where(rows.view(-1, *[1] * (yes.dim() - 1)), yes, no),
        chosen,
        other,
    )


def packed(tensor: Tensor) -> Tensor:
    """A copy with the standard strides, also along axes of size one (which `contiguous` leaves as they are)."""
    return tensor.clone(memory_format=torch.contiguous_format)


def under_autocast(tensor: Tensor) -> bool:
    """Whether autocast is on for the tensor's device."""
    kind = tensor.device.type
    # Not torch.amp.is_autocast_available, which torch.compile cannot follow in torch 2.11.
    return kind != "meta" and torch.is_autocast_enabled(kind)
