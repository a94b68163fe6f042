"""From a configuration to a model."""

from typing import Any

import torch

from experiments.base.files import UserError
from experiments.base.memory import no_model
from experiments.base.seeds import generator_for
from experiments.config.fields import gate_options
from experiments.domains.translation.config import TranslateConfig
from experiments.domains.translation.data import Words
from memnet import AttentionEncoderDecoder, EncoderDecoder


def make_model(config: TranslateConfig, words: Words, beginning: int = 0) -> EncoderDecoder:
    """The untrained model of a configuration, drawn from its seed, another for each beginning.

    UserError for sizes that cannot be.
    """
    sizes = len(words.source), len(words.target)
    common: dict[str, Any] = {
        "embedding_size": config.embedding_size,
        "hidden_size": config.hidden_size,
        "num_layers": config.num_layers,
        "reverse": config.reverse,
        **gate_options(config, config.controller),
    }
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator_for("weights", config.seed, beginning).get_state())
        try:
            if config.model == "attention":
                return AttentionEncoderDecoder(*sizes, controller=config.controller, scores=config.scores, **common)
            return EncoderDecoder(*sizes, controller=config.controller, context=config.context, **common)
        except (ValueError, RuntimeError) as error:
            raise UserError(no_model(error)) from None
