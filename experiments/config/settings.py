"""What a run's setting is, and how it differs from its recipe."""

import contextlib
import dataclasses
import os
from typing import Any

from experiments.base.files import UserError
from experiments.config.command_line import start_of
from experiments.config.fields import TRACKING
from experiments.config.models import lacking
from experiments.config.parts import NOT_SETTING, Config, TrainConfig
from experiments.domains.sequences.recipes import CHOICES
from experiments.domains.stories.config import GENERATED, StoryConfig

Setting = dict[str, Any]

# What runs on stories of one setting may differ in; sentences that are read are as many as a task needs.
_STORY_OWN = (
    *("numbers", "seed", "max_sentences", "babi_data", "test_questions", "device", "threads", "backend"),
    *(*TRACKING, "log_every", "valid_every", "checkpoint_every", "picture_every"),
)


def setting_of(config: Config) -> Setting:
    """Whatever runs of one setting have in common; runs on stories may differ in their tasks.

    Options that only other models have are no part of it.
    """
    if isinstance(config, StoryConfig):
        own = {key: value for key, value in config.saved().items() if key not in _STORY_OWN}
        joint = config.numbers if len(config.task_numbers) > 1 else None
        return own | {"joint": joint, "stories": GENERATED if config.babi_data == GENERATED else "released"}
    left_out = (*NOT_SETTING, *(lacking(config) if isinstance(config, TrainConfig) else ()))
    return {key: value for key, value in config.saved().items() if key not in left_out}


def differences(config: Config) -> str:
    """Every field in which a run's setting is not as its recipe has it, in words: "hidden size 20, skip on".

    The model and the recipe themselves are told elsewhere. Of one model and recipe two settings have the same words
    only where files of one name lie in two places.
    """
    own, given = setting_of(config), setting_of(_of_recipe(config))
    return ", ".join(_words(name, value) for name, value in own.items() if value != given[name])


def _of_recipe(config: Config) -> Config:
    """The configuration of the same recipe and model without any option.

    For a recipe that is gone it is the default one's, for a model that is gone what every option is by itself.
    """
    chosen = {name: str(getattr(config, name)) for name in CHOICES if hasattr(config, name)}
    start: Config = type(config)(config.task)  # type: ignore[arg-type]
    for recipe in (config.recipe, None):
        with contextlib.suppress(UserError):
            start = start_of(config.task, recipe, chosen)
            break
    same: dict[str, Any] = {name: getattr(config, name) for name in ("recipe", "model", "controller")}
    if isinstance(config, StoryConfig) and config.task == "babi":
        same["babi_data"] = GENERATED if config.recipe == "default" else "released"
    return dataclasses.replace(start, **{name: value for name, value in same.items() if name in _fields(start)})


def _fields(config: Config) -> set[str]:
    return {field.name for field in dataclasses.fields(config)}


def _words(name: str, value: object) -> str:
    """An option and its value for people."""
    if value is None or isinstance(value, bool):
        told = {None: "not set", True: "on", False: "off"}[value]
    elif isinstance(value, str) and os.path.isabs(value):
        told = os.path.basename(value)
    else:
        told = str(value)
    return f"{name.replace('_', ' ')} {told}"
