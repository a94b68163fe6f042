"""Everything that a training needs to go on bit for bit, in one safetensors file that holds data only.

Tensors are called model.NAME, optimizer.INDEX.NAME, carried.INDEX and generator; the rest (step, curriculum) is JSON
under "memnet" in the file's header. There also stands the SHA-256 of the whole file, taken with 64 zeros in its place;
files of weights and checkpoints of version 1 may have none. Loading never executes code, and nothing is put back before
everything is checked.
"""

import dataclasses
import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, Protocol, TypedDict

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from experiments.base.files import UserError, first_line, write_whole
from experiments.base.reading import expect, parse_json, read_bytes

_FORMATS = {f"memnet training checkpoint {version}": version for version in (1, 2)}
_FORMAT, _WEIGHTS = list(_FORMATS)[-1], "memnet weights 1"
_UNSEALED = 64 * "0"
# What may stand in a file's header beside our own: how others call a file of torch tensors, and what save_pretrained
# tells of a model.
_METADATA = {"memnet", "format", "class", "config"}

# Of an optimizer, which checkpoints of version 1 have.
Numbers = dict[str, dict[str, float | bool | None]]
State = dict[int, dict[str, Tensor]]


class Optimizer(Protocol):
    """What moves weights, as far as it is kept."""

    def state(self) -> State:
        """What is kept of every weight that was moved, by its place and by name."""

    def restore(self, state: State) -> None:
        """The inverse of `state`."""

    def forms(self) -> State:
        """Tensors like those of `state` when every weight was moved."""


class Kept(TypedDict):
    """What every training keeps; see `Trainer.save`."""

    step: int
    seconds: float
    run_id: str
    config: dict[str, Any]


class _Header(TypedDict):
    sha256: NotRequired[str]
    format: str
    progress: Kept
    optimizer: Numbers


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint's file holds. It is as it was written, but may be of another training.

    weights:   by name.
    optimizer: by the number of the parameter and the name of what is kept of it.
    carried:   the state between two steps.
    version:   of its form; of the first, a training does not go on, but its weights are there.
    """

    path: Path
    version: int
    weights: Mapping[str, Tensor]
    optimizer: State
    carried: Sequence[Tensor]
    generator: Tensor
    progress: dict[str, Any]

    def check(self, model: nn.Module, optimizer: Optimizer, carried: Sequence[Tensor], restarts: int = 1) -> None:
        """UserError for what cannot be put back into these.

        carried:  tensors like those that must be carried.
        restarts: those that the model is a stack of, of which one must be finite.
        """
        _check_weights(self.path, model, self.weights, restarts)
        try:
            torch.Generator().set_state(self.generator)
        except (RuntimeError, TypeError) as error:
            raise UserError(f"{self.path}: its generator is no state of one ({first_line(error)})") from None
        _check_forms(self.path, _numbered("carried", carried), _numbered("carried", self.carried))
        expected = optimizer.forms()
        # A parameter that never had a gradient has none.
        if self.progress["step"] > 0 and any(expected.values()) and not self.optimizer:
            raise UserError(f"{self.path} is of another training: it lacks the optimizer's state")
        for index, own in self.optimizer.items():
            forms = expected.get(index, {})
            _check_forms(self.path, _tensors(f"optimizer.{index}", forms), _tensors(f"optimizer.{index}", own))
        if restarts == 1:
            named = _numbered("carried", self.carried)
            for index, own in self.optimizer.items():
                named |= _tensors(f"optimizer.{index}", own)
            if lost := [name for name, tensor in named.items() if tensor.isnan().any()]:
                raise UserError(f"{self.path}: its {lost[0]} holds NaN")

    def means(self, names: Sequence[str]) -> dict[str, Tensor]:
        """The running means of parameters of these names, of those that have one; UserError where none can be."""
        held = {names[place]: own for place, own in self.optimizer.items() if "averaged" in own and place < len(names)}
        for own in held.values():
            if not (isinstance(step := own.get("step"), Tensor) and step.dim() == 0):
                raise UserError(f"{self.path} is of another training: a running mean lacks its steps")
        return {name: own["averaged"] for name, own in held.items() if own["step"]}

    def put_back(self, model: nn.Module, optimizer: Optimizer, generator: torch.Generator) -> None:
        """Make these what they were, after `check`."""
        model.load_state_dict(dict(self.weights))
        optimizer.restore(self.optimizer)
        generator.set_state(self.generator)


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: Optimizer,
    generator: torch.Generator,
    progress: Mapping[str, Any],
    carried: Sequence[Tensor] = (),
) -> None:
    """Write a checkpoint, whole or not at all; `progress` is plain data, `carried` the state between two steps."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors["generator"] = generator.get_state()
    # Clones, since a file cannot hold tensors that share their memory.
    tensors |= {f"carried.{index}": tensor.clone() for index, tensor in enumerate(carried)}
    for index, own in optimizer.state().items():
        tensors |= _tensors(f"optimizer.{index}", own)
    _write(path, tensors, {"format": _FORMAT, "progress": dict(progress), "optimizer": {}})


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. UserError for a file that is not there, damaged, or no checkpoint of ours."""
    return _checkpoint(path, *_read(path))


def read_progress(path: Path) -> dict[str, Any]:
    """The progress saved with a checkpoint, alone; UserError as for `read_checkpoint`."""
    return read_checkpoint(path).progress


def save_weights(path: Path, model: nn.Module) -> None:
    """Write a model's state_dict as safetensors, whole or not at all."""
    _write(path, model.state_dict(), {"format": _WEIGHTS})


