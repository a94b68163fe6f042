"""python -m experiments describe: what a trained run says of new scenes, or of a user's pictures."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import tyro

from experiments.base.files import UserError
from experiments.base.progress import working
from experiments.base.seeds import generator_for
from experiments.config.command_line import parse
from experiments.config.fields import check_least
from experiments.domains.captions.commands import FILMS, PICTURES, cards_of
from experiments.domains.captions.models import World
from experiments.domains.captions.picture_files import read_picture
from experiments.domains.captions.testing import captions_of, describe_scenes
from experiments.figures.captions import Card, captions_figure
from experiments.figures.style import is_figure, save_figure
from experiments.training.loading import load_run
from experiments.training.running import prepare
from memnet import Captioner


@dataclasses.dataclass(frozen=True)
class DescribeOptions:
    """Describe new scenes that no training has, and judge what is said; or describe pictures of your own."""

    run: tyro.conf.Positional[str]
    """The run's folder."""
    images: tyro.conf.Positional[tuple[str, ...]] = ()
    """Picture files (PNG, JPEG, GIF, BMP, WEBP, TIFF, PPM) of at most 50 million pixels, such as shapes on light paper;
    the middle square is made 32 pixels wide. None for scenes."""
    scenes: int | None = None
    """How many scenes; None for 16, or 6 films."""
    seed: int = 0
    """Another seed, other scenes."""
    temperature: float = 0.0
    """0 says the likeliest word each time; above it words are drawn, above 1 rather by chance."""
    out: str | None = None
    """The figure, a .png, .pdf or .svg file; None for figures/described.png in the run's folder."""


def describe(args: Sequence[str]) -> int:
    """Print a caption for every picture, and draw them."""
    options = parse(DescribeOptions, "describe", args)
    check_least(options, 1, "scenes")
    check_least(options, 0, "seed", "temperature")
    if options.images and options.scenes is not None:
        raise UserError("--scenes are drawn here, and picture files are yours: take one of them")
    out = Path(options.run) / "figures" / "described.png" if options.out is None else Path(options.out)
    if not is_figure(out) or (options.out is not None and not out.parent.is_dir()):
        raise UserError(f"--out {out}: expected the path of a .png, .pdf or .svg file in a folder that exists")
    prepare("cpu", 1)
    config, world, model = load_run(options.run, domain="captions")
    cards = _own(options, world, model) if options.images else _scenes(options, world, model)
    out.parent.mkdir(exist_ok=True)
    save_figure(captions_figure(cards, f"{config.label}, seed {config.run.seed}"), out)
    for place, card in enumerate(cards, start=1):
        name = options.images[place - 1] if options.images else f"scene {place}"
        judged = "" if card.right is None else ": right" if card.right else f": wrong, {card.reason}"
        print(f"{name}{judged}", *(f"  {sentence}" for sentence in card.sentences), sep="\n")
    print(f"figure {out}")
    return 0


@working("describing")
def _scenes(options: DescribeOptions, world: World, model: Captioner) -> list[Card]:
    count = options.scenes or (PICTURES if world.max_frames == 1 else FILMS)
    scenes, batch = world.sample(count, part="test", seed=("describe", options.seed))
    chance = generator_for("test", options.seed) if options.temperature else None
    return cards_of(describe_scenes(model, world, scenes, batch, chance, options.temperature))


@working("describing")
def _own(options: DescribeOptions, world: World, model: Captioner) -> list[Card]:
    if model.film:
        raise UserError(f"{options.run} describes films, and {options.images[0]} is a picture")
    images = np.stack([read_picture(path) for path in options.images])
    chance = generator_for("test", options.seed) if options.temperature else None
    captions = captions_of(model, world, torch.from_numpy(images), None, chance, options.temperature)
    return [Card(image, " ".join(words)) for image, words in zip(images, captions, strict=True)]
