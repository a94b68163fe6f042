"""From a configuration to a model."""

from experiments.base.seeds import drawing_weights
from experiments.config.models import made
from experiments.domains.translation.data import Words
from experiments.domains.translation.options import TranslationConfig
from memnet import EncoderDecoder


def make_model(config: TranslationConfig, words: Words, beginning: int = 0) -> EncoderDecoder:
    """The untrained model of a configuration, drawn from its seed, another for each beginning.

    UserError for sizes that cannot be.
    """
    with drawing_weights(config.run.seed, beginning):
        model: EncoderDecoder = made(config, source_size=len(words.source), target_size=len(words.target))
    return model