def load_weights(path: Path, model: nn.Module, restarts: int = 1) -> None:
    """Put saved weights into a model, or a checkpoint's: the best, else their running mean, where it keeps these.

    restarts: those that the model is a stack of, of which one must be finite.
    UserError for a file that is not there, damaged, or of another model, and for weights that are no finite numbers;
    nothing has changed then.
    """
    tensors, header = _read(path)
    if str(header.get("format")) in _FORMATS:
        saved = _checkpoint(path, tensors, header)
        names = [name for name, _ in model.named_parameters()]
        means = saved.means(names)
        # Of a training that keeps its best weights these come first of what is carried.
        best = names if saved.progress.get("lowest_loss") is not None else []
        tensors = {**saved.weights, **means, **dict(zip(best, saved.carried, strict=False))}
    elif header.get("format", _WEIGHTS) != _WEIGHTS:
        raise UserError(f"{path} holds no weights of memnet")
    _check_weights(path, model, tensors, restarts)
    model.load_state_dict(tensors)


def finite_restarts(model: nn.Module, tensors: Mapping[str, Tensor], restarts: int) -> list[int]:
    """Of the restarts that a model is a stack of those whose weights are finite, all of them."""
    stacked = {name for name, _ in model.named_parameters()} if restarts > 1 else set()
    lost = set[int]()
    for name, tensor in tensors.items():
        finite = tensor.isfinite()
        if name in stacked:
            lost |= set((~finite.flatten(1).all(1)).nonzero().flatten().tolist())
        elif not finite.all():
            return []
    return [restart for restart in range(restarts) if restart not in lost]


def _checkpoint(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Checkpoint:
    """What a file's tensors and header say; UserError as for `read_checkpoint`."""
    if (version := _FORMATS.get(str(header.get("format")))) is None:
        raise UserError(f"{path} is no training checkpoint of memnet")
    if version > 1 and "sha256" not in header:
        raise UserError(f"{path} is damaged: it lacks its SHA-256")
    expect(header, _Header, path)
    progress = header["progress"]
    if version > 1 and header["optimizer"]:
        raise UserError(f"{path} is of another training: its optimizer has numbers")
    if progress["step"] < 0 or not progress["seconds"] >= 0:
        raise UserError(f"{path}: a training is never at step {progress['step']} after {progress['seconds']} s")
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "carried": {}}
    for name, tensor in tensors.items():
        kind, _, own = name.partition(".")
        if kind in parts:
            parts[kind][own] = tensor
        elif name != "generator":
            raise UserError(f"{path} has an unknown {name}")
    if "generator" not in tensors:
        raise UserError(f"{path} lacks the generator's state")
    carried = [parts["carried"].get(str(index)) for index in range(len(parts["carried"]))]
    state: State = {}
    for name, tensor in parts["optimizer"].items():
        index, _, key = name.partition(".")
        if not re.fullmatch(r"0|[1-9]\d{0,8}", index):
            raise UserError(f"{path} has an unknown optimizer.{name}")
        state.setdefault(int(index), {})[key] = tensor
    whole = [tensor for tensor in carried if tensor is not None]
    if len(whole) < len(carried):
        raise UserError(f"{path} lacks carried.{carried.index(None)}")
    return Checkpoint(path, version, parts["model"], state, whole, tensors["generator"], progress)


def _write(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = save(contiguous, {"memnet": json.dumps({"sha256": _UNSEALED, **header})})
    digest = hashlib.sha256(content).hexdigest()
    write_whole(path, content.replace(_UNSEALED.encode(), digest.encode(), 1))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file, and what stands in its header under "memnet", nothing in a file of weights of before."""
    try:
        # As bytes, since a file's name need not be UTF-8.
        content = read_bytes(path, sys.maxsize)
        tensors = load(content)
    except FileNotFoundError:
        raise UserError(f"there is no {path}") from None
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise UserError(f"{path} is truncated or no safetensors file ({' '.join(str(error).split())})") from None
    where = f"the header of {path}"
    metadata = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")], where).get("__metadata__", {})
    header = parse_json(metadata.get("memnet", "{}").encode(), where)
    expect(header, dict[str, Any], where)
    if strange := sorted((metadata.keys() - _METADATA) | (header.keys() - _Header.__annotations__.keys())):
        raise UserError(f"{path} is damaged: {strange[0]!r} in its header is not ours")
    digest = header.get("sha256")
    if digest is not None and digest != _digest(content, str(digest)):
        raise UserError(f"{path} is damaged: its SHA-256 is not the one that it states")
    return tensors, header


def _digest(content: bytes, stated: str) -> str:
    """The SHA-256 of a file in which this one stands, as if it did not."""
    return hashlib.sha256(content.replace(stated.encode(), _UNSEALED.encode(), 1)).hexdigest()


def _tensors(prefix: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value for name, value in values.items()}


def _numbered(prefix: str, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{index}": tensor for index, tensor in enumerate(tensors)}


def _check_weights(path: Path, model: nn.Module, weights: Mapping[str, Tensor], restarts: int) -> None:
    _check_forms(path, model.state_dict(), weights)
    if not finite_restarts(model, weights, restarts):
        name, tensor = next((name, one) for name, one in weights.items() if not one.isfinite().all())
        value = tensor[~tensor.isfinite()][0].item()
        raise UserError(f"{path}: its {name} holds {value}, expected finite numbers")


def _check_forms(path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """UserError unless the tensors have these names, shapes and types."""
    if other := sorted(expected.keys() ^ found.keys()):
        side = "lacks" if other[0] in expected else "has an unknown"
        raise UserError(f"{path} is of another model: it {side} {other[0]}")
    for name, tensor in expected.items():
        for own, right in ((tuple(found[name].shape), tuple(tensor.shape)), (found[name].dtype, tensor.dtype)):
            if own != right:
                raise UserError(f"{path} is of another model: its {name} is {own}, not {right}")
