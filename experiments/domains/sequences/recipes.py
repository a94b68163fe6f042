"""Named settings: the papers' for their tasks and models, and our own better ones, the defaults.

paper/TASK-MODEL holds Tables 1-3 of Graves et al. 2014 (arXiv 1410.5401): heads, controller size and learning
rate, with RMSProp, momentum 0.9, gradients clipped element by element to (-10, 10), 128 x 20 memory, and learned
biases as the initial state. The paper gives no batch size; one sequence a step is how its training curves count.
Its number of heads is taken for as many read heads and as many write heads, its learned initial memory as one row for
all slots, so that their number may change.

paper/adding-irnn and paper/adding-lstm are settings of Le et al. 2015 (arXiv 1504.00941) at 400 steps: 100 units, SGD
with fixed learning rate, batches of 16, and one point of the grid they searched (learning rates 1e-2 to 1e-9, clipping
1 to 1000, forget biases 1 to 20). paper/copy-memory-lstm is that of the code of Arjovsky et al. 2016 (arXiv 1511.06464)
at 500 blanks, with 40 units: plain RMSProp, 1e-3, decay 0.9, batches of 20, gradients clipped element by element to
(-1, 1). They draw new sequences where both papers have 100,000; the number of updates is ours.

The default of copy was tuned, for every controller of an NTM and for both ways of addressing that can copy (see
LOG.md); of those of the long dependencies one seed was tried; the others are starting points.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from experiments.base.files import UserError
from experiments.base.names import nearest
from experiments.base.terminal import columns
from experiments.config.parts import TrainConfig
from experiments.domains.sequences.models import make_model, make_task
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

# What the settings of Le et al. 2015 share.
_LE: dict[str, Any] = {
    "hidden_size": 100,
    "num_layers": 1,
    "recurrent_bias": False,
    "optimizer": "sgd",
    "learning_rate": 1e-2,
    "momentum": 0.0,
    "batch_size": 16,
    "steps": 500_000,
    "cooldown_steps": 0,
    "valid_every": 1000,
    "log_every": 200,
    "checkpoint_every": 1000,
}
_LONG: dict[str, dict[str, Any]] = {
    "adding-irnn": {"model": "rnn-relu", "recurrent_init": "identity", "clip_norm": 1.0} | _LE,
    "adding-lstm": {"model": "lstm", "forget_bias": 10.0, "clip_norm": 100.0} | _LE,
    "copy-memory-lstm": {
        "model": "lstm",
        "hidden_size": 40,
        "num_layers": 1,
        "recurrent_bias": False,
        "optimizer": "plain-rmsprop",
        "momentum": 0.0,
        "clip_norm": None,
        "clip_value": 1.0,
        "batch_size": 20,
        "steps": 20_000,
        "solved_at": 1e-3,
        "cooldown_steps": 0,
        "valid_sequences": 200,
    },
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
    # From short sequences to long ones: at 400 steps alone the plateau at the baseline takes most of the time.
    "adding": {
        "controller": "lstm",
        "hidden_size": 64,
        "num_layers": 1,
        "num_slots": 16,
        "batch_size": 32,
        "learning_rate": 3e-3,
        "clip_norm": 1.0,
        "curriculum": "growing",
        "growing_start": 20,
        "growing_threshold": 0.01,
        "min_length": 10,
        "cooldown_steps": 500,
        "steps": 12_000,
        "valid_every": 500,
        "valid_sequences": 391,
    },
    # Gaps of every length, so that a head must wait for the marker; few slots, so that it must not walk on.
    "copy-memory": {
        "controller": "lstm",
        "num_layers": 1,
        "num_slots": 16,
        "learning_rate": 3e-3,
        "curriculum": "growing",
        "growing_start": 20,
        "growing_threshold": 0.01,
        "min_length": 1,
        "solved_at": 1e-3,
        "cooldown_steps": 1000,
        "steps": 20_000,
        "valid_every": 1000,
        "valid_sequences": 500,
    },
    "temporal-order": {"controller": "lstm", "num_layers": 1, "num_slots": 16, "solved_at": 1.0, "steps": 20_000},
    "agreement": {"controller": "lstm", "num_layers": 1, "num_slots": 16, "solved_at": 1.0},
}


# What learns copy where the default does not: momentum, a first state that is trained, and no noise.
_MOMENTUM: dict[str, Any] = {
    "num_layers": 1,
    "optimizer": "rmsprop",
    "learned_initial_state": True,
    "weight_noise": 0.0,
}
# Weights that are right up to the trained 20 may fail at 120: there they are validated, and the best kept. The few that
# never learn are given up.
_FAR: dict[str, Any] = {
    "valid_length": 120,
    "valid_sequences": 240,
    "keep_best": True,
    "restart_after": 2500,
    "steps": 10_000,
}
# Where gradients have become small, RMSProp makes a large one a leap: their limit is low.
_GATED = _MOMENTUM | _FAR | {"clip_norm": 1.0}
# Where a default is another one for what is chosen of CHOICES: all that fit, in this order.
_VARIANTS: dict[str, list[tuple[dict[str, str], dict[str, Any]]]] = {
    "copy": [
        ({"model": "ntm", "controller": "lstm"}, _GATED | {"forget_bias": 0.0}),
        ({"model": "ntm", "controller": "gru"}, _GATED),
        ({"model": "ntm", "controller": "rnn-tanh"}, {"keep_best": True}),
        # A head that goes round the ring of slots meets what it wrote, and content addressing finds it.
        (
            {"model": "ntm", "addressing": "content-and-location"},
            _MOMENTUM | {"learning_rate": 3e-4, "clip_norm": 10.0, "cooldown_steps": 1500, "num_slots": 256},
        ),
    ],
}
# The options by which a default recipe may differ.
CHOICES = ("model", "controller", "addressing")


def recipe_names() -> list[str]:
    """Every name that --recipe takes."""
    return ["default", *(f"paper/{name}" for name in (*_PAPER, *_LONG))]


def recipe(name: str, task: str, chosen: Mapping[str, str] | None = None) -> TrainConfig:
    """The configuration that a recipe starts from; UserError for an unknown name or another task's recipe.

    chosen: options among CHOICES that are asked for; the default recipe is that of what they choose.
    """
    if name == "default":
        return _default(task, chosen or {})
    if name not in recipe_names():
        raise UserError(f"no recipe is called {name!r}{nearest(name, recipe_names())}")
    if task_of(name) != task:
        raise UserError(f"recipe {name} is for {task_of(name)}, not {task}")
    short = name.removeprefix("paper/")
    settings = _LONG[short] if short in _LONG else _paper(name, *_PAPER[short][:4])
    return TrainConfig(task=task, recipe=name, **settings)


def task_of(name: str) -> str:
    """The task that a recipe of a paper is for."""
    return max((one for one in TASKS if name.startswith(f"paper/{one}-")), key=len)


def table() -> str:
    """Every recipe of a paper with the number of parameters of our model and, where known, of the paper's.

    The paper does not say how its NTMs emit the parameters of their heads, nor all of their inputs and outputs, so
    ours differ a little. Its LSTMs have this form exactly, on the inputs and outputs that its counts imply. The other
    papers tell no counts.
    """
    lines = [("recipe", "parameters", "paper")]
    counts = {name: f"{published:,}" for name, (*_, published) in _PAPER.items()}
    for name, published in (counts | dict.fromkeys(_LONG, "-")).items():
        config = recipe(f"paper/{name}", task_of(f"paper/{name}"))
        with torch.device("meta"):
            model = make_model(config, make_task(config.task))
        count = sum(parameter.numel() for parameter in model.parameters())
        lines.append((f"paper/{name}", f"{count:,}", published))
    return columns(lines)


def _default(task: str, chosen: Mapping[str, str]) -> TrainConfig:
    config = TrainConfig(task=task, **_DEFAULT[task])
    for choice, settings in _VARIANTS.get(task, []):
        if all(chosen.get(name, getattr(config, name)) == value for name, value in choice.items()):
            config = dataclasses.replace(config, **settings)
    return config


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
