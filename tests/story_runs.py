"""Small training runs on stories, for tests."""

from pathlib import Path
from typing import Any

from experiments.__main__ import main
from experiments.config.command_line import parse_train
from experiments.config.form import Config
from experiments.domains.stories.training import StoryObjective
from experiments.runs.folder import RunFolder
from experiments.training.running import make_trainer
from experiments.training.trainer import Trainer

# Fifty-four training questions in batches of eight: six updates an epoch.
TINY = [
    *("--babi-data", "generated", "--questions", "60", "--test-questions", "20"),
    *("--batch-size", "8", "--epochs", "3", "--embedding-size", "6"),
    *("--log-every", "4", "--valid-every", "5", "--checkpoint-every", "7", "--tracker", "none"),
]
MEMN2N = ["--linear-start-epochs", "1"]
SMALL = ["--hidden-size", "6"]
MODELS = {
    "memn2n": [*MEMN2N, "--restarts", "1"],
    "memn2n-restarts": [*MEMN2N, "--restarts", "3"],
    "memn2n-layerwise": [*MEMN2N, "--tying", "layerwise", "--optimizer", "adam", "--score-times", "True"],
    "kv": ["--model", "kv", "--restarts", "2"],
    "kv-window": ["--model", "kv", "--memories", "window", "--window", "3", "--tables", "shared", "--restarts", "1"],
    "entnet": ["--model", "entnet", "--num-slots", "4"],
    "entnet-restarts": ["--model", "entnet", "--num-slots", "4", "--restarts", "2"],
    "ntm": ["--model", "ntm", *SMALL, "--num-slots", "6", "--slot-size", "4", "--optimizer", "rmsprop"],
    "lstm": ["--model", "lstm", *SMALL, "--embedding", "one-hot"],
    "gru": ["--model", "gru", *SMALL],
    "rnn-tanh": ["--model", "rnn-tanh", *SMALL],
}
WORLD = [
    *("--test-questions", "8", "--batch-size", "4", "--epochs", "2", "--epoch-updates", "5", "--embedding-size", "6"),
    *("--log-every", "3", "--valid-every", "4", "--checkpoint-every", "3", "--tracker", "none"),
]


def train(folder: Path, *more: object, task: str = "1") -> int:
    return main(["train", "babi", "--task", task, *TINY, "--out", str(folder), *map(str, more)])


def config_of(folder: Path, *more: object, task: str = "1") -> Config[Any]:
    return parse_train(["babi", "--task", task, *TINY, "--out", str(folder), *map(str, more)])


def trainer_of(folder: Path, *more: object, task: str = "1") -> Trainer[StoryObjective]:
    config = config_of(folder, *more, task=task)
    return make_trainer(config, RunFolder.create(config), "id")
