"""Names of commands, domains, tasks and models, and where what they stand for is: data, so that it imports nothing.

All of it stands in registry.yaml.
"""

import dataclasses
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from experiments.base.files import UserError
from experiments.base.names import nearest
from experiments.base.reading import read_own_yaml


@dataclasses.dataclass(frozen=True)
class Model:
    """Where a model's constructor is, and what its name says of it.

    place:    MODULE:NAME.
    fixed:    options that the name decides.
    only:     options that count for one value of another option alone: {"forget_bias": ("controller", "lstm")}.
    sizes:    what it calls otherwise than its domain does, of what the data tell: {"max_sentences": "longest_story"}.
    named_by: options that are part of its short name: ntm-lstm.
    peer:     where torch's own module of the same equations is, MODULE:NAME, to be timed beside it.
    """

    place: str
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    only: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    sizes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    named_by: tuple[str, ...] = ()
    peer: str = ""


@dataclasses.dataclass(frozen=True)
class Domain:
    """A form of examples.

    commands: the module of what is done with its runs, see experiments.training.domain.
    shown:    a run of it that is to be looked into, see experiments.training.showing.
    training: the dataclass of how its models are trained.
    models:   by name.
    sizes:    what its data tell a constructor that asks for it by name.
    reader:   what makes its model of one of sequences; "" where models of sequences are none of its.
    """

    commands: str
    shown: str
    training: str
    models: Mapping[str, Model]
    sizes: tuple[str, ...]
    reader: str = ""


def _model(told: Mapping[str, Any]) -> Model:
    only = {name: tuple(other) for name, other in told.get("only", {}).items()}
    return Model(**{**told, "only": only, "named_by": tuple(told.get("named_by", ()))})


_READ = read_own_yaml(Path(__file__).with_suffix(".yaml"), "the registry")
# What `--help` tells of all commands; where they are, and tasks, by families.
HELP: str = _READ["help"]
COMMANDS: dict[str, str] = _READ["commands"]
TASK_FAMILIES: dict[str, dict[str, str]] = _READ["tasks"]
TASKS = {name: place for family in TASK_FAMILIES.values() for name, place in family.items()}
_GROUPS = {
    group: {family: {name: _model(told) for name, told in models.items()} for family, models in families.items()}
    for group, families in _READ["models"].items()
}
MODEL_FAMILIES = {family: models for families in _GROUPS.values() for family, models in families.items()}


def _domain(told: Mapping[str, Any]) -> Domain:
    families = [family for group in told["models"] for family in _GROUPS[group].values()]
    models = {name: model for family in families for name, model in family.items()}
    return Domain(**{**told, "models": models, "sizes": tuple(told["sizes"])})


DOMAINS = {name: _domain(told) for name, told in _READ["domains"].items()}
SEQUENCE_SIZES = DOMAINS["sequences"].sizes


def entry(name: str, known: Mapping[str, Any], what: str) -> Any:
    """What is known by a name; UserError, with the nearest name, for none."""
    if name not in known:
        raise UserError(f"no {what} is called {name!r}{nearest(name, known)}")
    return known[name]


def at(place: str) -> Any:
    """What is at MODULE:NAME."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
