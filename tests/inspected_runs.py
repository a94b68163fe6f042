"""Folders of runs with untrained weights, which the inspector looks into as into trained ones."""

from pathlib import Path
from typing import Any

import torch

from experiments.config.command_line import parse_train
from experiments.config.form import Config
from experiments.domains.sequences.models import make_model
from experiments.domains.stories.loading import write_vocabulary
from experiments.domains.stories.models import make_model as make_story_model
from experiments.runs.checkpoint import save_weights
from experiments.runs.folder import RunFolder
from tests.running import tiny
from tests.story_runs import MODELS, WORLD, config_of

NTM = ["--num-reads", "2", "--addressing", "content-and-location", "--controller", "lstm", "--num-layers", "1"]


def sequence_run(folder: Path, *more: object, task: str = "copy") -> Path:
    """A run on an algorithmic task; of an NTM with two read heads where nothing else is said."""
    config = parse_train([task, *tiny(*(more or NTM)), "--out", str(folder)])
    torch.manual_seed(1)
    _save(config, make_model(config))
    return folder


def story_run(folder: Path, model: str, *more: object, task: str = "1") -> Path:
    """A run on generated bAbI stories."""
    return _save_story(config_of(folder, *MODELS[model], *more, task=task))


def world_run(folder: Path) -> Path:
    """A run of an EntNet on the world model."""
    options = ["world-model", *WORLD, "--model", "entnet", "--num-slots", "4", "--max-length", "6"]
    config = parse_train([*options, "--out", str(folder)])
    return _save_story(config)


def _save_story(config: Config[Any]) -> Path:
    data = config.learned.data()
    torch.manual_seed(3)
    folder = _save(config, make_story_model(config, data.sizes))
    write_vocabulary(folder, data)
    return folder.path


def _save(config: Any, model: Any) -> RunFolder:
    """The folder with weights large enough that models do something."""
    folder = RunFolder.create(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    save_weights(folder.weights, model)
    return folder
