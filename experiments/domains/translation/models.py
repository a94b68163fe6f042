"""From a configuration to a model that translates, and back from a run's folder."""

import json
import math
from typing import NotRequired, TypedDict

from experiments.base.files import UserError, write_whole
from experiments.base.seeds import drawing_weights
from experiments.config.models import made
from experiments.domains.translation.data import TranslationData, Words
from experiments.domains.translation.options import TranslationConfig
from experiments.runs.checkpoint import load_weights
from experiments.runs.folder import RunFolder
from memnet import EncoderDecoder
from tasks.babi import Vocabulary


def make_model(config: TranslationConfig, words: Words, beginning: int = 0) -> EncoderDecoder:
    """The untrained model of a configuration, drawn from its seed, another for each beginning.

    UserError for sizes that cannot be.
    """
    with drawing_weights(config.run.seed, beginning):
        model: EncoderDecoder = made(config, source_size=len(words.source), target_size=len(words.target))
    return model


class _Vocabulary(TypedDict):
    sentences: str
    source: list[str]
    target: list[str]
    growth: NotRequired[float]
    max_words: NotRequired[int]


def load(config: TranslationConfig, folder: RunFolder) -> tuple[Words, EncoderDecoder]:
    """The words and the model of a run."""
    words, _ = read_words(folder)
    model = make_model(config, words)
    load_weights(folder.latest_weights, model)
    return words, model


def keep_words(folder: RunFolder, data: TranslationData) -> None:
    """Keep the words of a run, and where its sentences are from, beside its configuration.

    UserError where the run has other words already.
    """
    words = data.words
    if folder.vocabulary.exists() and read_words(folder)[0].to_lists() != words.to_lists():
        raise UserError(f"{folder.path} was trained on other sentences than {data.name} now holds")
    content = {"sentences": data.name, "growth": words.growth, **words.to_lists()}
    write_whole(folder.vocabulary, json.dumps(content, indent=1) + "\n")


def read_words(folder: RunFolder) -> tuple[Words, str]:
    """What `keep_words` kept; UserError where the file is missing or damaged."""
    content = folder.read_vocabulary(_Vocabulary)
    # Runs of earlier versions have one limit for all.
    growth = content.get("growth", content.get("max_words"))
    if growth is None or not 0 < growth < math.inf:
        raise UserError(f"{folder.vocabulary}: expected a finite growth above 0, not {growth}")
    try:
        source, target = (Vocabulary.from_list(content[side]) for side in ("source", "target"))
    except ValueError as error:
        raise UserError(f"{folder.vocabulary}: {error}") from None
    return Words(source, target, float(growth)), content["sentences"]
