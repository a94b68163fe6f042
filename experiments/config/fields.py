"""What options of all kinds share: their spelling, the marks they bear, the checks of their values."""

import dataclasses
import math
import types
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

from experiments.base.files import UserError
from experiments.config.options import PLACE

# Parts that are built one after another, and threads: what is beyond these is a mistake, and would never be done.
_MOST = {"num_layers": 1000, "num_hops": 1000, "restarts": 1000, "threads": 1024}

Value = TypeVar("Value")
CHANGEABLE, ASIDE = "changeable", "aside"
# An option that a resumed run may have another value of than the run it continues.
Changeable: TypeAlias = Annotated[Value, CHANGEABLE]
# An option that only tells what is written down of a training: runs of one setting may differ in it.
Aside: TypeAlias = Annotated[Value, ASIDE]


@dataclasses.dataclass(frozen=True)
class Needs:
    """The mark of an option that only models with an attribute of this name have."""

    attribute: str


def option(name: str) -> str:
    """The command line's spelling of a field."""
    return "--" + name.replace("_", "-")


def marks_of(kind: Any) -> tuple[Any, ...]:
    """The marks that a type bears."""
    return getattr(kind, "__metadata__", ())


def check_least(options: Any, minimum: int, *names: str) -> None:
    """UserError for a number below `minimum`, also one of several; None passes."""
    for name in names:
        value = getattr(options, name)
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None and one < minimum:
                raise UserError(f"{option(name)} must be at least {minimum}, not {one}")


def check_positive(options: Any, *names: str) -> None:
    """UserError for anything but a finite number above zero; None passes."""
    for name in names:
        value = getattr(options, name)
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise UserError(f"{option(name)} must be a finite number above 0, not {value}")


def check_values(options: Any) -> None:
    """UserError for what no option of a dataclass takes, see `check_value`."""
    for field in dataclasses.fields(options):
        check_value(option(field.name), field.name, getattr(options, field.name), field.default)


def check_value(flag: str, name: str, value: Any, default: Any) -> None:
    """UserError for what no option takes: an empty text, or a number that is infinite, none at all, or too large.

    An empty text is what "$UNSET" gives; only an option that is empty by default takes one.
    """
    for one in value if isinstance(value, tuple | list) else (value,):
        if one == "" and default != "":
            raise UserError(f"{flag} must not be empty")
        if isinstance(one, float) and not math.isfinite(one):
            raise UserError(f"{flag} must be a finite number, not {one}")
        if isinstance(one, int) and not -(2**63) <= one < 2**63:
            raise UserError(f"{flag} must be a whole number of at most 64 bits, not {one}")
        if isinstance(one, int) and one > (most := _MOST.get(name, one)):
            raise UserError(f"{flag} must be at most {most:,}, not {one:,}")


def fitted(kind: Any, value: Any) -> Any:
    """A value of plain data as one of an option's type: whole numbers for real ones, lists for tuples.

    ValueError for one that is not of the type.
    """
    origin, choices = get_origin(kind), get_args(kind)
    if origin is Annotated:
        if PLACE in marks_of(kind) and (not isinstance(value, str) or ":" not in value):
            raise ValueError(value)
        return fitted(choices[0], value)
    if origin in (Union, types.UnionType):
        exact = [one for one in choices if one is type(value)]
        for one in (*exact, *choices):
            try:
                return fitted(one, value)
            except ValueError:
                continue
    elif origin is Literal:
        if value in choices and not isinstance(value, bool):
            return value
    elif origin is tuple:
        if isinstance(value, list | tuple) and (choices[-1] is ... or len(choices) == len(value)):
            kinds = choices[:1] * len(value) if choices[-1] is ... else choices
            return tuple(fitted(one, item) for one, item in zip(kinds, value, strict=True))
    elif kind is float and type(value) is int:
        return float(value)
    elif type(value) is kind or (kind is None and value is None):
        return value
    raise ValueError(value)
