"""Small training runs on text, for tests."""

from pathlib import Path

from experiments.__main__ import main
from experiments.config.command_line import parse_train
from experiments.domains.text.training import TextObjective
from experiments.runs.folder import RunFolder
from experiments.training.running import make_trainer
from experiments.training.trainer import Trainer

# Six streams of about 450 characters in chunks of 30: fifteen steps a pass, the last with a rest.
TINY = [
    *("--characters", "3000", "--batch-size", "6", "--chunk-length", "30", "--hidden-size", "8", "--steps", "20"),
    *("--embedding-size", "5", "--log-every", "3", "--valid-every", "5"),
    *("--checkpoint-every", "4", "--cooldown-steps", "6", "--picture-every", "10", "--tracker", "none"),
]
MODELS = {
    "lstm": ["--num-layers", "2"],
    "gru": ["--model", "gru", "--embedding", "one-hot"],
    "rnn-tanh": ["--model", "rnn-tanh", "--text", "markov"],
    "rnn-relu": ["--model", "rnn-relu"],
    "ntm": [
        *("--model", "ntm", "--num-slots", "5", "--slot-size", "4", "--backend", "eager"),
        *("--characters", "1000", "--chunk-length", "10"),  # as many steps a pass, and shorter ones
    ],
}


def train(folder: Path, *more: object) -> int:
    return main(["train", "text", *TINY, "--out", str(folder), *map(str, more)])


def trainer_of(folder: Path, *more: object) -> Trainer[TextObjective]:
    config = parse_train(["text", *TINY, "--out", str(folder), *map(str, more)])
    return make_trainer(config, RunFolder.create(config), "id")
