"""The folder of a suite.

suite.json   its name and its jobs: arguments, setting, and values of what is varied
NAME-s0 ...  a run folder each; its result.json, which `train` writes last and whole, is the proof that the job is done
logs/        what the processes said
wandb/       one W&B directory for all
"""

import contextlib
import fcntl
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.base.files import UserError, is_part, remove_parts, write_whole
from experiments.config.form import from_yaml
from experiments.config.parts import TRACKING
from experiments.runs.folder import half_made, is_locked
from experiments.runs.suites import RECORD, read_record
from experiments.suite.jobs import SuiteJob

# What a run may have other than its job says, as --resume by hand may have changed it.
_NO_MATTER = (*TRACKING, "threads")


class SuiteFolder:
    """Where the jobs of a suite are, and how far they are."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, job: SuiteJob) -> Path:
        """The run folder of a job."""
        return self.path / job.name

    def log(self, job: SuiteJob) -> Path:
        """What a job's processes said."""
        return self.path / "logs" / f"{job.name}.log"

    def begun(self, job: SuiteJob) -> bool:
        """Whether a job has a run folder."""
        return (self.run(job) / "config.yaml").exists()

    def done(self, job: SuiteJob) -> bool:
        """Whether a job was trained to its end and tested."""
        return (self.run(job) / "result.json").exists()

    def in_use(self, job: SuiteJob) -> bool:
        """Whether a process is at work on a job."""
        return is_locked(self.run(job))

    def train_args(self, job: SuiteJob, place: Path) -> list[str]:
        """The arguments of `train` that begin a job, or go on with it; the process sees this folder at `place`."""
        if self.begun(job):
            return ["--resume", str(place / job.name)]
        return [*job.args, "--out", str(place / job.name)]

    def check(self, name: str, jobs: Sequence[SuiteJob]) -> None:
        """UserError for a folder of another suite, or of none, and for what is not its run in a run's place."""
        recorded = self._recorded()
        if recorded is None:
            if self.path.exists() and any(not _own_trace(one) for one in self.path.iterdir()):
                raise UserError(f"{self.path} is not empty and no folder of a suite: choose another --out")
        else:
            self._check_record(name, recorded, jobs)
        for job in jobs:
            self._check_run(job)

    def record(self, name: str, about: str, jobs: Sequence[SuiteJob]) -> None:
        """Keep what the suite is. Jobs that were there before and are not now, seeds beyond --seeds, stay."""
        if len(self._recorded() or {}) >= len(jobs):
            return
        listed = [
            {"name": job.name, "args": list(job.args), "group": job.group, "values": dict(job.values)} for job in jobs
        ]
        content = {"suite": name, "about": about, "jobs": listed}
        write_whole(self.path / RECORD, json.dumps(content, indent=1) + "\n")

    @contextlib.contextmanager
    def locked(self, shard: tuple[int, int] | None) -> Iterator[None]:
        """Hold the folder for one process, or for one of each shard; UserError where another holds it."""
        with contextlib.ExitStack() as stack:
            for name, kind in _locks(shard):
                file = stack.enter_context((self.path / name).open("a"))
                try:
                    fcntl.flock(file, kind | fcntl.LOCK_NB)
                except BlockingIOError:
                    part = "" if shard is None else f" with --shard {shard[0]}/{shard[1]}, or without a shard"
                    raise UserError(f"a suite is running in {self.path} already{part}") from None
            remove_parts(self.path)
            yield

    def _recorded(self) -> dict[str, list[str]] | None:
        """The arguments of all jobs of the suite that the folder is of, None where it is of none."""
        content = read_record(self.path)
        return None if content is None else {job["name"]: job["args"] for job in content["jobs"]}

    def _check_record(self, name: str, recorded: dict[str, list[str]], jobs: Sequence[SuiteJob]) -> None:
        asked = {job.name: list(job.args) for job in jobs}
        for one in asked.keys() & recorded.keys():
            if asked[one] != recorded[one]:
                was, now = shlex.join(recorded[one]), shlex.join(asked[one])
                raise UserError(
                    f"{self.path} is of another suite: its {one} is train {was}, not train {now}; choose another --out"
                )
        # More or fewer seeds make one set part of the other.
        if only := min(asked.keys() - recorded.keys(), recorded.keys() - asked.keys(), key=len):
            raise UserError(
                f"{self.path} is of another suite than {name}, or {name} was changed: only one of them has "
                f"{min(only)}; choose another --out"
            )

    def _check_run(self, job: SuiteJob) -> None:
        path = self.run(job)
        if not path.exists():
            return
        if not path.is_dir():
            raise UserError(f"{path} is a file where a run folder belongs: move it away")
        if not self.begun(job):
            if not half_made(path):
                foreign = min(one.name for one in path.iterdir() if not _own_trace(one))
                raise UserError(f"{path} is no run folder, there is {foreign} in it: move it away")
            return
        saved, expected = from_yaml(path / "config.yaml").flat, job.config.flat
        for name in expected:
            if name not in _NO_MATTER and saved.get(name) != expected[name]:
                was, now, flag = saved.get(name), expected[name], job.config.form.flag(name)
                raise UserError(f"{path} is another run: its {flag} is {was}, not {now}; move it away")


def _own_trace(path: Path) -> bool:
    """Whether a file is a lock, or the half of a record that a killed process has left."""
    return path.name.startswith(".lock") or is_part(path)


def _locks(shard: tuple[int, int] | None) -> list[tuple[str, int]]:
    """All shards share the first lock, which who has none holds alone."""
    if shard is None:
        return [(".lock", fcntl.LOCK_EX)]
    return [(".lock", fcntl.LOCK_SH), (f".lock-{shard[0]}-{shard[1]}", fcntl.LOCK_EX)]
