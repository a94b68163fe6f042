"""What a module was built with: by its constructor's signature, for who shows it, writes it down or builds it again."""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

from torch import nn


class _Unwritable(NamedTuple):
    """A setting that is no plain value, and how it looks."""

    shown: str


class Described(nn.Module):
    """A module that knows what it was built with, and whose repr tells what it keeps of that as attributes: sizes, and
    what is not the default.
    """

    _given: tuple[list[Any], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        module = super().__new__(cls)
        given = [_plain(value) for value in args], {name: _plain(value) for name, value in kwargs.items()}
        object.__setattr__(module, "_given", given)
        return module

    def settings(self) -> dict[str, Any]:
        """All parameters of the constructor as plain values, as JSON has them; those left out by their defaults.

        A module among them is {"class": its name, "path": its module and name within it, "settings": its own}, a class
        of modules the same without settings. Raises TypeError for one that is neither or is not found at its path, and
        for a parameter that cannot be given by name.
        """
        args, options = self._given
        bound = inspect.signature(type(self)).bind(*args, **options)
        bound.apply_defaults()
        found: dict[str, Any] = {}
        for name, parameter in bound.signature.parameters.items():
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
                raise TypeError(f"{type(self).__name__} takes {name} by position alone, but settings go by name")
            value = bound.arguments[name]
            found |= value if parameter.kind is parameter.VAR_KEYWORD else {name: _plain(value)}
        for name, value in found.items():
            if isinstance(value, _Unwritable):
                raise TypeError(f"{type(self).__name__} was built with a {name} that cannot be written: {value.shown}")
        return found

    def extra_repr(self) -> str:
        told = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name, None)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if whole or (isinstance(value, str | float | bool) and value != parameter.default):
                told.append(f"{name}={value!r}")
        return ", ".join(told)


def build(kind: type[nn.Module], settings: Mapping[str, Any]) -> Any:
    """A module of this class from what `settings` gave.

    Lists stay so, but where the parameter's default or annotation is a tuple. Nothing is imported: classes are found
    among those that are there by their path, else by their name.
    Raises TypeError or ValueError for settings that the class does not take, or that name no class or several.
    """
    signature = inspect.signature(kind)
    values = {name: _value(value, _sequence(signature.parameters.get(name))) for name, value in settings.items()}
    signature.bind(**values)
    return kind(**values)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str | _Unwritable):
        return value
    if isinstance(value, list | tuple):
        values = [_plain(one) for one in value]
        return _Unwritable(repr(value)) if any(isinstance(one, _Unwritable) for one in values) else values
    if isinstance(value, Described):
        try:
            return _named(type(value), {"settings": value.settings()})
        except TypeError as error:
            return _Unwritable(str(error))
    if isinstance(value, type) and issubclass(value, Described):
        return _named(value, {})
    # What was plain already, as settings of a module are.
    return value if isinstance(value, dict) and "class" in value else _Unwritable(repr(value))


def _sequence(parameter: inspect.Parameter | None) -> type[list[Any]] | type[tuple[Any, ...]]:
    """What a parameter takes lists as. Its annotation may be a text, so it is read as one, up to its brackets."""
    if parameter is None:
        return list
    annotation = re.sub(r"\[.*\]", "", str(parameter.annotation))
    told = isinstance(parameter.default, tuple) or re.search(r"\btuple\b", annotation, re.IGNORECASE)
    return tuple if told else list


def _value(plain: Any, sequence: type[list[Any]] | type[tuple[Any, ...]]) -> Any:
    if isinstance(plain, list):
        return sequence(_value(one, sequence) for one in plain)
    if not isinstance(plain, dict):
        return plain
    kind = _class_of(plain)
    return build(kind, plain["settings"]) if isinstance(plain.get("settings"), dict) else kind


def _named(kind: type[Described], more: Mapping[str, Any]) -> Any:
    if not _is_at_its_path(kind):
        return _Unwritable(f"{_path(kind)}, which is not what is found by that name")
    return {"class": kind.__name__, "path": _path(kind), **more}


def _class_of(plain: Mapping[str, Any]) -> type[Described]:
    name, path = plain.get("class"), plain.get("path")
    known = {one for one in _subclasses(Described) if _is_at_its_path(one)}
    found = {one for one in known if _path(one) == path} or {one for one in known if one.__name__ == name}
    if not found:
        raise ValueError(f"there is no class of modules {name!r}: import it first, if it is yours")
    if len(found) > 1:
        raise ValueError(f"several classes of modules are called {name!r}: {', '.join(sorted(map(_path, found)))}")
    return found.pop()


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_at_its_path(kind: type) -> bool:
    """Whether its module has it by its name, as it has none that a function made, nor one that was defined anew."""
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is kind


def _subclasses(kind: type[Described]) -> Iterator[type[Described]]:
    for one in kind.__subclasses__():
        yield one
        yield from _subclasses(one)
