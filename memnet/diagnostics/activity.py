"""Where the gradients of a model go, part by part."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class _HasWriteHeads(Protocol):
    """A cell whose linear layer `heads` emits for read heads and write heads."""

    def write_features(self) -> Tensor:
        """Which outputs of that layer are for write heads: (features,) bool."""


def gradient_norms(model: nn.Module, copies: int = 1) -> dict[str, Tensor]:
    """The Euclidean norm of the gradient that each part of a model has now.

    Parts are the top-level modules and parameters of a model, with dashes in their names; of a list each, numbered from
    1 ("embeddings-1"). A sequence model has, instead of its cell, what that is made of: "controller", "read-heads" and
    "write-heads" (whose parameters one linear layer emits), "initial-state", "layers-1" or a single "cell"; its readout
    is "output". A StoryReader has these parts of its sequence model, and "words".

    copies:  models stacked along the first axis of every parameter.
    Returns  for each part that has a gradient the norm of each copy, (copies,). Over all parts their squares sum to
             that of the whole gradient's norm.
    """
    writing = {
        f"{name}.heads.": module.write_features()
        for name, module in model.named_modules()
        if isinstance(module, _HasWriteHeads)
    }
    gradients: dict[str, list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            continue
        features = next((mask for prefix, mask in writing.items() if name.startswith(prefix)), None)
        if features is None:
            gradients.setdefault(_part(name), []).append(parameter.grad)
        else:
            features = features.to(parameter.device)
            gradients.setdefault("read-heads", []).append(parameter.grad[~features])
            gradients.setdefault("write-heads", []).append(parameter.grad[features])
    norms = torch.linalg.vector_norm
    return {
        part: norms(torch.stack([norms(one.reshape(copies, -1), dim=1) for one in tensors]), dim=0)
        for part, tensors in gradients.items()
    }


def _part(name: str) -> str:
    """The part to which a parameter belongs, by its dotted name."""
    path = name.removeprefix("sequence.").split(".")
    if path[0] == "cell" and len(path) > 2:
        del path[0]
    elif path[0] == "cell" and path[1].startswith("initial"):
        return "initial-state"
    part = {"readout": "output", "embedding": "words"}.get(path[0], path[0].replace("_", "-"))
    return f"{part}-{int(path[1]) + 1}" if len(path) > 2 and path[1].isdecimal() else part
