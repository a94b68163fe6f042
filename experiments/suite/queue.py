"""The jobs of a suite that are not done: what runs next, what is tried again, what failed and why."""

import signal
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.base.processes import TOO_LONG, Job, experiments_command, last_line
from experiments.suite.folder import SuiteFolder
from experiments.suite.jobs import SuiteJob
from experiments.suite.outcome import read_outcome

# A mistake, a loss that is no number, too long a time: the next try would end alike.
_FINAL = (1, 2, TOO_LONG)


class SuiteQueue:
    """A queue of processes, see processes.Queue, that makes every job of a suite done once.

    What counts is result.json alone: a job that has it is done, however its process ended. A process that was killed
    is started again, at most `retries` times; so is a job of which another process is still busy once that has ended.

    tell: gets a line for all that people should know.
    show: gets the jobs that run, many times a second.
    place: the suite's folder as the processes see it.
    """

    def __init__(
        self,
        folder: SuiteFolder,
        jobs: Sequence[SuiteJob],
        *,
        retries: int,
        tell: Callable[[str], None],
        show: Callable[[Sequence[str]], None] = lambda running: None,
        place: Path | None = None,
    ) -> None:
        self.folder, self.jobs = folder, {job.name: job for job in jobs}
        self.place = folder.path if place is None else place
        self.failed: dict[str, str] = {}
        self._waiting = deque(job for job in jobs if not folder.done(job))
        self._retries, self._tell, self._show = retries, tell, show
        self._lost = Counter[str]()
        self._awaited: set[str] = set()
        self._stopped = False

    @property
    def left(self) -> bool:
        return bool(self._waiting) and not self._stopped

    def take(self) -> Job | None:
        for _ in range(len(self._waiting) if self.left else 0):
            job = self._waiting.popleft()
            if self.folder.in_use(job):
                if job.name not in self._awaited:
                    self._tell(f"{job.name}: another process is at work on it; waiting for its end")
                self._awaited.add(job.name)
                self._waiting.append(job)
            elif self.folder.done(job):
                self._tell(f"{job.name}: {read_outcome(self.folder.run(job))}, by another process")
            else:
                return Job(job.name, self.command(job), self.folder.log(job))
        return None

    def command(self, job: SuiteJob) -> list[str]:
        """What is run to begin a job or to go on with it."""
        return experiments_command("train", *self.folder.train_args(job, self.place))

    def ended(self, job: Job, code: int) -> None:
        one = self.jobs[job.name]
        if self.folder.done(one):
            self._tell(f"{job.name}: {read_outcome(self.folder.run(one))}")
        elif self._stopped:
            self._tell(f"{job.name}: stopped")
        elif self.folder.in_use(one):  # by another process, which was faster
            self._waiting.append(one)
        elif code in _FINAL:
            self._fail(job.name, _why(code, job))
        else:
            self.lost(job.name, _why(code, job))

    def lost(self, name: str, why: str) -> None:
        """A job did not end by itself: it is tried again, while there are retries left."""
        if self._lost[name] == self._retries:
            self._fail(name, why)
            return
        self._lost[name] += 1
        self._waiting.appendleft(self.jobs[name])
        self._tell(f"{name}: {why}; again from its checkpoint, try {self._lost[name]} of {self._retries}")

    def _fail(self, name: str, why: str) -> None:
        self.failed[name] = why
        self._tell(f"{name}: failed: {why}")

    def stop(self) -> None:
        self._stopped = True

    def look(self, running: Sequence[Job]) -> None:
        self._show([job.name for job in running])


def _why(code: int, job: Job) -> str:
    """How a process ended, in a few words."""
    if code == TOO_LONG:
        return "it took longer than --job-minutes"
    number = -code if code < 0 else code - 128
    if number in set(signal.Signals):
        return f"killed by {signal.Signals(number).name}"
    return f"exit code {code}: {last_line(job.log)}"
