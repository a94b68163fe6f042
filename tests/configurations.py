"""Configurations by what the command line calls their options."""

from __future__ import annotations

import dataclasses
from typing import Any

from experiments.config.form import Config, form_of
from experiments.config.parts import Where
from experiments.config.plugins import find_task
from experiments.config.recipes import DEFAULT, settings_of
from experiments.config.registry import TASKS

WHERE = {field.name for field in dataclasses.fields(Where)}


def configured(task: str, **options: Any) -> Config[Any]:
    """What a domain begins with, without the task's own recipe, and those of the options that task and model have."""
    chosen = {name: value for name, value in options.items() if isinstance(value, str)}
    parts = settings_of(find_task(task, TASKS).domain, "", DEFAULT, chosen)
    form = form_of(task, parts["model"].pop("name"))
    options = {name: value for name, value in options.items() if name in {*form.spelled, *WHERE}}
    kept = {name: value for name, value in parts["model"].items() if name in form.options["model"]}
    return form.read({**parts, "model": kept}, task).changed(**options)
