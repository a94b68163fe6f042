"""Commands in processes of their own, as many at once as there is room for."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple, Protocol

from experiments.base import tied
from experiments.base.stopping import Stopped, handling_signals

# Of one command: seeds, or trainings of a suite.
MOST_TRAININGS = 10_000
_ROOT = Path(__file__).resolve().parents[2]
# Seconds between two looks at the processes, and for one to end that is asked to, before it is killed.
_LOOK_EVERY = 0.05
GRACE = 60.0
# The exit code of a job that has taken too long, as `timeout` gives it.
TOO_LONG = 124
# Seconds that the first process of a training has to tell of a mistake that all of them find.
FIRST_TELLS = 10.0
# Bytes at a log's end in which its last line is looked for.
_END = 1 << 16


class Job(NamedTuple):
    """A command, what it is called, and the file that takes what it says."""

    name: str
    command: Sequence[str]
    log: Path


class Queue(Protocol):
    """Where jobs come from, and who is told how they ended."""

    @property
    def left(self) -> bool:
        """Whether any job has not been taken yet."""

    def take(self) -> Job | None:
        """The next job to start, None where none can start now."""

    def ended(self, job: Job, code: int) -> None:
        """A job has ended with this exit code, negative for a signal; it may be put back."""

    def stop(self) -> None:
        """Give no more jobs; those that run are being stopped. It may come, as signals do, amid any other call."""

    def look(self, running: Sequence[Job]) -> None:
        """Called many times a second."""


def let_first_tell() -> None:
    """Wait, in all processes of a training but the first, while that one tells of a mistake: torchrun ends the others.

    Returns where it does not, since it has not made the mistake.
    """
    if os.environ.get("RANK", "0") != "0":
        time.sleep(FIRST_TELLS)


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def room_for(threads: int) -> int:
    """How many processes of so many threads the cores have room for."""
    return max(1, cores() // threads)


def experiments_command(*args: str) -> list[str]:
    """The command `python -m experiments` with these arguments."""
    return [sys.executable, "-m", "experiments", *args]


def run_jobs(
    jobs: Sequence[Job], at_once: int, tell: Callable[[Job, int], None], look: Callable[[Sequence[Job]], None]
) -> None:
    """Run all jobs, at most so many at once.

    tell: gets each that has ended, and its exit code. look: gets those that run, many times a second.

    Raises Stopped as `run_queue` does.
    """
    run_queue(_List(jobs, tell, look), at_once)


class _Process:
    """The process of a job, which may take so many seconds."""

    def __init__(self, job: Job, longest: float) -> None:
        self.job, self.process, self.too_long = job, start(job.command, job.log), False
        self._last_moment, self._killed_at = time.monotonic() + longest, math.inf

    def ask(self, number: int) -> None:
        """Ask it with a signal to end; after a time of grace it is killed."""
        self.process.send_signal(number)
        self._killed_at = min(self._killed_at, time.monotonic() + GRACE)

    def code(self) -> int | None:
        """Its exit code, TOO_LONG where it was asked to end since it took too long, None while it runs."""
        now = time.monotonic()
        if (code := self.process.poll()) is not None:
            return TOO_LONG if code and self.too_long else code
        if now > self._killed_at:  # stopped, or hanging
            kill(self.process)
        elif now > self._last_moment and not self.too_long:
            self.too_long = True
            self.ask(signal.SIGTERM)
        return None


def run_queue(queue: Queue, at_once: int, longest: float = math.inf) -> None:
    """Run all jobs of a queue, at most so many at once.

    longest: seconds that a job may take; one that takes longer ends with the exit code TOO_LONG.
    Raises Stopped after Ctrl-C or SIGTERM, which every running job gets too, once they have ended; what has not after
    GRACE seconds is killed.
    """
    running: list[_Process] = []
    stops: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        stops.append(number)
        queue.stop()
        for one in list(running):
            one.ask(number)

    with handling_signals(stop):
        try:
            while running or queue.left:
                while len(running) < at_once and (job := queue.take()) is not None:
                    running.append(_Process(job, longest))
                    if stops:  # which it has missed
                        running[-1].ask(stops[-1])
                for one, code in [(one, one.code()) for one in running]:
                    if code is not None:
                        running.remove(one)
                        queue.ended(one.job, code)
                queue.look([one.job for one in running])
                time.sleep(_LOOK_EVERY)
        finally:
            for one in running:
                one.ask(signal.SIGTERM)
    if stops:
        raise Stopped(stops[0])


def start(command: Sequence[str], log: Path, place: str | None = None) -> subprocess.Popen[bytes]:
    """Start a command that ends when this process does, in a folder if not in this one; the log is appended to."""
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", tied.__file__, str(os.getpid()), *command],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            # The terminal's Ctrl-C is passed on by `stop`, once.
            process_group=0,
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that `start` began, and what it has started."""
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.killpg(process.pid, signal.SIGKILL)


def last_line(log: Path) -> str:
    """What a process said at its end."""
    with log.open("rb") as file:
        file.seek(-min(_END, file.seek(0, os.SEEK_END)), os.SEEK_END)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else "it said nothing"


class _List:
    """A queue of jobs that are run once each."""

    def __init__(
        self, jobs: Sequence[Job], tell: Callable[[Job, int], None], look: Callable[[Sequence[Job]], None]
    ) -> None:
        self._waiting = list(jobs)
        self._stopped = False
        self.ended, self.look = tell, look

    @property
    def left(self) -> bool:
        return bool(self._waiting) and not self._stopped

    def take(self) -> Job | None:
        return self._waiting.pop(0) if self.left else None

    def stop(self) -> None:
        self._stopped = True
