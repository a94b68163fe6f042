"""Everything that a training needs to go on bit for bit, in one safetensors file that holds data only.

Tensors are called model.NAME, optimizer.INDEX.NAME, carried.INDEX and generator; the rest (step, curriculum, numbers
of the optimizer) is JSON in the file's header. Loading never executes code.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from experiments.files import UserError, write_whole

_FORMAT = "memnet training checkpoint 1"


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    progress: Mapping[str, Any],
    carried: Sequence[Tensor] = (),
) -> None:
    """Write a checkpoint, whole or not at all; `progress` is plain data, `carried` the state between two steps."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors["generator"] = generator.get_state()
    # Clones, since a file cannot hold tensors that share their memory.
    tensors |= {f"carried.{index}": tensor.clone() for index, tensor in enumerate(carried)}
    optimizer_state = optimizer.state_dict()
    numbers: dict[str, dict[str, Any]] = {}
    for index, values in optimizer_state["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            else:
                numbers.setdefault(str(index), {})[name] = value
    header = {"format": _FORMAT, "progress": dict(progress), "optimizer": numbers}
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_whole(path, save(contiguous, {"memnet": json.dumps(header)}))


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> dict[str, Any]:
    """Put a checkpoint back into model, optimizer and generator, and return the progress saved with it.

    UserError for a file that is truncated, not ours, or of another model.
    """
    tensors, header = _read(path)
    _put_weights(path, model, {name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")})
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in header["optimizer"].items()}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    generator.set_state(tensors["generator"])
    progress: dict[str, Any] = header["progress"]
    return progress


def read_progress(path: Path) -> dict[str, Any]:
    """The progress saved with a checkpoint, alone."""
    progress: dict[str, Any] = _read(path)[1]["progress"]
    return progress


def read_carried(path: Path) -> list[Tensor]:
    """The carried tensors saved with a checkpoint, in order."""
    tensors = _read(path)[0]
    return [tensors[f"carried.{index}"] for index in range(sum(name.startswith("carried.") for name in tensors))]


def save_weights(path: Path, model: nn.Module) -> None:
    """Write a model's state_dict as safetensors, whole or not at all."""
    write_whole(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}))


def load_weights(path: Path, model: nn.Module) -> None:
    """Put saved weights, or those of a checkpoint, into a model; UserError as for load_checkpoint."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None
    if "generator" in tensors:
        tensors = {name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")}
    _put_weights(path, model, tensors)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get("memnet", "{}"))
            if header.get("format") != _FORMAT:
                raise UserError(f"{path} is no training checkpoint of memnet")
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"there is no {path}")
    return UserError(f"{path} is truncated or no safetensors file ({' '.join(str(error).split())})")


def _put_weights(path: Path, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    expected = model.state_dict()
    if missing := sorted(expected.keys() ^ tensors.keys()):
        side = "lacks" if missing[0] in expected else "has an unknown"
        raise UserError(f"{path} is of another model: it {side} {missing[0]}")
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape:
            shapes = f"{tuple(tensors[name].shape)}, not {tuple(tensor.shape)}"
            raise UserError(f"{path} is of another model: its {name} is {shapes}")
    model.load_state_dict(dict(tensors))
