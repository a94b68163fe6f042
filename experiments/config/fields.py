"""What the configurations of all kinds of runs share: strict reading, the checks of single fields, options of W&B."""

import dataclasses
import math
import os
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_args

from experiments.base.files import UserError

WHERE_FROM = ("out", "config", "resume", "seeds", "together", "wandb_prefix")

# Parts that are built one after another, and threads: what is beyond these is a mistake, and would never be done.
_MOST = {"num_layers": 1000, "num_hops": 1000, "restarts": 1000, "threads": 1024}

# Where the command line does not say what the field is called.
_SPELLED = {"numbers": "task"}

Configuration = TypeVar("Configuration")
Value = TypeVar("Value")
_MARK = "changeable"
# An option that a resumed run may have another value of than the run it continues.
Changeable: TypeAlias = Annotated[Value, _MARK]


@dataclasses.dataclass(frozen=True)
class WandbOptions:
    """With --tracker wandb. W&B's own variables, WANDB_PROJECT and so on, win over all but --wandb-mode."""

    wandb_mode: Literal["offline", "online", "disabled"] | None = None
    """Offline, online or disabled; None for WANDB_MODE, else offline, or online for an agent of a sweep."""
    wandb_project: str | None = None
    """Project; None for memnet."""
    wandb_entity: str | None = None
    """User or team; None for the key's own."""
    wandb_group: str | None = None
    """Group; None for one of all runs with this setting, seeds alone apart."""
    wandb_tags: str | None = None
    """Tags, separated by commas, besides task and model."""
    wandb_notes: str | None = None
    """What is to be noted of the run."""
    wandb_name: str | None = None
    """What the run is called; None for the name of its folder."""
    wandb_prefix: str | None = None
    """In a script with a W&B run open: log into it, as PREFIX/train/loss and so on; None for a run of its own."""


WANDB = WandbOptions()
# How a run is followed, which changes nothing of it.
TRACKING = ("tracker", *(field.name for field in dataclasses.fields(WandbOptions)))


def option(name: str) -> str:
    """The command line's spelling of a field."""
    return "--" + _SPELLED.get(name, name).replace("_", "-")


def saved_fields(config: Any) -> dict[str, Any]:
    """Plain data for config.yaml and the tracker: everything but where this run came from and went."""
    saved: dict[str, Any] = {}
    for key, value in dataclasses.asdict(config).items():
        saved |= value if isinstance(value, dict) else {key: value}
    return {key: value for key, value in saved.items() if key not in WHERE_FROM}


def fields_of(kind: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a configuration, each of them an option, those of its parts among them."""
    return [
        one
        for field in dataclasses.fields(kind)
        for one in (fields_of(field.default) if dataclasses.is_dataclass(field.default) else [field])
    ]


def changeable(kind: Any) -> set[str]:
    """The names of the fields that are marked so, and of those in a part that is."""
    marked = [field for field in dataclasses.fields(kind) if _MARK in getattr(field.type, "__metadata__", ())]
    parts = [field.default for field in marked if dataclasses.is_dataclass(field.default)]
    return {field.name for field in (*marked, *(one for part in parts for one in dataclasses.fields(part)))}


def from_fields(kind: type[Configuration], content: dict[str, Any], source: str) -> Configuration:
    """A configuration from plain data, checked field by field; `source` names it in a UserError."""
    fields = {field.name: field for field in fields_of(kind) if field.name not in WHERE_FROM}
    values: dict[str, Any] = {}
    for name, value in content.items():
        if name not in fields:
            raise UserError(f"{source}: no field is called {name!r}")
        accepted = fields[name].type
        whole = isinstance(value, int) and not isinstance(value, bool)
        if whole and _accepts(accepted, 0.0) and not _accepts(accepted, value):
            value = float(value)
        if not _accepts(accepted, value):
            raise UserError(f"{source}: {name} cannot be {value!r}")
        values[name] = value
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if dataclasses.is_dataclass(part := field.default):
            own = {one.name: values.pop(one.name) for one in dataclasses.fields(part) if one.name in values}
            values[field.name] = dataclasses.replace(part, **own)  # type: ignore[type-var]
    config = kind(**values)
    try:
        check_values(config)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    return config


def absolute_paths(config: Configuration, *names: str) -> Configuration:
    """The configuration with the paths in these fields made absolute, so that it means the same everywhere."""
    paths = {name: os.path.abspath(path) for name in names if (path := getattr(config, name)) is not None}
    return dataclasses.replace(config, **paths)  # type: ignore[type-var]


def check_least(config: Any, minimum: int, *names: str) -> None:
    """UserError for a whole number below `minimum`; None passes."""
    for name in names:
        value = getattr(config, name)
        if value is not None and value < minimum:
            raise UserError(f"{option(name)} must be at least {minimum}, not {value}")


def check_positive(config: Any, *names: str) -> None:
    """UserError for anything but a finite number above zero; None passes."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise UserError(f"{option(name)} must be a finite number above 0, not {value}")


def check_values(config: Any) -> None:
    """UserError for what no option takes: an empty text, or a number that is infinite, none at all, or too large.

    An empty text is what "$UNSET" gives; only an option that is empty by default takes one.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            check_values(value)
        for one in value if isinstance(value, tuple | list) else (value,):
            if one == "" and field.default != "":
                raise UserError(f"{option(field.name)} must not be empty")
            if isinstance(one, float) and not math.isfinite(one):
                raise UserError(f"{option(field.name)} must be a finite number, not {one}")
            if isinstance(one, int) and not -(2**63) <= one < 2**63:
                raise UserError(f"{option(field.name)} must be a whole number of at most 64 bits, not {one}")
            if isinstance(one, int) and one > (most := _MOST.get(field.name, one)):
                raise UserError(f"{option(field.name)} must be at most {most:,}, not {one:,}")


def _accepts(kind: Any, value: Any) -> bool:
    """Whether a value is of a field's type (the plain types, Literal and unions that configurations use)."""
    choices = get_args(kind)
    if not choices:
        return type(value) is kind or (kind is None and value is None)
    if getattr(kind, "__origin__", None) is Literal:
        return value in choices
    if hasattr(kind, "__metadata__"):
        return _accepts(choices[0], value)
    return any(_accepts(choice, value) or (choice is type(None) and value is None) for choice in choices)
