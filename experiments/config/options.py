"""Options of a constructor, read from its signature and its docstring: whoever writes a model writes them once."""

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin

from torch import nn

# An entry of a docstring: `num_reads, num_writes: heads.` Lines that begin further in go on with it.
_ENTRY = re.compile(r"( *)((?:[a-z]\w*, )*[a-z]\w*): +(.*)")
# The end of an entry before another one in the same line: `num_reads: read heads. num_writes: write heads.`
_NEXT = re.compile(r"[.;] +(?=[a-z]\w*: )")
# Where a docstring sends its readers.
_ELSEWHERE = re.compile(r"(?:see|those of|as in) ([A-Za-z_][\w.]*\w)")


# Where a module stands that an option takes, or what makes one: MODULE:NAME or FILE.py:NAME.
PLACE = "place"
Place: TypeAlias = Annotated[str, PLACE]


class Option(NamedTuple):
    """A parameter that has a default, so that it may be chosen.

    kind:    its type. default: what it is where nothing is chosen.
    meaning: what the docstring says of it, in one line; empty for nothing.
    """

    name: str
    kind: Any
    default: Any
    meaning: str

    @property
    def takes_place(self) -> bool:
        """Whether the place of a module is a value of it."""
        return Place in get_args(self.kind)


@cache
def options_of(make: Callable[..., Any]) -> dict[str, Option]:
    """What may be chosen of a constructor: parameters with a default, of types that a command line can give."""
    told = _meanings(make)
    kinds = {name: (one, _plain_part(one.annotation)) for name, one in _parameters(make).items()}
    return {
        name: Option(name, kind, one.default, told.get(name, ""))
        for name, (one, kind) in kinds.items()
        if one.default is not one.empty and _is_plain(kind)
    }


@cache
def unannotated(make: Callable[..., Any]) -> tuple[str, ...]:
    """The parameters with a default that have no type, so that nobody could choose them."""
    parameters = _parameters(make).items()
    return tuple(name for name, one in parameters if one.default is not one.empty and one.annotation is one.empty)


@cache
def sizes_of(make: Callable[..., Any]) -> frozenset[str]:
    """What the data must tell a constructor: parameters without a default. They say which kind of model it makes."""
    named = {
        name: one for name, one in _parameters(make).items() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    }
    return frozenset(name for name, one in named.items() if one.default is one.empty)


def _parameters(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(make, eval_str=True).parameters)


def _plain_part(kind: Any) -> Any:
    """What a command line can give of a type: of a name or an object the name, of a module also its place."""
    if get_origin(kind) not in (Union, UnionType) or _is_plain(kind):
        return kind
    plain = [one for one in get_args(kind) if _is_plain(one)]
    others = [one for one in get_args(kind) if not _is_plain(one)]
    if {*plain} <= {NoneType}:
        return kind
    return Union[(*plain, *([Place] if all(map(_is_module, others)) else []))]


def _is_module(kind: Any) -> bool:
    """Whether a type is that of a module, or of what makes one."""
    return get_origin(kind) is Callable or (inspect.isclass(kind) and issubclass(kind, nn.Module))


def _is_plain(kind: Any) -> bool:
    if get_origin(kind) in (Union, UnionType, tuple):
        return all(_is_plain(one) for one in get_args(kind) if one is not ...)
    return kind in (bool, int, float, str, NoneType, Place) or get_origin(kind) is Literal


def _meanings(make: Callable[..., Any]) -> dict[str, str]:
    """What is said of each parameter: in a docstring, where that sends its readers, or where the options are from."""
    told = dict[str, str]()
    for one in inspect.getmro(make) if inspect.isclass(make) else (make,):
        text = inspect.cleandoc(one.__doc__ or "")
        own = dict(_entries(text))
        elsewhere = [_named(name, one) for name in _ELSEWHERE.findall(text)]
        for other in (*elsewhere, vars(one).get("cell_type")):
            if callable(other) and other is not one:
                # An entry that only sends its readers there says nothing.
                own |= {
                    name: said for name, said in _meanings(other).items() if _ELSEWHERE.match(own.get(name, "see it"))
                }
        told = own | told
    return told


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """(name, what is said of it) for every name with an entry."""
    found: list[tuple[str, int, str]] = []
    for line in text.splitlines():
        depth = len(line) - len(line.lstrip())
        if entry := _ENTRY.fullmatch(line):
            found.append((entry[2], depth, entry[3]))
        elif found and line and depth > found[-1][1]:
            names, first, said = found[-1]
            found[-1] = names, first, f"{said} {line.strip()}"
        elif found:
            # Whatever is further in from here on is no entry's.
            found.append(("", sys.maxsize, ""))
    for names, _, said in found:
        for one in _NEXT.split(f"{names}: {said}"):
            together, _, meaning = one.partition(": ")
            yield from ((name, meaning) for name in together.split(", ") if name)


def _named(name: str, beside: Callable[..., Any]) -> Any:
    """What a docstring means by a name: what has it where the docstring stands."""
    module, _, last = name.rpartition(".")
    return getattr(sys.modules.get(module or beside.__module__), last, None)
