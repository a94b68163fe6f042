"""Named settings: the NTM paper's for every task and model, and our own better ones, the defaults.

paper/TASK-MODEL holds Tables 1-3 of Graves et al. 2014 (arXiv 1410.5401): heads, controller size and learning
rate, with RMSProp, momentum 0.9, gradients clipped element by element to (-10, 10), 128 x 20 memory, and learned
biases as the initial state. The paper gives no batch size; one sequence a step is how its training curves count.
Its number of heads is taken for as many read heads and as many write heads, its learned initial memory as one row for
all slots, so that their number may change.

The default of copy was tuned (see LOG.md); those of the other tasks are starting points.
"""

from typing import Any

import torch

from experiments.config import TrainConfig
from experiments.files import UserError
from experiments.models import make_model, make_task
from experiments.names import nearest
from tasks import TASKS

# heads, hidden size, layers, learning rate, parameters
_PAPER: dict[str, tuple[int, int, int, float, int]] = {
    "copy-ntm-feedforward": (1, 100, 1, 1e-4, 17_162),
    "repeat-copy-ntm-feedforward": (1, 100, 1, 1e-4, 16_712),
    "associative-recall-ntm-feedforward": (4, 256, 1, 1e-4, 146_845),
    "dynamic-ngrams-ntm-feedforward": (1, 100, 1, 3e-5, 14_656),
    "priority-sort-ntm-feedforward": (8, 512, 1, 3e-5, 508_305),
    "copy-ntm-lstm": (1, 100, 1, 1e-4, 67_561),
    "repeat-copy-ntm-lstm": (1, 100, 1, 1e-4, 66_111),
    "associative-recall-ntm-lstm": (1, 100, 1, 1e-4, 70_330),
    "dynamic-ngrams-ntm-lstm": (1, 100, 1, 3e-5, 61_749),
    "priority-sort-ntm-lstm": (5, 100, 2, 3e-5, 269_038),
    "copy-lstm": (0, 256, 3, 3e-5, 1_352_969),
    "repeat-copy-lstm": (0, 512, 3, 3e-5, 5_312_007),
    "associative-recall-lstm": (0, 256, 3, 1e-4, 1_344_518),
    "dynamic-ngrams-lstm": (0, 128, 3, 1e-4, 331_905),
    "priority-sort-lstm": (0, 128, 3, 3e-5, 384_424),
}

_DEFAULT: dict[str, dict[str, Any]] = {
    # What makes it exact at fifty times the trained length: no content addressing, and noise on the weights.
    "copy": {"num_layers": 3, "addressing": "location", "weight_noise": 0.02},
    "repeat-copy": {"controller": "lstm", "num_layers": 1, "steps": 20_000},
    "associative-recall": {"num_reads": 4, "num_writes": 4, "hidden_size": 256, "num_layers": 1, "steps": 20_000},
    "dynamic-ngrams": {"controller": "lstm", "num_layers": 1, "solved_at": None, "steps": 5000, "valid_every": 500},
    "priority-sort": {
        "num_reads": 8,
        "num_writes": 8,
        "hidden_size": 512,
        "num_layers": 1,
        "solved_at": None,
        "steps": 20_000,
        "valid_every": 500,
    },
}


def recipe_names() -> list[str]:
    """Every name that --recipe takes."""
    return ["default", *(f"paper/{name}" for name in _PAPER)]


def recipe(name: str, task: str) -> TrainConfig:
    """The configuration that a recipe starts from; UserError for an unknown name or another task's recipe."""
    if name == "default":
        return TrainConfig(task=task, **_DEFAULT[task])
    if name not in recipe_names():
        raise UserError(f"no recipe is called {name!r}{nearest(name, recipe_names())}")
    if task_of(name) != task:
        raise UserError(f"recipe {name} is for {task_of(name)}, not {task}")
    return TrainConfig(task=task, recipe=name, **_paper(name, *_PAPER[name.removeprefix("paper/")][:4]))


def task_of(name: str) -> str:
    """The task that a recipe of the paper is for."""
    return next(one for one in TASKS if name.startswith(f"paper/{one}-"))


def table() -> str:
    """Every recipe of the paper with the number of parameters of our model and of the paper's.

    The paper does not say how its NTMs emit the parameters of their heads, nor all of their inputs and outputs, so
    ours differ a little. Its LSTMs have this form exactly, on the inputs and outputs that its counts imply.
    """
    lines = [f"{'recipe':<44}{'parameters':>12}{'paper':>12}"]
    for name, (*_, published) in _PAPER.items():
        config = recipe(f"paper/{name}", task_of(f"paper/{name}"))
        with torch.device("meta"):
            model = make_model(config, make_task(config.task))
        count = sum(parameter.numel() for parameter in model.parameters())
        lines.append(f"{'paper/' + name:<44}{count:>12,}{published:>12,}")
    return "\n".join(lines)


def _paper(name: str, heads: int, hidden_size: int, num_layers: int, learning_rate: float) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "hidden_size": hidden_size,
        "num_layers": num_layers,
        "learning_rate": learning_rate,
        "optimizer": "rmsprop",
        "momentum": 0.9,
        "clip_norm": None,
        "clip_value": 10.0,
        "batch_size": 1,
        "steps": 500_000 if name.startswith("paper/repeat-copy") else 1_000_000,
        "solved_at": None,
        "cooldown_steps": 0,
        "valid_every": 5000,
        "log_every": 500,
        "checkpoint_every": 2500,
        "picture_every": 20_000,
        "learned_initial_state": True,
        "forget_bias": 0.0,
    }
    if heads == 0:
        return settings | {"model": "lstm", "skip": True, "recurrent_bias": False}
    return settings | {
        "controller": "lstm" if name.endswith("-lstm") else "feedforward",
        "num_reads": heads,
        "num_writes": heads,
        "memory_init": "learned",
        "weights_init": "learned",
    }
