"""Commands in processes of their own, as many at once as there is room for."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from experiments.loop import Stopped, handling_signals

_ROOT = Path(__file__).resolve().parents[1]
# Seconds between two looks at the processes.
_LOOK_EVERY = 0.05


class Job(NamedTuple):
    """A command, `python -m experiments` with these arguments, and the file that takes what it says."""

    seed: int
    args: Sequence[str]
    log: Path


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(jobs: Sequence[Job], at_once: int, tell: Callable[[Job, int], None]) -> None:
    """Run all jobs, at most so many at once; `tell` gets each that has ended, and its exit code.

    Raises Stopped after Ctrl-C or SIGTERM, which every running job gets too, once they have ended.
    """
    waiting, running = list(jobs), dict[subprocess.Popen[bytes], Job]()
    stops: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        stops.append(number)
        for process in running:
            process.send_signal(number)

    with handling_signals(stop):
        try:
            while running or (waiting and not stops):
                while waiting and not stops and len(running) < at_once:
                    job = waiting.pop(0)
                    process = _start(job)
                    running[process] = job
                    if stops:  # which it has missed
                        process.send_signal(stops[-1])
                for process in [one for one in running if one.poll() is not None]:
                    tell(running.pop(process), process.returncode)
                time.sleep(_LOOK_EVERY)
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
    if stops:
        raise Stopped(stops[0])


def _start(job: Job) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    job.log.parent.mkdir(exist_ok=True)
    with job.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "experiments", *job.args],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # The terminal's Ctrl-C is passed on by `stop`, once.
            process_group=0,
        )
