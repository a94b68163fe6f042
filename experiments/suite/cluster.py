"""Ray as the engine of a suite: jobs on the machines of a cluster, and no shared disk.

A job is a task of Ray, which runs `train` in a process of its own, in a temporary folder of its machine. Every few
seconds it yields the files that have changed, and the driver writes them into the suite's folder: what a lost machine
leaves there is sent along when the job goes on elsewhere. Ray itself retries nothing.
"""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import experiments
import memnet
import tasks
from experiments.base.files import UserError, first_line, write_whole
from experiments.base.processes import GRACE, Job, kill, start
from experiments.base.stopping import Stopped, handling_signals
from experiments.runs.folder import COMMIT, versions
from experiments.runs.suites import RECORD
from experiments.suite.queue import SuiteQueue

# Seconds between two lots of files from a job, between two looks at all, and for a cluster to answer.
SEND_EVERY = 5.0
_LOOK_EVERY = 0.2
_PATIENCE = 5.0
INSTALL = "pip install -e '.[ray]'"
_TOKEN = "a cluster of `ray start` may want RAY_AUTH_MODE=token here, and its head's ~/.ray/auth_token"

Files = Mapping[str, bytes]


class Report(NamedTuple):
    """What a job yields: changed files by their path in the suite's folder, and the exit code at the end."""

    files: Files
    code: int | None


class Cluster:
    """A connection to Ray.

    jobs:    at the same time, None for as many as the cluster has room for.
    threads: of a job.
    """

    def __init__(self, ray: Any, jobs: int | None, threads: int) -> None:
        self._ray, self._jobs, self._threads = ray, jobs, threads

    @property
    def room(self) -> int:
        """Jobs at the same time, at present: machines come and go."""
        return self._jobs or max(1, int(self._ray.cluster_resources().get("CPU", 0)) // self._threads)

    def run(self, queue: SuiteQueue) -> None:
        """Run all jobs of a queue. Raises Stopped after Ctrl-C or SIGTERM; what was not sent yet is then lost."""
        running: dict[Any, Job] = {}
        stops: list[int] = []

        def stop(number: int, frame: FrameType | None) -> None:
            stops.append(number)
            queue.stop()

        with handling_signals(stop):
            while (running or queue.left) and not stops:
                while len(running) < self.room and (job := queue.take()) is not None:
                    running[self._submit(queue, job)] = job
                for task in self._ready(list(running)):
                    self._receive(queue, running, task)
                queue.look(list(running.values()))
        if stops:
            raise Stopped(stops[0])

    def _ready(self, tasks: Sequence[Any]) -> Sequence[Any]:
        """Those of the tasks that have a report, after a moment for them to."""
        if not tasks:  # all that is left is another process's
            time.sleep(_LOOK_EVERY)
            return []
        ready: Sequence[Any] = self._ray.wait(tasks, num_returns=len(tasks), timeout=_LOOK_EVERY, fetch_local=False)[0]
        return ready

    def _submit(self, queue: SuiteQueue, job: Job) -> Any:
        config = queue.jobs[job.name].config
        needs = {"num_cpus": config.run.threads, "num_gpus": 0 if config.run.device == "cpu" else 1}
        task = self._ray.remote(num_returns="streaming", max_retries=0, **needs)(work)
        return task.remote(job.name, job.command, _files_of(queue.folder.path, job.name), SEND_EVERY)

    def _receive(self, queue: SuiteQueue, running: dict[Any, Job], task: Any) -> None:
        """Take one report, and at its end forget the task."""
        job = running[task]
        try:
            report: Report = self._ray.get(next(task))
        except (self._ray.exceptions.RayError, StopIteration) as error:
            del running[task]
            queue.lost(job.name, f"its machine was lost ({first_line(error)})")
            return
        write_files(queue.folder.path, report.files)
        if report.code is not None:
            del running[task]
            queue.ended(job, report.code)


@contextlib.contextmanager
def connected(jobs: int | None, threads: int) -> Iterator[Cluster]:
    """A connection to the cluster at RAY_ADDRESS, or to a Ray of our own; UserError where there is none."""
    try:
        import ray
    except ImportError as error:
        raise UserError(f"Ray cannot be imported ({error}): {INSTALL}") from None
    address = os.environ.get("RAY_ADDRESS") or "local"
    _check_reachable(address)
    code = [str(Path(module.__file__ or "").parent) for module in (experiments, memnet, tasks)]
    environment = {"py_modules": code, "env_vars": {COMMIT: versions()["commit"]}}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, runtime_env=environment)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"cannot connect to the Ray cluster at {address}: {reason}; {_TOKEN}") from None
    try:
        yield Cluster(ray, jobs, threads)
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """UserError where nothing answers: Ray itself would try for minutes."""
    if address in ("local", "auto"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise UserError(f"RAY_ADDRESS {address}: expected HOST:PORT of the cluster's head, auto or local")
    try:
        socket.create_connection((host, int(port)), _PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"no Ray cluster answers at RAY_ADDRESS {address}: {error}") from None


def work(name: str, command: Sequence[str], files: Files, every: float) -> Iterator[Report]:
    """The task: run a job's command on this machine, and yield what changes in its files every so many seconds."""
    with tempfile.TemporaryDirectory() as place:
        write_files(Path(place), files)
        sent = _states(Path(place))
        process = start([sys.executable, *command[1:]], Path(place) / "logs" / f"{name}.log", place)
        try:
            code = None
            while code is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = process.wait(every)
                yield Report(_changed(Path(place), sent, ended=code is not None), code)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                kill(process)
                process.wait()


def write_files(folder: Path, files: Files) -> None:
    """Write files into a folder, each whole, in an order that any half of them may be left in.

    The checkpoint comes after the metrics that it counts on, result.json after everything.
    """
    for path in sorted(files, key=_order):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, files[path])


def _order(path: str) -> tuple[int, str]:
    last = {"checkpoint.safetensors": 1, "result.json": 2}
    return last.get(Path(path).name, 0), path


def _files_of(folder: Path, name: str) -> Files:
    """What a job has so far, and the record of the suite, by which it is named for the tracker."""
    kept = [path for path in _paths(folder / name) if path.name != ".lock"]
    kept += [path for path in (folder / "logs" / f"{name}.log", folder / RECORD) if path.exists()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def _paths(folder: Path) -> list[Path]:
    """The whole files below a folder."""
    return [one for one in folder.rglob("*") if one.is_file() and not one.is_symlink() and one.suffix != ".part"]


def _states(folder: Path) -> dict[str, tuple[int, int]]:
    """Time and size of every file, by its path."""
    states = {}
    for path in _paths(folder):
        with contextlib.suppress(FileNotFoundError):
            state = path.stat()
            states[str(path.relative_to(folder))] = (state.st_mtime_ns, state.st_size)
    return states


def _changed(folder: Path, sent: dict[str, tuple[int, int]], *, ended: bool) -> Files:
    """Files that are not as they were sent, which is noted; result.json only at the end.

    The checkpoint is read before the metrics, so that these are never behind it.
    """
    files = {}
    for path, state in sorted(_states(folder).items(), key=lambda item: _order(item[0]), reverse=True):
        if sent.get(path) == state or Path(path).name == ".lock" or (path.endswith("/result.json") and not ended):
            continue
        with contextlib.suppress(FileNotFoundError):
            files[path] = (folder / path).read_bytes()
            sent[path] = state
    return files
