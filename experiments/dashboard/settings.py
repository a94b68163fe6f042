"""What is published of a run's very setting."""

import dataclasses

from experiments.config import Config, TrainConfig
from experiments.files import UserError
from experiments.models import label
from experiments.paper_curves import curves_beside
from experiments.recipes import recipe
from experiments.summary import NOT_SETTING as OWN
from experiments.summary import published_tests

# What a run with a paper's settings may have other than its recipe: how long, and what is written down.
_FREE = ("steps", "valid_every", "valid_sequences", "test_sequences", "log_every", "checkpoint_every")


def is_papers(config: Config) -> bool:
    """Whether a run on a task of the NTM paper has that paper's settings, so that its numbers may stand beside."""
    if not isinstance(config, TrainConfig) or not config.recipe.startswith("paper/"):
        return False
    try:
        papers = recipe(config.recipe, config.task)
    except UserError:
        return False
    free = {name: getattr(config, name) for name in (*_FREE, *OWN)}
    return dataclasses.replace(papers, **free) == config


def paper_curve(config: Config) -> list[tuple[float, float]]:
    """The published learning curve of this very setting, in (thousand sequences, bits); empty where there is none."""
    if not is_papers(config):
        return []
    assert isinstance(config, TrainConfig)
    return curves_beside(config.task).get(label(config), [])


def paper_tests(config: Config) -> dict[str, float]:
    """The published bits per sequence of this very setting by test length; empty where there are none."""
    if not is_papers(config):
        return {}
    assert isinstance(config, TrainConfig)
    bits: dict[str, float] = published_tests(config.task).get("bits", {}).get(label(config), {})
    return bits
