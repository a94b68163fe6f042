"""Which command made a result, and commands as a person types them."""

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

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
