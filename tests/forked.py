"""Programs that begin at once: forked from a process that has imported torch and `experiments`, which takes seconds.

Each pytest process has one such server, which starts with the first program. A program is `python -m MODULE ...` in
all that shows: it has a process of its own with its own arguments, environment, folder and streams, ends with its own
exit code or signal, and sees no import but those of the server, among which W&B is not.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Thread
from typing import IO, NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parents[1]
# Bytes of the largest request.
_MOST = 1 << 20


class Request(NamedTuple):
    """What a program is; its three streams come along as descriptors."""

    args: list[str]
    environment: dict[str, str]
    folder: str
    session: bool
    painted: bool


class Forked:
    """A running program, with the methods of `subprocess.Popen` in text mode.

    module: what `python -m` runs, or -c, after which the first of `args` is the program.
    stdin, stdout, stderr: a descriptor, or subprocess.PIPE, DEVNULL and STDOUT as they mean there.
    session: whether it leads a session, of which standard input is the terminal if it is one.
    painted: whether its figures are painted, and those of a training drawn, see tests/unpainted.py.
    """

    def __init__(
        self,
        module: str,
        *args: object,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        environment: Mapping[str, str] | None = None,
        folder: Path = ROOT,
        session: bool = False,
        painted: bool = False,
    ) -> None:
        self.args = [module, *map(str, args)]
        self.returncode: int | None = None
        settings = dict(os.environ if environment is None else environment) | {"OMP_NUM_THREADS": "1"}
        request = Request(self.args, settings, str(folder), session, painted)
        with contextlib.ExitStack() as theirs:
            self.stdin, given = _stream(stdin, theirs, written=True)
            self.stdout, told = _stream(stdout, theirs)
            self.stderr, errors = (None, told) if stderr == subprocess.STDOUT else _stream(stderr, theirs)
            self._status, status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            theirs.callback(status.close)
            socket.send_fds(_server(), [json.dumps(request).encode()], [given, told, errors, status.fileno()])
        self.pid = int(self._status.recv(32))

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self.returncode = int(self._status.recv(32))
            self._status.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code."""
        if self.returncode is None and not select.select([self._status], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Close its input, read all that it writes, and wait for its end."""
        told: dict[str, str] = {}

        def read(name: str, stream: IO[str]) -> None:
            told[name] = stream.read()
            stream.close()

        streams = {name: stream for name in ("stdout", "stderr") if (stream := getattr(self, name))}
        readers = [Thread(target=read, args=one, daemon=True) for one in streams.items() if not one[1].closed]
        for reader in readers:
            reader.start()
        if self.stdin:
            self.stdin.close()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return told.get("stdout", ""), told.get("stderr", "")

    def send_signal(self, number: int) -> None:
        """Send it a signal unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in filter(None, (self.stdin, self.stdout, self.stderr)):
            stream.close()
        self.wait()


class ForkedJob:
    """A job of this process, as `experiments.base.processes.start` has it of subprocess.Popen, forked from here.

    args: python -I -S tied.py PARENT python -m MODULE ..., of which no Python begins anew, and MODULE is experiments:
    this process must have imported it, and have no other thread.
    """

    def __init__(
        self, args: list[str], *, env: dict[str, str], cwd: str | None, stdin: int, stdout: IO[bytes], **_: object
    ) -> None:
        assert len(os.listdir("/proc/self/task")) == 1
        sys.stdout.flush()
        sys.stderr.flush()
        self.args, self._code = args, None
        self.pid = os.fork()
        if self.pid == 0:
            _run_tied(args[3:], env, cwd, stdin, stdout)

    def poll(self) -> int | None:
        """As of `Forked`."""
        if self._code is None and (found := os.waitpid(self.pid, os.WNOHANG))[0]:
            self._code = os.waitstatus_to_exitcode(found[1])
        return self._code

    def send_signal(self, number: int) -> None:
        """As of `Forked`."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _run_tied(args: list[str], env: dict[str, str], cwd: str | None, stdin: int, stdout: IO[bytes]) -> NoReturn:
    """Be a job: what it is tied by is asked for, and then not begun anew. Whatever happens, nothing returns."""
    code = 1
    try:
        from experiments.__main__ import run
        from experiments.base import tied

        os.setpgid(0, 0)
        with contextlib.ExitStack() as none:
            _, nothing = _stream(stdin, none)
            request = Request(args, env, cwd or os.getcwd(), False, False)
            _become(request, [*map(os.dup, (nothing, stdout.fileno(), stdout.fileno()))])
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        sys.argv = request.args
        os.execv = lambda _, command: sys.exit(run(command[3:]))  # type: ignore[assignment, misc]
        tied.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _stream(kind: int, theirs: contextlib.ExitStack, *, written: bool = False) -> tuple[IO[str] | None, int]:
    """Our end of a stream, and the descriptor that a program has; `theirs` closes what is ours no longer."""
    if kind == subprocess.PIPE:
        ends = os.pipe()
        ours, other = (ends[1], ends[0]) if written else ends
        theirs.callback(os.close, other)
        return os.fdopen(ours, "w" if written else "r"), other
    if kind == subprocess.DEVNULL:
        other = os.open(os.devnull, os.O_RDWR)
        theirs.callback(os.close, other)
        return None, other
    return None, kind


@functools.cache
def _server() -> socket.socket:
    """The way to the server of this process, which ends with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST)
    with theirs:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.forked", str(theirs.fileno())],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours


