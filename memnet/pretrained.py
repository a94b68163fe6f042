"""Models in folders: the settings they were built with and their weights, as huggingface_hub's mixin lays them out."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from memnet.files import write_whole
from memnet.settings import Described, build

CONFIG, WEIGHTS = "config.json", "model.safetensors"


class Pretrained(Described):
    """A model that can be kept in a folder, and comes back from it or from the Hugging Face Hub.

    The folder holds config.json, what the constructor was given, and model.safetensors, the weights: data alone, of
    which nothing is executed. PyTorchModelHubMixin of huggingface_hub writes and reads the same two files.
    """

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model into a folder, which is made where there is none; a model that it held is replaced.

        What may be set at any time, as backend or num_slots, comes back as it was when the model was built.
        Raises TypeError for a model that was built with what is no plain value, module or class of modules (a function,
        a tensor), and OSError where nothing can be written.
        """
        config = json.dumps(self.settings(), indent=2, allow_nan=False)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        weights = save(tensors, {"format": "pt", "class": type(self).__name__})
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        write_whole(place / WEIGHTS, weights)
        write_whole(place / CONFIG, f"{config}\n".encode())

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
        tensors, kind = _read_weights(weights)
        if kind not in (None, cls.__name__):
            raise ValueError(f"{source} holds a {kind}, not a {cls.__name__}")
        try:
            settings = json.loads(config.read_bytes())
            if not isinstance(settings, dict):
                raise ValueError(f"it must hold a mapping, not a {type(settings).__name__}")
            model: Self = build(cls, settings)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{config} tells of no {cls.__name__}: {_one_line(error)}") from error
        if reason := _misfit(tensors, model.state_dict()):
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


def _read_weights(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """Tensors by name, and the name of the class that wrote them, where that is told."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, (file.metadata() or {}).get("class")
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
