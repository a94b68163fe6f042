"""From a configuration to a model of text, and back from a run's folder."""

import dataclasses
import json
from collections.abc import Callable
from typing import TypedDict

from experiments.base.files import UserError, write_whole
from experiments.base.seeds import drawing_weights
from experiments.config.models import made
from experiments.domains.text.data import Alphabet, TextData
from experiments.domains.text.options import TextConfig
from experiments.runs.checkpoint import load_weights
from experiments.runs.folder import RunFolder
from memnet import LanguageModel
from memnet.readers import Embedding
from memnet.sequence import SequenceModule


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


def read_characters(
    make: Callable[[int, int], SequenceModule],
    num_symbols: int,
    *,
    embedding: Embedding = "learned",
    embedding_size: int = 32,
) -> LanguageModel:
    """A model of sequences foretells the next character.

    make: makes it of the sizes of its input and output.
    embedding: learned vectors for the characters; tied ones, by which they are foretold, too; or one-hot ones,
        which begin to learn much later.
    embedding_size: learned and tied vectors: their width; of tied ones that of the model's last layer.
    """
    width = num_symbols if embedding == "one-hot" else embedding_size
    return LanguageModel(make(width, num_symbols), embedding=embedding)


def make_model(config: TextConfig, symbols: int, beginning: int = 0) -> LanguageModel:
    """The untrained model of a configuration, drawn from its seed, another for each beginning.

    UserError for sizes that cannot be.
    """
    with drawing_weights(config.run.seed, beginning):
        model: LanguageModel = made(config, num_symbols=symbols)
    return model


def load(config: TextConfig, folder: RunFolder) -> tuple[Known, LanguageModel]:
    """The text and the model of a run."""
    known = read_known(folder)
    model = make_model(config, len(known.alphabet))
    load_weights(folder.latest_weights, model)
    return known, model


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


def own_text(folder: RunFolder, config: TextConfig, known: Known) -> TextData:
    """The text that a run was trained on; UserError where it is not what it was."""
    data: TextData = config.learned.data()
    if data.digest != known.digest:
        raise UserError(
            f"{config.learned.text} has changed since {folder.path} was trained on it; give a file with --text"
        )
    return data
