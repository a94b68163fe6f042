"""Tasks and models of a user, MODULE:NAME or FILE.py:NAME, beside those of the registry."""

import hashlib
import inspect
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from experiments.base.files import UserError
from experiments.config.options import options_of, unannotated
from experiments.config.registry import at, entry
from memnet.cells import Cell
from memnet.sequence import SequenceModule
from tasks.places import found, told

__all__ = ["digest", "find", "find_model", "find_task", "is_of_module", "is_place", "settled", "told"]


def find(name: str, known: Mapping[str, str], what: str) -> Any:
    """What a name of the registry or a place stands for; UserError for what is neither, or cannot be imported."""
    if not is_place(name):
        return at(entry(name, known, what))
    try:
        return found(name)
    except ValueError as error:
        raise UserError(f"{what} {error}") from None


def is_place(name: str) -> bool:
    """Whether a name says where something of a user's is."""
    return ":" in name


def find_task(name: str, known: Mapping[str, str]) -> Any:
    """The class of a task; UserError also for what is none."""
    kind = find(name, known, "task")
    if not (inspect.isclass(kind) and isinstance(getattr(kind, "domain", None), str)):
        raise UserError(f"{name} is no task: expected a class of tasks.Task, not {kind!r}")
    _check_annotated(name, kind)
    return kind


def find_model(place: str) -> Any:
    """What makes a user's model: a class of one, also of a cell alone; UserError also for what is none."""
    make = find(place, {}, "model")
    if not _is_module_class(make):
        raise UserError(f"{place} is no model: expected a class of torch.nn.Module, not {make!r}")
    _check_annotated(place, make)
    if issubclass(make, Cell):
        own = {"cell_type": make, "__doc__": make.__doc__, "__module__": make.__module__}
        return type(make.__name__, (SequenceModule,), own)
    return make


def is_of_module(what: Any) -> bool:
    """Whether something is a module, or a class of some, perhaps a partial one; no function, whatever that may do."""
    make = what.func if isinstance(what, partial) else what
    return isinstance(make, nn.Module) or _is_module_class(make)


def settled(name: str) -> str:
    """A name that means the same from every folder."""
    place, colon, last = name.partition(":")
    return f"{Path(place).resolve()}{colon}{last}" if place.endswith(".py") else name


def digest(name: str) -> str | None:
    """What tells the file at a place from what it was when a run began, None for a module that has none."""
    place = name.partition(":")[0]
    file = place if place.endswith(".py") else getattr(import_module(place), "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16] if file is not None else None


def _is_module_class(what: Any) -> bool:
    return inspect.isclass(what) and issubclass(what, nn.Module)


def _check_annotated(name: str, make: Any) -> None:
    """UserError for an option without a type; one called as what it would belong to could not be told apart."""
    try:
        lacking = unannotated(make)
    except Exception as error:  # whatever evaluating an annotation raises, from a line of no file
        raise UserError(f"{name}: its annotations cannot be read: {told(error.with_traceback(None))}") from None
    if lacking:
        raise UserError(f"{name}: its option {lacking[0]} has no annotation, expected a type: {lacking[0]}: int = ...")
    if "name" in options_of(make):
        raise UserError(f"{name}: its option name clashes with its own name; expected it called otherwise")
