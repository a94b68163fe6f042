"""From a configuration to a model of stories."""

from collections.abc import Callable

from experiments.base.files import UserError
from experiments.base.seeds import drawing_weights
from experiments.config.models import made
from experiments.domains.stories.data import Sizes
from experiments.domains.stories.options import StoryConfig
from memnet.abilities import ReadsWords
from memnet.readers import Embedding, StoryReader
from memnet.sequence import SequenceModule
from memnet.story import StoryModel


def read_words(
    make: Callable[[int, int], SequenceModule],
    vocab_size: int,
    *,
    embedding: Embedding = "learned",
    embedding_size: int = 50,
) -> StoryReader:
    """A model of sequences reads stories word by word.

    make: makes it of the sizes of its input and output.
    embedding: learned vectors for the words, one-hot ones, or tied ones, by which they are answered, too.
    embedding_size: learned and tied vectors: their width; of tied ones that of the model's last layer.
    """
    width = vocab_size if embedding == "one-hot" else embedding_size
    return StoryReader(make(width, vocab_size), vocab_size, embedding=embedding)


def make_models(config: StoryConfig, sizes: Sizes, beginning: int = 0) -> list[StoryModel]:
    """The untrained model of every restart, each from a random stream of its own; others for each beginning.

    UserError for sizes that cannot be.
    """
    models = []
    restarts = config.training.restarts
    for restart in range(restarts):
        with drawing_weights(config.run.seed, restart + beginning * restarts):
            models.append(make_model(config, sizes))
    return models


def make_model(config: StoryConfig, sizes: Sizes) -> StoryModel:
    """One untrained model, drawn from torch's global generator; UserError for sizes that cannot be."""
    if config.training.restarts > 1 and config.run.backend == "compile":
        raise UserError("--backend compile takes one restart at a time, not several: train several --seeds instead")
    longest = config.learned.max_sentences or sizes.max_sentences
    model: StoryModel = made(
        config,
        vocab_size=sizes.vocab_size,
        max_words=sizes.max_words,
        # A memory has room for the longest training story.
        max_sentences=min(sizes.max_sentences, longest),
        longest_story=longest,
    )
    if config.training.restarts > 1 and isinstance(model, ReadsWords):
        raise UserError(
            f"--restarts {config.training.restarts} cannot be combined with --model {config.model.short}, which reads "
            "word by word: train it with several --seeds instead"
        )
    return model
