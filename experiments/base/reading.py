"""The one place that reads JSON and YAML, of whatever origin: limits, strict form, one line for what is wrong.

Files may be damaged or made to do harm, so that what a reader may cost is bounded before anything is built.
"""

import json
import os
import stat
import types
import typing
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, is_typeddict

import yaml

from experiments.base.files import UserError

# Levels of lists and mappings in one another.
MOST_DEPTH = 50
# Of a JSON file, and of a file of JSON lines such as metrics.jsonl.
MOST_BYTES, MOST_LINES_BYTES = 64 << 20, 1 << 30
# Values of a JSON text.
MOST_VALUES = 2_000_000
# Of a YAML file, and of its texts and values, which count for _VALUE bytes and as often as aliases stand for them.
MOST_YAML, _VALUE = 1 << 18, 8
_DIGITS = 20
_YAML = "tag:yaml.org,2002:"
_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    dict: "a mapping",
    list: "a list",
    type(None): "null",
}


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """What a file holds. FileNotFoundError where there is none; UserError for what is no file, or too large."""
    try:
        # Opening a pipe that nobody writes to would wait for ever.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise UserError(f"cannot read {path}: expected a file, not a folder, pipe or device")
    with os.fdopen(file, "rb") as stream:
        if os.fstat(file).st_size > most:
            raise UserError(f"cannot read {path}: expected at most {most >> 10:,} KiB")
        return stream.read()


def read_json(path: Path) -> Any:
    """The value in a JSON file. FileNotFoundError where there is none; UserError as for `parse_json`."""
    return parse_json(read_bytes(path), path)


