"""Running the command line, inside this process or as a person does."""

import contextlib
import fcntl
import io
import os
import pty
import struct
import subprocess
import termios
from pathlib import Path

from experiments.__main__ import main
from experiments.training.running import NOT_SOLVED
from tests.forked import ROOT as ROOT
from tests.forked import Forked

TINY = [
    "--hidden-size",
    "12",
    "--num-slots",
    "16",
    "--slot-size",
    "6",
    "--max-length",
    "3",
    "--batch-size",
    "4",
    "--valid-sequences",
    "6",
    "--test-sequences",
    "2",
    "--log-every",
    "3",
    "--valid-every",
    "5",
    "--checkpoint-every",
    "4",
    "--cooldown-steps",
    "6",
    "--solved-at",
    "None",
    "--tracker",
    "none",
]
# Of models without a memory.
NO_MEMORY = [*TINY[:2], *TINY[6:]]


def tiny(*more: object) -> list[str]:
    """Options of a tiny run on sequences: those given, and whatever their model has of TINY."""
    words = [str(one) for one in more]
    return [*(NO_MEMORY if "--model" in words else TINY), *words]


def command(*args: object) -> subprocess.CompletedProcess[str]:
    """Run `python -m experiments ...` in the checkout and wait for it."""
    process = start(*args)
    told, errors = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.wait(), told, errors)


def assert_has_finished(run: Path, *more: str) -> str:
    """Resuming a run says that it has finished and touches no file; returns what is said."""

    def files() -> dict[Path, tuple[int, bytes]]:
        found = (path for path in run.rglob("*") if path.is_file() and path.name != ".lock")
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}

    before = files()
    with contextlib.redirect_stdout(io.StringIO()) as told:
        assert main(["train", "--resume", str(run), *more]) in (0, NOT_SOLVED)
    assert files() == before
    assert f"{run} has finished" in told.getvalue()
    return told.getvalue()


def start(*args: object) -> Forked:
    """Start `python -m experiments ...` in the checkout and go on."""
    return Forked("experiments", *args)


def start_in_terminal(module: str, *args: object) -> tuple[Forked, int]:
    """Start `python -m module ...` in a terminal of its own, of which this end is returned too: closed, it is gone."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = Forked(module, *args, stdin=theirs, stdout=theirs, stderr=theirs, environment=environment, session=True)
    os.close(theirs)
    return process, ours


def in_terminal(program: str, *args: str, columns: int, piped: bool = False) -> tuple[str, str, int]:
    """What a Python program shows in a terminal of so many columns, what it writes to a pipe, and its exit code.

    piped: whether its standard output is the pipe; else that is the terminal, too.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment["TERM"] = "xterm-256color"
    output = subprocess.PIPE if piped else theirs
    process = Forked("-c", program, *args, stdin=theirs, stdout=output, stderr=theirs, environment=environment)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # a terminal without its other end
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    written, _ = process.communicate(timeout=60)
    return shown.decode(), written, process.wait()
