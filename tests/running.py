"""Running the command line, inside this process or as a person does."""

import contextlib
import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

from experiments.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
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
    "--tracker",
    "none",
]


def command(*args: object, **more: object) -> subprocess.CompletedProcess[str]:
    """Run `python -m experiments ...` in the checkout and wait for it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "experiments", *map(str, args)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        **more,
    )


def assert_has_finished(run: Path, *more: str) -> str:
    """Resuming a run says that it has finished and touches no file; returns what is said."""

    def files() -> dict[Path, tuple[int, bytes]]:
        found = (path for path in run.rglob("*") if path.is_file() and path.name != ".lock")
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}

    before = files()
    with contextlib.redirect_stdout(io.StringIO()) as told:
        assert main(["train", "--resume", str(run), *more]) == 0
    assert files() == before
    assert f"{run} has finished" in told.getvalue()
    return told.getvalue()


def start(*args: object) -> subprocess.Popen[str]:
    """Start `python -m experiments ...` in the checkout and go on."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "experiments", *map(str, args)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def start_in_terminal(module: str, *args: object) -> tuple[subprocess.Popen[bytes], int]:
    """Start `python -m module ...` in a terminal of its own, of which this end is returned too: closed, it is gone."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, args)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm-256color"},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    return process, ours


def in_terminal(program: str, *args: str, columns: int, piped: bool = False) -> tuple[str, str, int]:
    """What a Python program shows in a terminal of so many columns, what it writes to a pipe, and its exit code.

    piped: whether its standard output is the pipe; else that is the terminal, too.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *args],
        stdin=theirs,
        stdout=subprocess.PIPE if piped else theirs,
        stderr=theirs,
        cwd=ROOT,
        env=environment | {"TERM": "xterm-256color", "OMP_NUM_THREADS": "1"},
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # a terminal without its other end
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    output, _ = process.communicate(timeout=60)
    return shown.decode(), (output or b"").decode(), process.returncode
