"""What the jobs of a suite will cost, by training each setting for a moment."""

import io
import math
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from rich.console import Console

from experiments.base.progress import Progress, duration
from experiments.base.terminal import columns, wrapped
from experiments.config.form import Config
from experiments.runs.board import Follower
from experiments.runs.folder import RunFolder
from experiments.suite.folder import SuiteFolder
from experiments.suite.jobs import SuiteJob
from experiments.training.running import make_trainer, prepare
from experiments.training.trainer import NotFinite

# Seconds of training for a setting, and for all of them together, besides the first step and a validation of each.
_ONE = 1.0
_ALL = 30.0


def listing(
    folder: SuiteFolder, jobs: Sequence[SuiteJob], at_once: int | None, tell: Callable[[str], None]
) -> list[str]:
    """A line for every job with its state and cost, then the sum of what is left.

    at_once: how many jobs there is room for here, None where they run elsewhere.
    tell:    gets a line for every setting that is measured.
    """
    seconds = _measured([job for job in jobs if not folder.done(job)], tell)
    lines, left = list[tuple[str, ...]](), 0.0
    for job in jobs:
        share = _share(folder, job)
        cost = seconds.get(job.group, 0.0)
        left += cost * (1 - share)
        state = "done" if folder.done(job) else f"{share:.0%} done" if folder.begun(job) else "new"
        told = "" if folder.done(job) else f"{_at_most(job.config)}{_time(cost)}"
        lines.append((job.name, state, told, shlex.join(["train", *job.args])))
    done = sum(folder.done(job) for job in jobs)
    most = "at most " if any(_at_most(job.config) for job in jobs if not folder.done(job)) else ""
    told = f"{len(jobs)} jobs, {done} done; left: {most}{_time(left)} of one core"
    if at_once is not None and left:
        longest = max(seconds.values())
        told += f", {most}{_time(max(left / at_once, longest))} here with {at_once} at once"
    return [columns(lines, left=4), "", wrapped(f"{told}; tests, figures and starting are not counted")]


def _measured(jobs: Sequence[SuiteJob], tell: Callable[[str], None]) -> Mapping[str, float]:
    """Seconds of a whole training, by group: seeds cost the same."""
    groups = {job.group: job.config for job in jobs}
    seconds = {}
    for number, (group, config) in enumerate(groups.items(), start=1):
        tell(f"measuring {group} ({number} of {len(groups)})")
        seconds[group] = _seconds(config, min(_ONE, _ALL / len(groups)))
    return seconds


def _seconds(config: Config[Any], budget: float) -> float:
    """Seconds that a training takes here; NaN where its loss is no number already in the first steps."""
    prepare(config.run.device, config.run.threads)
    quiet = Progress(1, Console(file=io.StringIO()))
    with tempfile.TemporaryDirectory() as place, torch.random.fork_rng(devices=[]):
        folder = RunFolder.create(config.changed(out=f"{place}/run"))
        try:
            return make_trainer(config, folder, "measured").measure(budget, quiet)
        except NotFinite:
            return math.nan


def _share(folder: SuiteFolder, job: SuiteJob) -> float:
    """How much of a job's training is done."""
    follower = Follower(folder.run(job))
    follower.look()
    return 1.0 if folder.done(job) else follower.share


def _at_most(config: Config[Any]) -> str:
    return "at most " if config.training.may_end_early else ""


def _time(seconds: float) -> str:
    return duration(seconds) if math.isfinite(seconds) else "?"
