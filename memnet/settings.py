"""What a module was built with: by its constructor's signature, for who shows it, writes it down or builds it again."""

import inspect
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

        A module among them is {"class": its name, "settings": its own}, a class of modules {"class": its name}.
        Raises TypeError for one that is neither.
        """
        args, options = self._given
        bound = inspect.signature(type(self)).bind(*args, **options)
        bound.apply_defaults()
        found: dict[str, Any] = {}
        for name, parameter in bound.signature.parameters.items():
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

    Raises TypeError or ValueError for settings that the class does not take. Nothing is imported: classes are found by
    name among those that are there.
    """
    values = {name: _value(value) for name, value in settings.items()}
    inspect.signature(kind).bind(**values)
    return kind(**values)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str | _Unwritable):
        return value
    if isinstance(value, list | tuple):
        values = [_plain(one) for one in value]
        return _Unwritable(repr(value)) if any(isinstance(one, _Unwritable) for one in values) else values
    if isinstance(value, Described):
        try:
            return {"class": type(value).__name__, "settings": value.settings()}
        except TypeError as error:
            return _Unwritable(str(error))
    if isinstance(value, type) and issubclass(value, Described):
        return {"class": value.__name__}
    # What was plain already, as settings of a module are.
    return value if isinstance(value, dict) and "class" in value else _Unwritable(repr(value))


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return tuple(_value(one) for one in plain)
    if not isinstance(plain, dict):
        return plain
    name = plain.get("class")
    found = [one for one in _subclasses(Described) if one.__name__ == name]
    if not found:
        raise ValueError(f"there is no class of modules {name!r}: import it first, if it is yours")
    return build(found[-1], plain["settings"]) if isinstance(plain.get("settings"), dict) else found[-1]


def _subclasses(kind: type[Described]) -> Iterator[type[Described]]:
    for one in kind.__subclasses__():
        yield one
        yield from _subclasses(one)
