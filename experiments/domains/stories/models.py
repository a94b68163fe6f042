"""From a configuration to a model of stories."""

from experiments.base.files import UserError
from experiments.base.memory import no_model
from experiments.base.seeds import drawing_weights
from experiments.config.models import made
from experiments.domains.stories.config import READERS, StoryConfig
from experiments.domains.stories.data import Sizes
from memnet import EntNet, KeyValueMemoryNetwork, MemN2N
from memnet.readers import StoryReader
from memnet.story import StoryModel


def make_models(config: StoryConfig, sizes: Sizes, beginning: int = 0) -> list[StoryModel]:
    """The untrained model of every restart, each from a random stream of its own; others for each beginning.

    UserError for sizes that cannot be.
    """
    models = []
    for restart in range(config.restarts):
        with drawing_weights(config.seed, restart + beginning * config.restarts):
            models.append(make_model(config, sizes))
    return models


def make_model(config: StoryConfig, sizes: Sizes) -> StoryModel:
    """One untrained model, drawn from torch's global generator; UserError for sizes that cannot be."""
    slots = num_slots(config, sizes)
    longest = config.max_sentences or sizes.max_sentences
    words = {"vocab_size": sizes.vocab_size, "max_words": sizes.max_words}
    try:
        if config.model in READERS:
            width = sizes.vocab_size if config.embedding == "one-hot" else config.embedding_size
            sequence = made(config, input_size=width, output_size=sizes.vocab_size)
            model: MemN2N | KeyValueMemoryNetwork | EntNet | StoryReader = StoryReader(
                sequence, sizes.vocab_size, embedding=config.embedding
            )
        else:
            model = made(config, **words, max_sentences=slots, longest_story=longest)
        model.backend = config.backend
    except (ValueError, RuntimeError) as error:
        raise UserError(no_model(error)) from None
    return model


def num_slots(config: StoryConfig, sizes: Sizes) -> int:
    """Sentences that a memory has room for: those of the longest training story, at most max_sentences."""
    return min(sizes.max_sentences, config.max_sentences or sizes.max_sentences)
