"""From a configuration to a model of stories."""

from typing import Any

import torch

from experiments.base.files import UserError
from experiments.base.memory import no_model
from experiments.base.seeds import generator_for
from experiments.domains.stories.config import READERS, StoryConfig
from experiments.domains.stories.data import Sizes
from memnet import GRU, LSTM, NTM, RNN, EntNet, KeyValueMemoryNetwork, MemN2N, SequenceModule
from memnet.readers import StoryReader
from memnet.story import StoryModel


def make_models(config: StoryConfig, sizes: Sizes, beginning: int = 0) -> list[StoryModel]:
    """The untrained model of every restart, each from a random stream of its own; others for each beginning.

    UserError for sizes that cannot be.
    """
    with torch.random.fork_rng(devices=[]):
        models = []
        for restart in range(config.restarts):
            number = restart + beginning * config.restarts
            torch.set_rng_state(generator_for("weights", config.seed, number).get_state())
            models.append(make_model(config, sizes))
    return models


def make_model(config: StoryConfig, sizes: Sizes) -> StoryModel:
    """One untrained model, drawn from torch's global generator; UserError for sizes that cannot be."""
    try:
        if config.model in READERS:
            model: MemN2N | KeyValueMemoryNetwork | EntNet | StoryReader = _make_reader(config, sizes)
        elif config.model == "memn2n":
            model = _make_memn2n(config, sizes)
        elif config.model == "kv":
            model = _make_key_value(config, sizes)
        else:
            model = _make_entnet(config, sizes)
        model.backend = config.backend
    except (ValueError, RuntimeError) as error:
        raise UserError(no_model(error)) from None
    return model


def num_slots(config: StoryConfig, sizes: Sizes) -> int:
    """Sentences that a memory has room for: those of the longest training story, at most max_sentences."""
    return min(sizes.max_sentences, config.max_sentences or sizes.max_sentences)


def _make_memn2n(config: StoryConfig, sizes: Sizes) -> MemN2N:
    return MemN2N(
        sizes.vocab_size,
        max_words=sizes.max_words,
        embedding_size=config.embedding_size,
        num_hops=config.num_hops,
        tying=config.tying,
        encoding=config.encoding,
        max_sentences=num_slots(config, sizes),
        time_noise=config.time_noise,
        nonlinearity=config.nonlinearity,
        mask_empty=config.mask_empty,
        score_times=config.score_times,
    )


def _make_key_value(config: StoryConfig, sizes: Sizes) -> KeyValueMemoryNetwork:
    return KeyValueMemoryNetwork(
        sizes.vocab_size,
        max_words=sizes.max_words,
        embedding_size=config.embedding_size,
        num_hops=config.num_hops,
        memories=config.memories,
        window=config.window,
        encoding=config.encoding,
        tables=config.tables,
        max_sentences=num_slots(config, sizes),
    )


def _make_entnet(config: StoryConfig, sizes: Sizes) -> EntNet:
    return EntNet(
        sizes.vocab_size,
        max_words=sizes.max_words,
        embedding_size=config.embedding_size,
        num_slots=config.num_slots,
        gate_bias=config.gate_bias,
        normalization=config.normalization,
        mask_init=config.mask_init,
        # No weight belongs to an age: a test story may be longer than every training story.
        max_sentences=config.max_sentences or sizes.max_sentences,
    )


def _make_reader(config: StoryConfig, sizes: Sizes) -> StoryReader:
    width = sizes.vocab_size if config.embedding == "one-hot" else config.embedding_size
    sequence = _make_sequence(config, width, sizes.vocab_size)
    return StoryReader(sequence, sizes.vocab_size, embedding=config.embedding)


def _make_sequence(config: StoryConfig, input_size: int, output_size: int) -> SequenceModule:
    layers: dict[str, Any] = {"hidden_size": config.hidden_size, "num_layers": config.num_layers}
    if config.model == "lstm":
        return LSTM(input_size, output_size, **layers)
    if config.model == "gru":
        return GRU(input_size, output_size, **layers)
    if config.model == "rnn-tanh":
        return RNN(input_size, output_size, nonlinearity="tanh", **layers)
    return NTM(
        input_size,
        output_size,
        controller=config.controller,
        num_slots=config.num_slots,
        slot_size=config.slot_size,
        num_reads=config.num_reads,
        num_writes=config.num_writes,
        **layers,
    )
