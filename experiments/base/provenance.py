"""Which command made a result, and commands as a person types them."""

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

# An absolute path in a command, quoted or as it is.
_PATH = re.compile(r"(?<![^\s=])(?:'(/[^']*)'|/[^\s';]+)")
_running: ContextVar[str | None] = ContextVar("running", default=None)


def command_line(*args: object) -> str:
    """The command `python -m experiments` with these arguments, quoted so that a shell takes it as it is meant."""
    return shlex.join(["python", "-m", "experiments", *map(str, args)])


@contextlib.contextmanager
def running(args: Sequence[str]) -> Iterator[None]:
    """Note that a command with these arguments is at work, which a script may call too."""
    token = _running.set(command_line(*args))
    try:
        yield
    finally:
        _running.reset(token)


def command() -> str:
    """The command that is at work; in a script that calls none, how the script was started."""
    return _running.get() or shlex.join(["python", *sys.argv])


def without_places(told: Any) -> Any:
    """Plain data for others to read: of every absolute path, alone or in a command, its last name.

    Where files lie on the machine that made a result says nothing of the result.
    """
    if isinstance(told, Mapping):
        return {key: without_places(value) for key, value in told.items()}
    if isinstance(told, list | tuple):
        return [without_places(value) for value in told]
    if isinstance(told, str) and told.startswith("python "):
        return _PATH.sub(lambda found: shlex.quote(_last_name(found[1] or found[0])), told)
    return _last_name(told) if isinstance(told, str) and os.path.isabs(told) else told


def _last_name(path: str) -> str:
    return os.path.basename(path.rstrip("/"))
