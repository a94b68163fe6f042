"""Getting a model of stories back from its run's folder."""

import dataclasses
import json
from typing import TypedDict

from experiments.base.files import UserError, write_whole
from experiments.domains.stories.data import Sizes, StoryData
from experiments.domains.stories.models import make_model, make_models
from experiments.domains.stories.options import StoryConfig
from experiments.domains.stories.restarts import stack, unstack
from experiments.runs.checkpoint import finite_restarts, load_weights
from experiments.runs.folder import RunFolder
from memnet.story import StoryModel
from tasks.babi import Vocabulary


class _Vocabulary(TypedDict):
    stories: str
    vocab_size: int
    max_words: int
    max_sentences: int
    words: list[str]


def load(config: StoryConfig, folder: RunFolder) -> tuple[Vocabulary, StoryModel]:
    """The words and the model of a run: the chosen restart, or of the latest checkpoint the first that is finite."""
    vocabulary, sizes, _ = read_vocabulary(folder)
    if folder.weights.exists():
        model = make_model(config, sizes)
        load_weights(folder.weights, model)
        return vocabulary, model
    stacked = load_stacked(folder, config, sizes)
    first = finite_restarts(stacked, stacked.state_dict(), config.training.restarts)[0]
    return vocabulary, unstack(stacked, config.training.restarts, first)


def load_stacked(folder: RunFolder, config: StoryConfig, sizes: Sizes) -> StoryModel:
    """All restarts of the latest checkpoint as one stacked model, of a kept model itself; UserError as above."""
    stacked = stack(make_models(config, sizes))
    load_weights(folder.weights if folder.kept else folder.checkpoint, stacked, config.training.restarts)
    return stacked


def write_vocabulary(folder: RunFolder, data: StoryData) -> None:
    """Keep the words of a run, its sizes, and where its stories are from beside its configuration."""
    content = {"stories": data.name, **dataclasses.asdict(data.sizes), "words": data.vocabulary.to_list()}
    write_whole(folder.vocabulary, json.dumps(content, indent=1) + "\n")


def read_vocabulary(folder: RunFolder) -> tuple[Vocabulary, Sizes, str]:
    """What `write_vocabulary` kept: words, sizes, where from; UserError where the file is missing or damaged."""
    content = folder.read_vocabulary(_Vocabulary)
    sizes = Sizes(**{field.name: content[field.name] for field in dataclasses.fields(Sizes)})
    if sizes.vocab_size != len(content["words"]):
        raise UserError(f"{folder.vocabulary}: expected {sizes.vocab_size} words, not {len(content['words'])}")
    try:
        return Vocabulary.from_list(content["words"]), sizes, content["stories"]
    except ValueError as error:
        raise UserError(f"{folder.vocabulary}: {error}") from None
