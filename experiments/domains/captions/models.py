"""From a configuration to a model of captions, and back from a run's folder."""

from pathlib import Path
from typing import Any

from experiments.base.files import UserError
from experiments.base.memory import no_model
from experiments.base.seeds import drawing_weights
from experiments.config.models import made
from experiments.config.parts import from_yaml
from experiments.domains.captions.config import CaptionConfig
from experiments.runs.checkpoint import load_weights
from experiments.runs.folder import RunFolder
from memnet import Captioner
from tasks.captions import WORLDS, CaptionWorld
from tasks.captions.things import SIDE

World = CaptionWorld[Any]


def make_world(config: CaptionConfig) -> World:
    """Where the scenes of a configuration are from."""
    return WORLDS[config.task](config.things)


def make_model(config: CaptionConfig, beginning: int = 0) -> Captioner:
    """The untrained model of a configuration, drawn from its seed, another for each beginning.

    UserError for sizes that cannot be.
    """
    world = make_world(config)
    with drawing_weights(config.seed, beginning):
        try:
            model: Captioner = made(config, vocab_size=len(world.words) + 1, image_size=SIDE, film=world.max_frames > 1)
        except (ValueError, RuntimeError) as error:
            raise UserError(no_model(error)) from None
    return model


def load_caption_run(run: str | Path, device: str = "cpu") -> tuple[CaptionConfig, World, Captioner]:
    """The configuration, world and model of a run; the latest checkpoint's model where training has not ended.

    UserError if there is no run on captions, or its files cannot be used.
    """
    folder = RunFolder(run)
    config = from_yaml(folder.config)
    if not isinstance(config, CaptionConfig):
        raise UserError(f"{folder.path} is a run on {config.task}, not on captions")
    model = make_model(config)
    load_weights(folder.latest_weights, model)
    return config, make_world(config), model.to(device).eval()
