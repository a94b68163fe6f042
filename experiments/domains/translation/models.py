"""From a configuration to a model."""

from experiments.base.files import UserError
from experiments.base.memory import no_model
from experiments.base.seeds import drawing_weights
from experiments.config.models import made
from experiments.domains.translation.config import TranslateConfig
from experiments.domains.translation.data import Words
from memnet import EncoderDecoder


def make_model(config: TranslateConfig, words: Words, beginning: int = 0) -> EncoderDecoder:
    """The untrained model of a configuration, drawn from its seed, another for each beginning.

    UserError for sizes that cannot be.
    """
    with drawing_weights(config.seed, beginning):
        try:
            model: EncoderDecoder = made(config, source_size=len(words.source), target_size=len(words.target))
        except (ValueError, RuntimeError) as error:
            raise UserError(no_model(error)) from None
    return model
