"""Which runs are of one setting, and what tells settings apart."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from experiments.config import Config, TrainConfig
from experiments.files import UserError
from experiments.models import label
from experiments.paper_curves import curves_beside
from experiments.recipes import recipe
from experiments.stories.config import GENERATED, StoryConfig
from experiments.stories.summary import NOT_SETTING as STORY_OWN
from experiments.summary import NOT_SETTING as OWN
from experiments.summary import published_tests

Setting = dict[str, Any]

# What a run with a paper's settings may have other than its recipe: how long, and what is written down.
_FREE = ("steps", "valid_every", "valid_sequences", "test_sequences", "log_every", "checkpoint_every")
_NAMED = 3


def setting_of(config: Config) -> Setting:
    """Whatever runs of one setting have in common; runs on stories may differ in their tasks."""
    if isinstance(config, StoryConfig):
        own = {key: value for key, value in config.saved().items() if key not in STORY_OWN}
        joint = config.numbers if len(config.task_numbers) > 1 else None
        return own | {"joint": joint, "stories": GENERATED if config.babi_data == GENERATED else "released"}
    return {key: value for key, value in config.saved().items() if key not in OWN}


def differences(settings: Sequence[Setting]) -> list[str]:
    """For each of several settings the fields in which it is not like all others, in words."""
    fields = [name for name in settings[0] if len({repr(one.get(name)) for one in settings}) > 1]
    return [_words([f"{name.replace('_', ' ')} {one.get(name)}" for name in fields]) for one in settings]


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


def _words(parts: Sequence[str]) -> str:
    more = len(parts) - _NAMED
    return ", ".join([*parts[:_NAMED], *([f"and {more} more"] if more > 0 else [])])
