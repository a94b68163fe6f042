"""Checks of arguments, each an error that names the value and what was expected."""

from collections.abc import Iterable
from typing import Any, get_args

import torch
from torch import Tensor, nn


def check_sizes(at_least: int = 1, /, **sizes: int) -> None:
    """Every size must be a whole number of at least `at_least`."""
    for name, size in sizes.items():
        if not isinstance(size, int):
            raise ValueError(f"{name} must be a whole number, not {size!r}")
        if size < at_least:
            raise ValueError(f"{name} must be at least {at_least}, not {size}")


def check_ends(name: str, ends: tuple[float, float]) -> None:
    """Two finite numbers above 0, the first at most the second."""
    numbers = isinstance(ends, tuple | list) and all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in ends
    )
    if not (numbers and len(ends) == 2 and 0 < ends[0] <= ends[1] < float("inf")):
        raise ValueError(f"{name} must be two numbers above 0, the first at most the second, not {ends!r}")


def check_choice(name: str, value: object, choices: Any) -> None:
    """The value must be one of a Literal's."""
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {', '.join(map(str, get_args(choices)))}, not {value!r}")


def check_tensor(name: str, value: object, axes: str) -> None:
    """The value must be a tensor at all; its axes are only named."""
    if isinstance(value, Tensor):
        return
    kind = type(value).__name__
    hint = "; torch.tensor makes one" if isinstance(value, list | tuple) else ""
    if isinstance(value, nn.utils.rnn.PackedSequence):
        hint = "; pad_packed_sequence(..., batch_first=True) gives it, and its lengths"
    raise TypeError(f"{name} must be a tensor {axes}, not {kind}{hint}")


def check_lengths(name: str, lengths: Tensor, like: Tensor, most: int, *, least: int = 0, look: bool = True) -> Tensor:
    """Lengths as int64: integers (batch,) on the device of `like` (batch, ...) and, if looked at, least..most."""
    rows = like.size(0)
    check_tensor(name, lengths, f"of integers ({rows},)")
    if lengths.shape != (rows,) or lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise ValueError(f"{name} must be integers ({rows},), not {lengths.dtype} {tuple(lengths.shape)}")
    if lengths.device != like.device:
        raise ValueError(f"{name} are on {lengths.device}, the others on {like.device}")
    # Of narrower integers differences would wrap.
    lengths = lengths.long()
    if look and values_known():
        low, high = int(lengths.min()), int(lengths.max())
        if low < least or high > most:
            raise ValueError(f"{name} must be {least}..{most}, not {low}..{high}")
    return lengths


def values_known() -> bool:
    """Whether tensors have values that may be looked at: not while torch.export traces."""
    return not torch.compiler.is_exporting()


def overrides(thing: object, kind: type, names: Iterable[str]) -> bool:
    """Whether an object, or its class, brings something of its own in place of what a class has by these names."""
    return any(name in vars(thing) or getattr(type(thing), name) is not getattr(kind, name) for name in names)
