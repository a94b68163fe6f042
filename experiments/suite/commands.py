"""`python -m experiments suite SUITE`: run the jobs of a suite that are not done, or list them."""

import contextlib
import dataclasses
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import tyro

from experiments.base.files import UserError
from experiments.base.processes import room_for, run_queue
from experiments.base.provenance import command_line
from experiments.base.stopping import Stopped
from experiments.base.terminal import columns, wrapped
from experiments.config.command_line import parse
from experiments.config.fields import check_least, check_positive
from experiments.runs.board import Board
from experiments.runs.folder import RUNS
from experiments.runs.wandb_environment import several_runs
from experiments.suite.cost import listing
from experiments.suite.folder import SuiteFolder
from experiments.suite.jobs import SuiteJob, make_jobs
from experiments.suite.outcome import read_outcome, table
from experiments.suite.queue import SuiteQueue
from experiments.suite.reading import Plan, find_suite, read_parts, read_yaml, suite_names
from experiments.suite.sweep import read_sweep

# Jobs at the same time; what runs all jobs of a queue, Stopped after a signal; the suite's folder as the jobs see it,
# None where it is the folder itself.
Engine: TypeAlias = tuple[int, Callable[[SuiteQueue], None], Path | None]


@dataclasses.dataclass(frozen=True)
class SuiteOptions:
    """Run every job of a suite once: each a training in a process and a folder of its own. Without one list all suites.

    The same command goes on with what is not done. Killed jobs are tried again from their checkpoints.
    """

    suite: tyro.conf.Positional[str | None] = None
    """A name in experiments/suites, or the path of a suite's file or of a W&B sweep's; None lists those names."""
    seeds: int | None = None
    """Seeds of every setting; None for as many as the file says."""
    on: Literal["local", "ray"] = "local"
    """Where jobs run: as processes of this machine, or as tasks of the Ray cluster at RAY_ADDRESS."""
    out: str | None = None
    """The suite's folder; by default its name under runs/."""
    list: bool = False
    """Show all jobs with what they cost, measured here, and run none."""
    shard: str | None = None
    """Run only jobs I, I + N, ... of the list, given as I/N with I from 0, as SLURM counts its processes."""
    jobs: int | None = None
    """Jobs at the same time; None for as many as there are cores."""
    retries: int = 2
    """How often a job is tried again that was killed."""
    job_minutes: float | None = None
    """The longest that a job may take on this machine, which then counts as failed; None for no limit."""
    run_cap: int | None = None
    """Sweeps of W&B: trainings at the most, in place of the file's."""


def suite(args: Sequence[str]) -> int:
    """Run or list a suite. Returns the exit code: 0, 1 where jobs failed, 128 + signal where stopped."""
    options = parse(SuiteOptions, "suite", args, flags=True)
    if options.suite is None:
        return _list_suites(options)
    check_least(options, 1, "seeds", "jobs", "run_cap")
    check_least(options, 0, "retries")
    check_positive(options, "job_minutes")
    if options.job_minutes is not None and options.on == "ray":
        raise UserError(f"--job-minutes {options.job_minutes:g} is for jobs on this machine, not for --on ray")
    shard = None if options.shard is None else _shard(options.shard)
    if shard is not None and options.on == "ray":
        raise UserError(f"--shard {options.shard} and --on ray: Ray spreads the jobs itself; take one of them")
    plan = read_plan(find_suite(options.suite), options.run_cap)
    every = make_jobs(plan, options.seeds)
    folder = SuiteFolder(Path(options.out) if options.out is not None else RUNS / plan.name)
    folder.check(plan.name, every)
    jobs = every if shard is None else every[shard[0] :: shard[1]]
    for job in filter(folder.done, jobs):  # what the table at the end needs
        read_outcome(folder.run(job))
    threads = max((job.config.run.threads for job in jobs), default=1)
    if options.list:
        at_once = None if options.on == "ray" else options.jobs or room_for(threads)
        _list(plan, folder, jobs, at_once)
        return 0
    with several_runs(), _engine(options, threads) as engine:
        folder.path.mkdir(parents=True, exist_ok=True)
        with folder.locked(shard):
            folder.record(plan.name, plan.about, every)
            return _run(folder, jobs, options, engine)


def _list_suites(options: SuiteOptions) -> int:
    """Tell what suites there are, each with its line; UserError where they should be run."""
    if options != SuiteOptions(list=options.list):
        raise UserError("suite needs the name of a suite, or of its file; `suite --list` tells those that come along")
    print(columns([(name, str(read_yaml(find_suite(name)).get("about", ""))) for name in suite_names()], left=2))
    return 0


def read_plan(path: Path, run_cap: int | None) -> Plan:
    """The plan in a suite's or sweep's file."""
    content = read_yaml(path)
    if "method" in content:
        return read_sweep(path, content, run_cap)
    if run_cap is not None:
        raise UserError(f"--run-cap {run_cap} is for sweeps of W&B; {path} is none")
    return read_parts(path, content)


def _shard(text: str) -> tuple[int, int]:
    """I and N of I/N; UserError for anything else."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not int(found[1]) < int(found[2]):
        raise UserError(f"--shard {text}: expected I/N with I from 0 to N - 1, as 0/4 for the first of four")
    return int(found[1]), int(found[2])


@contextlib.contextmanager
def _engine(options: SuiteOptions, threads: int) -> Iterator[Engine]:
    """What runs the jobs of a queue, and how many at once, as long as it is there."""
    if options.on == "local":
        at_once = options.jobs or room_for(threads)
        longest = math.inf if options.job_minutes is None else 60 * options.job_minutes
        yield at_once, lambda queue: run_queue(queue, at_once, longest), None
        return
    from experiments.suite.cluster import connected

    with connected(options.jobs, threads) as cluster:
        yield cluster.room, cluster.run, Path()


def _list(plan: Plan, folder: SuiteFolder, jobs: Sequence[SuiteJob], at_once: int | None) -> None:
    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    lines = listing(folder, jobs, at_once, tell)
    about = wrapped(f"{plan.name}: {plan.about}" if plan.about else plan.name)
    print(about, f"in {folder.path}", "", *lines, sep="\n")


def _run(folder: SuiteFolder, jobs: Sequence[SuiteJob], options: SuiteOptions, engine: Engine) -> int:
    """Run what is not done, and tell how all went."""
    at_once, run, place = engine
    with Board({job.name: folder.run(job) for job in jobs}, at_once) as board:
        queue = SuiteQueue(folder, jobs, retries=options.retries, tell=board.tell, show=board.show, place=place)
        try:
            run(queue)
        except Stopped as stop:
            exit_code = stop.exit_code
        else:
            exit_code = 1 if queue.failed else 0
    print(table(folder, jobs, queue.failed))
    print(f"\nruns     {folder.path}")
    if exit_code:
        stopped = "stopped; " if exit_code > 1 else ""
        print(f"{stopped}the same command goes on with what is not done", file=sys.stderr)
    else:
        print("\nnext", *(f"  {command_line(what, folder.path)}" for what in ("dashboard", "report")), sep="\n")
    return exit_code
