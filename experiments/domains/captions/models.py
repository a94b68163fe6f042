"""From a configuration to a model of captions, and back from a run's folder."""

from typing import Any

from experiments.base.seeds import drawing_weights
from experiments.config.models import made
from experiments.domains.captions.options import CaptionConfig
from experiments.runs.checkpoint import load_weights
from experiments.runs.folder import RunFolder
from memnet import Captioner
from tasks.captions import CaptionWorld
from tasks.captions.things import SIDE

World = CaptionWorld[Any]


def make_model(config: CaptionConfig, beginning: int = 0) -> Captioner:
    """The untrained model of a configuration, drawn from its seed, another for each beginning.

    UserError for sizes that cannot be.
    """
    world: World = config.learned
    sizes = {"vocab_size": len(world.words) + 1, "image_size": SIDE, "film": world.max_frames > 1}
    with drawing_weights(config.run.seed, beginning):
        model: Captioner = made(config, **sizes)
    return model


def load(config: CaptionConfig, folder: RunFolder) -> tuple[World, Captioner]:
    """The world and the model of a run."""
    model = make_model(config)
    load_weights(folder.latest_weights, model)
    return config.learned, model
