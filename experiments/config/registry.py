"""Names of commands, tasks and domains, and where what they stand for is: data, so that a name imports nothing."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from experiments.base.files import UserError
from experiments.base.names import nearest

# Where a command is, MODULE:NAME.
COMMANDS = {
    "train": "experiments.commands.runs:train",
    "evaluate": "experiments.commands.runs:evaluate",
    "show": "experiments.commands.runs:show",
    "ask": "experiments.domains.stories.ask:ask",
    "sample": "experiments.domains.text.sampling:sample",
    "translate": "experiments.domains.translation.translate:translate",
    "describe": "experiments.domains.captions.describe:describe",
    "summarize": "experiments.report.summary:summarize",
    "report": "experiments.report.command:report",
    "benchmark": "experiments.benchmark.commands:benchmark",
    "suite": "experiments.suite.commands:suite",
    "sync": "experiments.commands.sync:sync",
    "gradients": "experiments.gradients.command:gradients",
    "dashboard": "experiments.dashboard.command:dashboard",
    "inspect": "experiments.inspector.command:inspect",
    "recipes": "experiments.commands.recipes:recipes",
}
# The module of a domain's commands, see experiments.training.domain.
DOMAINS = {
    "sequences": "experiments.domains.sequences.commands",
    "stories": "experiments.domains.stories.commands",
    "text": "experiments.domains.text.commands",
    "translation": "experiments.domains.translation.commands",
    "captions": "experiments.domains.captions.commands",
}
# What prints a domain's recipes of papers.
RECIPES = {
    "sequences": "experiments.domains.sequences.recipes:table",
    "stories": "experiments.domains.stories.recipes:story_table",
}
# The domain of a task.
TASKS = {
    "copy": "sequences",
    "repeat-copy": "sequences",
    "associative-recall": "sequences",
    "dynamic-ngrams": "sequences",
    "priority-sort": "sequences",
    "adding": "sequences",
    "copy-memory": "sequences",
    "temporal-order": "sequences",
    "agreement": "sequences",
    "babi": "stories",
    "world-model": "stories",
    "text": "text",
    "translate": "translation",
    "captions": "captions",
    "moving-captions": "captions",
    "caption-story": "captions",
}


def entry(name: str, known: Mapping[str, str], what: str) -> str:
    """What is known by a name; UserError, with the nearest name, for none."""
    if name not in known:
        raise UserError(f"no {what} is called {name!r}{nearest(name, known)}")
    return known[name]


def at(place: str) -> Any:
    """What is at MODULE:NAME."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
