"""How a process is asked to stop: Ctrl-C, SIGTERM, and a terminal or a pipe whose other end has gone."""

import contextlib
import errno
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Ctrl-C, SIGTERM or a closed terminal. Like KeyboardInterrupt no Exception, so that no library swallows it.

    exit_code: as a shell would give it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@contextmanager
def handling_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Give Ctrl-C, SIGTERM and a closed terminal to a handler, and back to the one before.

    Where a closed terminal is ignored, as under nohup, it stays so. A terminal closes once: shell and system both tell
    of it, and only the first word counts. Outside the main thread, which alone gets signals, they stay its business.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            for stream in filter(_unread, (1, 2)):
                _silence(stream)
        handler(number, frame)

    before = {number: signal.signal(number, handle) for number in STOPPING if not _ignored(number)}
    try:
        yield
    finally:
        for number, earlier in before.items():
            if not _ignored(number):
                signal.signal(number, earlier)


def stop_at_once(number: int, frame: FrameType | None) -> None:
    """Turn a signal into Stopped, wherever the program is."""
    raise Stopped(number)


class Request:
    """Whether Ctrl-C, SIGTERM or SIGHUP came, and which."""

    number: int | None = None


@contextmanager
def deferred_signals(*, always: bool = False) -> Iterator[Request]:
    """Let Ctrl-C, SIGTERM and SIGHUP wait for the end of a step; a second one does not wait unless they always do."""
    request = Request()

    def note(number: int, frame: FrameType | None) -> None:
        if request.number is not None and not always:
            raise Stopped(number)
        request.number = number

    with handling_signals(note):
        yield request


def outlive_readers() -> None:
    """From now on what goes to standard output or error is lost without an error where nobody reads it any more.

    Who handles signals is then told as by a closed terminal, and leaves a checkpoint; all others are Stopped, as by
    SIGPIPE where it was a pipe.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed from the beginning
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
            continue
        with contextlib.suppress(OSError):  # one without a file behind it
            setattr(sys, name, _outliving(stream))


class _Stream(io.FileIO):
    """A standard stream that may lose its reader."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EPIPE):
                raise
            number = signal.SIGPIPE if error.errno == errno.EPIPE else signal.SIGHUP
        _silence(self.fileno())
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            raise Stopped(number)
        signal.raise_signal(signal.SIGHUP)
        return len(data)


def _outliving(stream: TextIO) -> TextIO:
    raw = _Stream(stream.fileno(), "w", closefd=False)
    lines = bool(getattr(stream, "line_buffering", True) or getattr(stream, "write_through", False))
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=lines)


def _ignored(number: int) -> bool:
    return signal.getsignal(number) == signal.SIG_IGN


def _unread(stream: int) -> bool:
    """Whether nobody can read what is written: the terminal has closed, or the pipe's other end."""
    poll = select.poll()
    poll.register(stream, select.POLLOUT)
    return any(found & (select.POLLERR | select.POLLHUP) for _, found in poll.poll(0))


def _silence(stream: int) -> None:
    """Let what is written go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream)
    os.close(nowhere)