def parse_json(content: bytes, where: object) -> Any:
    """The value in a JSON text; UserError, which names `where`, for what is none, or beyond the limits.

    NaN and infinities are numbers here, as Python writes them. Whole numbers have at most 64 bits, and no mapping has
    two values of one name.
    """
    if sum(map(content.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise UserError(f"cannot read {where}: expected at most {MOST_VALUES:,} values")
    try:
        value = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_mapping, parse_int=_whole_number)
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {where}: expected UTF-8, byte {error.start + 1} is none") from None
    except RecursionError:
        raise _too_deep(where) from None
    except ValueError as error:
        raise UserError(f"cannot read {where}: {error}") from None
    level, depth = _nested([value]), 0
    while level:
        level, depth = [inner for one in level for inner in _nested(one)], depth + 1
        if depth > MOST_DEPTH:
            raise _too_deep(where)
    return value


def read_yaml(path: Path, what: str) -> Any:
    """The value in a YAML file; UserError, which names the file and the place, for what is none, or beyond the limits.

    Only what JSON has, too, is read: keys are texts, each there once; numbers, texts, true, false and null are values.
    Aliases count as often as they are used, and there are no merge keys.

    what: is read, in words: "a configuration".
    """
    failed = f"cannot read {what} from {path}"
    try:
        text = read_bytes(path, MOST_YAML).decode("utf-8-sig")
        return yaml.load(text, _Loader)
    except FileNotFoundError:
        raise UserError(f"{failed}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{failed}: expected UTF-8, byte {error.start + 1} is none") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        raise UserError(f"{failed}{place}: {error.problem}") from None
    except RecursionError:
        raise _too_deep(path) from None
    except yaml.YAMLError as error:
        raise UserError(f"{failed}: {' '.join(str(error).split())}") from None


def read_own_yaml(path: Path, what: str) -> Any:
    """`read_yaml` without limits, of a file that comes with this package: by libyaml, eight times as fast, if there."""
    try:
        return yaml.load(path.read_text("utf-8"), _OwnLoader)
    except (OSError, ValueError, yaml.YAMLError):
        return read_yaml(path, what)


def expect(value: Any, kind: Any, where: object) -> None:
    """UserError, which names `where` and the place in it, for a value that is not of a kind.

    kind: a type hint of plain data: TypedDict (other keys may be there, too), list, dict, Literal, unions, Any. A float
          may be a whole number.
    """
    if trouble := misfit(value, kind):
        raise UserError(f"{where}: {trouble}")


def misfit(value: Any, kind: Any, place: str = "it") -> str | None:
    """What is wrong with a value of a kind, in words that name its place; None where nothing is. See `expect`."""
    inner: Sequence[tuple[Any, Any, str]] = ()
    if kind is Any:
        return None
    origin, choices = get_origin(kind), get_args(kind)
    if origin is NotRequired:
        return misfit(value, choices[0], place)
    if origin in (Union, types.UnionType):
        troubles = [misfit(value, choice, place) for choice in choices]
        nearest = [one for choice, one in zip(choices, troubles, strict=True) if choice is not type(None)]
        return nearest[0] if all(troubles) else None
    if is_typeddict(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        if not isinstance(value, dict):
            return _unlike(value, dict, place)
        if lacking := [name for name in hints if name not in value and get_origin(hints[name]) is not NotRequired]:
            return f"{place} lacks {lacking[0]!r}"
        inner = [(value[name], hint, _within(place, name)) for name, hint in hints.items() if name in value]
    elif origin is Literal:
        return None if value in choices else f"{place} is {shown(value)}, expected {' or '.join(map(repr, choices))}"
    elif origin in (list, dict):
        if not isinstance(value, origin):
            return _unlike(value, origin, place)
        named = enumerate(value) if origin is list else value.items()
        inner = [(one, choices[-1], _within(place, name)) for name, one in named]
    else:
        accepted = (int, float) if kind is float else kind
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            return _unlike(value, kind, place)
    return next((trouble for one in inner if (trouble := misfit(*one))), None)


def shown(value: Any) -> str:
    """A value for an error line, shortened."""
    text = repr(value) if not isinstance(value, dict | list) else _WORDS[type(value)]
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unlike(value: Any, kind: Any, place: str) -> str:
    return f"{place} is {shown(value)}, expected {_WORDS[kind]}"


def _within(place: str, name: object) -> str:
    own = f"[{name}]" if isinstance(name, int) else str(name)
    return own if place == "it" else f"{place}{own}" if isinstance(name, int) else f"{place}.{own}"


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"there are two values of {next(name for name in names if names.count(name) > 1)!r}")
    return found


def _whole_number(digits: str) -> int:
    if len(digits) > _DIGITS or not -(2**63) <= int(digits) < 2**63:
        raise ValueError(f"{shown(digits)} is no whole number of at most 64 bits")
    return int(digits)


def _nested(one: dict[str, Any] | list[Any]) -> list[dict[str, Any] | list[Any]]:
    """The lists and mappings in one."""
    values = one.values() if isinstance(one, dict) else one
    return [inner for inner in values if isinstance(inner, dict | list)]


def _too_deep(where: object) -> UserError:
    return UserError(f"cannot read {where}: expected at most {MOST_DEPTH} lists and mappings in one another")


class _Checked(yaml.constructor.SafeConstructor):
    """Plain data alone, as `read_yaml` says."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = set[str]()
        for key, _ in node.value:
            if key.tag == f"{_YAML}merge":
                raise _refusal(key, "expected every field written out, not the merge key <<")
            if key.tag != f"{_YAML}str":
                told = repr(key.value) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise _refusal(key, f"expected a text as a key, not {told}; quotes make one")
            if key.value in names:
                raise _refusal(key, f"there are two values of {shown(key.value)}")
            names.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        kind = node.tag.removeprefix(_YAML)
        try:
            value = super().construct_object(node, deep)
            if not isinstance(value, int) or -(2**63) <= value < 2**63:
                return value
        except (ValueError, LookupError, OverflowError):
            pass
        told = {"int": "whole number of at most 64 bits", "float": "number", "bool": "truth value"}.get(kind, kind)
        raise _refusal(node, f"{shown(node.value)} is no {told}")


def _refusal(at: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


_Checked.yaml_constructors = yaml.SafeLoader.yaml_constructors | {
    f"{_YAML}timestamp": yaml.SafeLoader.construct_yaml_str,
    **{_YAML + kind: yaml.SafeLoader.construct_undefined for kind in ("binary", "omap", "pairs", "set")},
}


class _Loader(_Checked, yaml.SafeLoader):
    """Within limits."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._size = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._size
        self._depth += 1
        if self._depth > MOST_DEPTH + 1:
            raise _refusal(event, f"expected at most {MOST_DEPTH} lists and mappings in one another")
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if not isinstance(event, yaml.AliasEvent):
            self._size += _VALUE + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
            self._sizes[node] = self._size - before
        elif node in self._sizes:
            self._size += self._sizes[node]
        else:
            raise _refusal(event, f"the alias *{event.anchor} stands within what it stands for")
        if self._size > MOST_YAML:
            raise _refusal(event, "expected fewer or shorter values; what an alias stands for counts each time")
        return node  # type: ignore[no-any-return]


_Fastest: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _OwnLoader(_Checked, _Fastest):  # type: ignore[misc]
    """Without limits."""
