"""Getting a model of stories back from its run's folder."""

import dataclasses
import json
from pathlib import Path
from typing import TypedDict

from experiments.base.files import UserError, write_whole
from experiments.domains.stories.data import Sizes, StoryData
from experiments.domains.stories.models import make_model, make_models
from experiments.domains.stories.options import StoryConfig
from experiments.domains.stories.restarts import stack, unstack
from experiments.runs.checkpoint import finite_restarts, load_weights
from experiments.runs.folder import RunFolder
from experiments.training.opening import read_config
from memnet.story import StoryModel
from tasks.babi import Vocabulary


class _Vocabulary(TypedDict):
    stories: str
    vocab_size: int
    max_words: int
    max_sentences: int
    words: list[str]


def load_story_run(run: str | Path) -> tuple[StoryConfig, Vocabulary, StoryModel]:
    """The configuration, words and model of a run on stories; of its restarts the chosen one.

    Where training has not ended, the model is the first restart of the latest checkpoint that is finite. UserError if
    there is no run on stories, or its files cannot be used.
    """
    folder = RunFolder(run)
    config = read_config(folder, "stories")
    vocabulary, sizes, _ = read_vocabulary(folder)
    if folder.weights.exists():
        model = make_model(config, sizes)
        load_weights(folder.weights, model)
        return config, vocabulary, model.eval()
    stacked = load_stacked(folder, config, sizes)
    first = finite_restarts(stacked, stacked.state_dict(), config.training.restarts)[0]
    return config, vocabulary, unstack(stacked, config.training.restarts, first).eval()


def load_stacked(folder: RunFolder, config: StoryConfig, sizes: Sizes) -> StoryModel:
    """All restarts of the latest checkpoint as one stacked model; UserError as above."""
    stacked = stack(make_models(config, sizes))
    load_weights(folder.checkpoint, stacked, config.training.restarts)
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
