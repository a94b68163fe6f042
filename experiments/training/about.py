"""What is told of a run of any kind: its configuration, how that differs from its recipe, and what its domain adds."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from experiments.base.files import UserError
from experiments.base.names import model_words
from experiments.config.form import Config, form_of, started
from experiments.runs.about import FORMAT, About, Reference, Score, Solved, Tests


def about_run(
    config: Config[Any],
    *,
    data: str,
    curve: tuple[str, str, str],
    parameters: int,
    last_step: int,
    by: str,
    unit: str,
    examples: str,
    scores: Sequence[Score],
    together: Literal["longest", "mean", "first"],
    names: Mapping[str, str] | None = None,
    trained: tuple[int, int] | None = None,
    failed_above: float | None = None,
    by_word: bool | None = None,
    solved: Solved | None = None,
    references: Sequence[Reference] = (),
    published: str = "",
) -> About:
    """See About, and Tests, of which `by` to `failed_above` are.

    curve: in what learning is measured: the end of a metric's name, the unit, and that on an axis.
    """
    metric, curve_unit, words = curve
    tests: Tests = {
        "by": by,
        "unit": unit,
        "examples": examples,
        "names": dict(names or {}),
        "trained": None if trained is None else list(trained),
        "failed_above": failed_above,
        "together": together,
        "scores": list(scores),
    }
    return {
        "format": FORMAT,
        "domain": config.domain,
        "task": config.task.short,
        "subject": config.subject,
        "label": config.label,
        "model": config.model_label,
        "model_words": model_words(config.model_label),
        "by_word": by_word,
        "recipe": config.recipe,
        "differences": differences(config),
        "setting": config.setting,
        "seed": config.run.seed,
        "examples": config.training.examples,
        "data": data,
        "parameters": parameters,
        "curve": {"metric": metric, "words": words, "unit": curve_unit},
        "solved": solved,
        "last_step": last_step,
        "may_end_early": config.training.may_end_early,
        "tests": tests,
        "references": list(references),
        "published": published,
        "files": config.files,
    }


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