def _prepare() -> None:
    """Import what commands import, and nothing else."""
    from experiments.config.registry import COMMANDS, DOMAINS, at

    for place in COMMANDS.values():
        at(place)
    for domain in DOMAINS.values():
        importlib.import_module(domain.commands)
    for later in ("matplotlib.figure", "matplotlib.backends.backend_agg"):
        importlib.import_module(later)
    assert "wandb" not in sys.modules
    assert len(os.listdir("/proc/self/task")) == 1


def _serve(asked: socket.socket) -> Request | None:
    """Fork whatever is asked for: the request in a program that has begun, None in the server at its end."""
    running: dict[int, socket.socket] = {}
    wakes, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([asked, wakes], [], [])
        if wakes in ready:
            os.read(wakes, 4096)
            for pid, code in _ended():
                with running.pop(pid) as status, contextlib.suppress(BrokenPipeError):
                    status.send(str(code).encode())
        if asked in ready:
            message, descriptors, _, _ = socket.recv_fds(asked, _MOST, 4)
            if not message:
                for pid in running:
                    os.kill(pid, signal.SIGKILL)
                return None
            status = socket.socket(fileno=descriptors.pop())
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                for end in (asked, status, *running.values()):
                    end.close()
                os.close(wakes)
                os.close(wake)
                request = Request(*json.loads(message))
                _become(request, descriptors)
                return request
            for descriptor in descriptors:
                os.close(descriptor)
            running[pid] = status
            status.send(str(pid).encode())


def _ended() -> Iterator[tuple[int, int]]:
    """Processes that have ended, and their exit codes."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            yield found[0], os.waitstatus_to_exitcode(found[1])


def _become(request: Request, descriptors: list[int]) -> None:
    """Make this process the one that is asked for, up to its first line."""
    import fcntl
    import termios

    for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if request.session:
        os.setsid()
        if os.isatty(0):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    letters = request.environment.get("PYTHONIOENCODING")
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", encoding=letters, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding=letters, errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)


def main() -> None:
    """Serve, and be whatever is asked for."""
    import runpy

    import pytest

    from tests.unpainted import leave_undrawn, leave_unforced, leave_unpainted

    asked = socket.socket(fileno=int(sys.argv[1]))
    _prepare()
    gc.freeze()
    request = _serve(asked)
    if request is None:
        return
    leave_unforced(pytest.MonkeyPatch())
    if not request.painted:
        leave_unpainted(pytest.MonkeyPatch())
        leave_undrawn(pytest.MonkeyPatch())
    sys.argv = request.args
    if sys.argv[0] == "-c":
        exec(sys.argv.pop(1), {"__name__": "__main__"})
    else:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
