"""How a run's setting differs from its recipe."""

import contextlib
import os
from typing import Any

from experiments.base.files import UserError
from experiments.config.form import Config, form_of, started


def differences(config: Config[Any]) -> str:
    """Every option in which a run's setting is not as its recipe has it, in words: "hidden size 20, skip on".

    The model and the recipe themselves are told elsewhere. Of one model and recipe two settings have the same words
    only where files of one name lie in two places.
    """
    own, given = _options(config), _options(_of_recipe(config))
    return ", ".join(_words(name, value) for name, value in own.items() if value != given.get(name))


def _of_recipe(config: Config[Any]) -> Config[Any]:
    """The configuration of the same recipe and model without any option.

    For a recipe that is gone it is the default one's.
    """
    chosen = {name: value for name, value in config.model.options.items() if isinstance(value, str)}
    chosen["model"] = config.model.name
    named = {name: config.model.options[name] for name in config.form.network.entry.named_by}
    for recipe in (config.recipe, None):
        with contextlib.suppress(UserError):
            return started(config.task.name, recipe, chosen).changed(**named)
    return form_of(config.task.name, config.model.name).read({"model": named}, config.task.name)


def _options(config: Config[Any]) -> dict[str, Any]:
    """The options that are part of a setting."""
    setting, known = config.setting, config.form.options
    return {
        name: value
        for part in ("task", "model", "training")
        for name, value in setting[part].items()
        if name in known[part]
    }


def _words(name: str, value: object) -> str:
    """An option and its value for people."""
    if value is None or isinstance(value, bool):
        told = {None: "not set", True: "on", False: "off"}[value]
    elif isinstance(value, str) and os.path.isabs(value):
        told = os.path.basename(value)
    else:
        told = str(value)
    return f"{name.replace('_', ' ')} {told}"
