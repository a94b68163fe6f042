"""Models in folders: the settings they were built with and their weights, as huggingface_hub's mixin lays them out."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from memnet.files import write_whole
from memnet.settings import Described, build

CONFIG, WEIGHTS = "config.json", "model.safetensors"


class Pretrained(Described):
    """A model that can be kept in a folder, and comes back from it or from the Hugging Face Hub.

    The folder holds config.json, what the constructor was given, and model.safetensors, the weights: data alone, of
    which nothing is executed. They belong together: one that was changed alone is refused. PyTorchModelHubMixin of
    huggingface_hub writes and reads the same two files.
    """

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model into a folder, which is made where there is none; a model that it held is replaced.

        What may be set at any time, as backend or num_slots, comes back as it was when the model was built.
        Raises TypeError for a model that was built with what is no plain value, module or class of modules (a function,
        a tensor) or cannot be given by name, and OSError where nothing can be written.
        """
        config = f"{json.dumps(self.settings(), indent=2, allow_nan=False)}\n".encode()
        # Copies, since names of one tensor cannot be written.
        tensors = {
            name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in self.state_dict().items()
        }
        weights = save(tensors, {"format": "pt", "class": type(self).__name__, "config": _digest(config)})
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        write_whole(place / WEIGHTS, weights)
        write_whole(place / CONFIG, config)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """The model in a folder or, by its name there, on the Hugging Face Hub; on the CPU, and in evaluation.

        source: a folder that save_pretrained wrote, or "owner/name" (needs the extra "hub").
        revision, token, cache_dir, local_files_only: of the Hub, see huggingface_hub.hf_hub_download.
        Raises  FileNotFoundError where there is no such folder or model, and ValueError, in one line that says what is
                wrong, for what is no model of this class.
        """
        place = Path(source)
        if place.is_dir():
            config, weights = place / CONFIG, place / WEIGHTS
            if missing := [one.name for one in (config, weights) if not one.is_file()]:
                raise FileNotFoundError(f"{place} holds no model: it has no {' and no '.join(missing)}")
        else:
            options = {"revision": revision, "token": token, "cache_dir": cache_dir}
            config, weights = (
                _download(str(source), name, local_files_only=local_files_only, **options) for name in (CONFIG, WEIGHTS)
            )
        tensors, told = _read_weights(weights)
        if (kind := told.get("class", cls.__name__)) != cls.__name__:
            raise ValueError(f"{source} holds a {kind}, not a {cls.__name__}")
        content = config.read_bytes()
        if told.get("config") not in (None, _digest(content)):
            raise ValueError(f"{config} is not what {weights.name} was written with")
        try:
            settings = json.loads(content, parse_int=_whole)
            if not isinstance(settings, dict):
                raise ValueError(f"it must hold a mapping, not a {type(settings).__name__}")
            expected = _weightless(cls, settings)
            reason = None if expected is None else _misfit(tensors, expected)
            model: Self | None = None if reason else build(cls, settings)
        except (TypeError, ValueError, RuntimeError, MemoryError, OverflowError) as error:
            raise ValueError(f"{config} tells of no {cls.__name__}: {_one_line(error)}") from error
        if model is None or (reason := _misfit(tensors, model.state_dict())):
            raise ValueError(f"{weights} does not hold the weights of this {cls.__name__}: {reason}")
        kinds = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
        if len(kinds) == 1:
            model.to(kinds.pop())
        model.load_state_dict(tensors)
        return model.eval()


def _download(name: str, file: str, **options: Any) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise FileNotFoundError(
            f"{name} is no folder; models of the Hugging Face Hub need pip install 'memnet-torch[hub]'"
        ) from None
    try:
        return Path(hf_hub_download(name, file, **options))
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"{name} is no folder, and no model of the Hugging Face Hub that can be had: {_one_line(error)}"
        ) from error


def _digest(config: bytes) -> str:
    return hashlib.sha256(config).hexdigest()


def _whole(digits: str) -> int:
    number = int(digits)
    if number.bit_length() > 64:
        raise ValueError(f"a whole number has at most 64 bits, not {number.bit_length()}")
    return number


def _weightless(kind: type[Pretrained], settings: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """The shapes of the weights that settings ask for, which may be of any size, since nothing is allocated.

    None where the class cannot be built so: it reads its numbers, or the settings are wrong, as building it will tell.
    """
    try:
        with torch.device("meta"):
            expected: dict[str, Tensor] = build(kind, settings).state_dict()
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None
    return expected


def _read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, and what save_pretrained told of them: class, and config, a digest; of others' files nothing."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} holds no weights: {_one_line(error)}") from error


def _misfit(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """What is wrong with weights, None where nothing is."""
    if missing := expected.keys() - given.keys():
        return f"it lacks {_some(missing)}"
    if foreign := given.keys() - expected.keys():
        return f"it has {_some(foreign)}, too"
    for name, tensor in given.items():
        if tensor.shape != expected[name].shape:
            return f"{name} is {tuple(tensor.shape)} where {tuple(expected[name].shape)} is expected"
    return None


def _some(names: Iterable[str], most: int = 3) -> str:
    first = sorted(names)
    return ", ".join(first[:most]) + (f" and {len(first) - most} more" if len(first) > most else "")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
