"""From a configuration to a model of text, and back from a run's folder."""

import dataclasses
import json
from pathlib import Path
from typing import TypedDict

from experiments.base.files import UserError, write_whole
from experiments.base.memory import no_model
from experiments.base.seeds import drawing_weights
from experiments.config.models import made
from experiments.config.parts import from_yaml
from experiments.domains.text.config import TextConfig
from experiments.domains.text.data import Alphabet, TextData
from experiments.runs.checkpoint import load_weights
from experiments.runs.folder import RunFolder
from memnet import LanguageModel


@dataclasses.dataclass(frozen=True)
class Known:
    """What a run keeps of its text.

    text: what it is called. digest: tells it from other texts. entropy_rate: in bits, None where it is not known.
    """

    text: str
    digest: str
    alphabet: Alphabet
    entropy_rate: float | None


class _Vocabulary(TypedDict):
    text: str
    digest: str
    entropy_rate: float | None
    characters: str


def make_model(config: TextConfig, symbols: int, beginning: int = 0) -> LanguageModel:
    """The untrained model of a configuration, drawn from its seed, another for each beginning.

    UserError for sizes that cannot be.
    """
    input_size = symbols if config.embedding == "one-hot" else config.embedding_size
    try:
        with drawing_weights(config.seed, beginning):
            model = LanguageModel(made(config, input_size=input_size, output_size=symbols), embedding=config.embedding)
        model.backend = config.backend
    except (ValueError, RuntimeError) as error:
        raise UserError(no_model(error)) from None
    return model


def load_text_run(run: str | Path, device: str = "cpu") -> tuple[TextConfig, Known, LanguageModel]:
    """The configuration, text and model of a run; the latest checkpoint's model where training has not ended.

    UserError if there is no run on text, or its files cannot be used.
    """
    folder = RunFolder(run)
    config = from_yaml(folder.config)
    if not isinstance(config, TextConfig):
        raise UserError(f"{folder.path} is a run on {config.task}, not on text")
    known = read_known(folder)
    model = make_model(config, len(known.alphabet))
    load_weights(folder.latest_weights, model)
    return config, known, model.to(device).eval()


def write_known(folder: RunFolder, data: TextData) -> None:
    """Keep what a run's text is called, and its characters, beside its configuration."""
    content = {
        "text": data.name,
        "digest": data.digest,
        "entropy_rate": data.entropy_rate,
        "characters": data.alphabet.characters,
    }
    write_whole(folder.vocabulary, json.dumps(content, indent=1) + "\n")


def read_known(folder: RunFolder) -> Known:
    """What `write_known` kept; UserError where the file is missing or damaged."""
    content = folder.read_vocabulary(_Vocabulary)
    characters = content["characters"]
    if not characters or len(set(characters)) < len(characters):
        raise UserError(f"{folder.vocabulary}: expected characters, each once")
    return Known(content["text"], content["digest"], Alphabet(characters), content["entropy_rate"])
