"""Several seeds of one setting: `python -m experiments train TASK --seeds 10`.

OUT/group.json  the seeds, and the options that all of them have
OUT/s0 ...      a run folder each, as if the seed had been trained alone
OUT/logs/       what the processes said

Stacked, the seeds are trained as one computation (see stacking.py), and tested and drawn in a process each, which also
gives the tracker its rows: it sees a stacked run when the training has ended. Otherwise all is done in these processes.
"""

import argparse
import dataclasses
import json
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM
from typing import Any, Literal, TypeAlias, TypedDict

import torch

from experiments.base.files import UserError, remove_parts, write_whole
from experiments.base.processes import MOST_TRAININGS, Job, experiments_command, last_line, room_for, run_jobs
from experiments.base.provenance import command_line
from experiments.base.reading import expect, read_json
from experiments.base.seeds import generator_for
from experiments.base.stopping import Stopped, handling_signals, stop_at_once
from experiments.base.terminal import page
from experiments.config.command_line import parse_train
from experiments.config.form import Config
from experiments.runs.about import read_about
from experiments.runs.board import Board
from experiments.runs.folder import RUNS, RunFolder, claim
from experiments.runs.wandb_environment import several_runs
from experiments.training.domain import domain_of
from experiments.training.objective import Objective
from experiments.training.ranks import ranks
from experiments.training.running import NOT_SOLVED, make_trainer, prepare, verdict
from experiments.training.stacking import gain, train_stacked

Way = Literal["stacked", "processes"]
# What is said of solving and tests, for runs that differ in their seed alone.
Summed: TypeAlias = Callable[[Sequence[RunFolder]], str]
RECORD = "group.json"


class _Record(TypedDict):
    args: list[str]
    seeds: list[int]


# Exit codes after a signal: as `train` gives them, and of a process that had not yet begun to listen.
_STOPPED = tuple(code for number in (SIGHUP, SIGINT, SIGTERM) for code in (128 + number, -number))


@dataclasses.dataclass(frozen=True)
class Group:
    """A folder of runs that differ in their seed.

    args: those of `train` that all have. seeds: each run's.
    """

    path: Path
    args: list[str]
    seeds: list[int]

    def folder(self, seed: int) -> Path:
        """The run folder of a seed."""
        return self.path / f"s{seed}"

    def begun(self, seed: int) -> bool:
        """Whether a seed has a run folder."""
        return (self.folder(seed) / "config.yaml").exists()

    def finished(self, seed: int) -> bool:
        """Whether a seed was trained to its end and tested."""
        return (self.folder(seed) / "result.json").exists()

    def train_args(self, seed: int, more: Sequence[str]) -> list[str]:
        """The arguments of `train` that begin a seed's run, or go on with it."""
        if self.begun(seed):
            return ["--resume", str(self.folder(seed)), *more]
        return [*self.args, *more, "--seed", str(seed), "--out", str(self.folder(seed))]

    def solved(self, seed: int) -> bool:
        """Whether a finished seed was solved, or nothing says what that is."""
        solved = RunFolder(self.folder(seed)).read_result().get("sequences_to_solve")
        return solved is not None or read_about(self.folder(seed))["solved"] is None

    def outcome(self, seed: int) -> str:
        """How a finished run went, in a few words."""
        folder = RunFolder(self.folder(seed))
        result = folder.read_result()
        solved, seconds = result.get("sequences_to_solve"), result.get("perf/seconds_to_solve")
        return "finished" if solved is None else f"solved after {solved:,} sequences, {seconds:.0f} s"


def train_seeds(config: Config[Any], args: Sequence[str], summed: Summed) -> int:
    """Train new runs of several seeds; see `resume_seeds` for what is returned."""
    assert config.where.seeds is not None
    if config.where.resume is not None:
        raise UserError(f"--resume {config.where.resume} goes on with one run; --seeds begins new ones")
    if config.where.wandb_prefix is not None:
        raise UserError(f"--wandb-prefix {config.where.wandb_prefix} is for one run, not for several --seeds")
    if ranks().count > 1:
        raise UserError("--seeds starts processes of its own: leave torchrun out, or train one seed with it")
    # What cannot be is refused before there is a folder.
    if config.where.seeds > MOST_TRAININGS:
        raise UserError(f"--seeds must be at most {MOST_TRAININGS:,}, not {config.where.seeds:,}")
    way = choose_way(config, config.where.seeds, domain_of(config).possible_data(config))
    path = Path(config.where.out) if config.where.out is not None else claim(RUNS / f"{config.label}-seeds")
    path.mkdir(parents=True, exist_ok=True)
    remove_parts(path)
    if any(path.iterdir()):
        raise UserError(f"{path} is not empty: choose another --out, or continue with --resume")
    seeds = list(range(config.run.seed, config.run.seed + config.where.seeds))
    group = Group(path, _split(args, "--seed", "--seeds", "--together", "--out")[1], seeds)
    write_whole(path / RECORD, json.dumps({"args": group.args, "seeds": seeds}, indent=1) + "\n")
    return _train(group, seeds, config, way, summed)


def find_group(args: Sequence[str]) -> Group | None:
    """The group that --resume names, None where it names a run or nothing; UserError where it names neither."""
    (resume,), _ = _split(args, "--resume")
    if not resume:
        return None
    if not (Path(resume) / RECORD).is_file():
        RunFolder(resume)
        return None
    path = Path(resume) / RECORD
    content = read_json(path)
    expect(content, _Record, path)
    return Group(path.parent, content["args"], content["seeds"])


def resume_seeds(group: Group, args: Sequence[str], summed: Summed) -> int:
    """Go on with every run of a group that has not finished, or with all where options change.

    Returns the exit code: 0, 1 where a seed failed, NOT_SOLVED where one was not, 128 + signal where stopped.
    """
    (_, count, together), more = _split(args, "--resume", "--seeds", "--together")
    if count not in (None, str(len(group.seeds))):
        raise UserError(f"--resume goes on with the folder's own {len(group.seeds)} seeds, not {count}")
    asked = ["--seeds", str(len(group.seeds)), *(["--together", together] if together else [])]
    config = parse_train([*group.train_args(group.seeds[0], more), *asked])
    prepare(config.run.device, config.run.threads)
    left = [seed for seed in group.seeds if more or not group.finished(seed)]
    return _train(group, left, config, choose_way(config, len(left)) if left else None, summed, more)


def _train(
    group: Group,
    seeds: Sequence[int],
    config: Config[Any],
    way: tuple[Way, str] | None,
    summed: Summed,
    more: Sequence[str] = (),
) -> int:
    """Train these seeds of a group, and tell how all went.

    config: that of any of its runs. way: see choose_way; None where no seed is left.
    more:   arguments of `train` that were not given before.
    """
    failed: set[int] = set()
    try:
        if way is not None:
            print(f"seeds {_list(seeds)} in {group.path}: {way[0]} ({way[1]})", file=sys.stderr)
            with several_runs():
                if way[0] == "stacked":
                    with handling_signals(stop_at_once):
                        failed = _train_stacked(group, seeds, more)
                failed |= _run_processes(group, [seed for seed in seeds if seed not in failed], config, more)
    except Stopped as stop:
        print(f"stopped; go on with: {command_line('train', '--resume', group.path)}", file=sys.stderr)
        return stop.exit_code
    _tell(group, failed, summed)
    if failed:
        return 1
    return verdict(solved=all(map(group.solved, group.seeds)))


def choose_way(config: Config[Any], seeds: int, data: Any = None) -> tuple[Way, str]:
    """How to train so many seeds, and why; UserError where they cannot be trained as asked.

    data: where it is there already.
    """
    together = config.where.together
    obstacle = domain_of(config).OBJECTIVE.not_stacked(config) or _obstacle(config)
    if together == "stacked":
        if obstacle is not None:
            raise UserError(f"--together stacked cannot be: {obstacle}")
        return "stacked", "as asked"
    if together == "processes":
        return "processes", "as asked"
    if obstacle is not None:
        return "processes", obstacle
    if config.run.device != "cpu":
        return "stacked", f"one process fills {config.run.device}"
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder.create(config.changed(out=f"{place}/run", seeds=None, together="auto"))
        objective = make_trainer(config, folder, "measured", data).objective
    generator = generator_for("train", config.run.seed)
    if config.run.backend == "auto" and _runs_natively(objective, generator):
        return "processes", "the native step is faster than a stack"
    faster, room = gain(objective, generator, seeds), min(seeds, room_for(config.run.threads))
    told = f"measured: a stack is {faster:.1f} times as fast as one seed after another, {room} fit here at once"
    return ("stacked" if faster > room else "processes"), told


def _obstacle(config: Config[Any]) -> str | None:
    """Why seeds with this configuration cannot be stacked, None where they can."""
    if config.run.backend in ("compile", "native"):
        return f"--backend {config.run.backend} takes one seed at a time"
    return None


def _runs_natively(objective: Objective[Any, Any], generator: torch.Generator) -> bool:
    """Whether the native step covers the model; builds it where it is not built yet."""
    model = objective.new_model()
    state = generator.get_state()
    with torch.no_grad():
        next(iter(objective.pieces(model, objective.draw(model, 0, generator))))
    generator.set_state(state)
    return getattr(model, "backend_used", None) == "native"


def _train_stacked(group: Group, seeds: Sequence[int], more: Sequence[str]) -> set[int]:
    """Train seeds as one computation, all but the tests; returns those that failed."""
    configs = [parse_train(group.train_args(seed, more)) for seed in seeds]
    return train_stacked(configs, group.path.name)


def _run_processes(group: Group, seeds: Sequence[int], config: Config[Any], more: Sequence[str]) -> set[int]:
    """Train seeds, each in its process, to the end with tests and figures; returns those that failed."""
    names = {f"s{seed}": seed for seed in seeds}
    jobs = [
        Job(name, experiments_command("train", *group.train_args(seed, more)), group.path / "logs" / f"{name}.log")
        for name, seed in names.items()
    ]
    failed: set[int] = set()
    done = 0

    def tell(job: Job, code: int) -> None:
        nonlocal done
        done += 1
        seed = names[job.name]
        if code in (0, NOT_SOLVED):
            words = group.outcome(seed)
        else:
            failed.add(seed)
            words = "stopped" if code in _STOPPED else f"failed with exit code {code}: {last_line(job.log)}"
        board.tell(f"seed {seed}: {words} ({done} of {len(jobs)})")

    at_once = room_for(config.run.threads)
    with Board({name: group.folder(seed) for name, seed in names.items()}, at_once, "seeds") as board:
        run_jobs(jobs, at_once, tell, lambda running: board.show([job.name for job in running]))
    return failed


def _tell(group: Group, failed: set[int], summed: Summed) -> None:
    """Print how the seeds went, and what to do next."""
    if ended := [RunFolder(group.folder(seed)) for seed in group.seeds if group.finished(seed)]:
        print(page(summed(ended)), end="\n\n")
    print(f"runs     {group.path / 's*'}")
    if failed:
        print(f"failed   {_list(sorted(failed))}; see {group.path / 'logs'}")
    # The star is the shell's.
    runs = f"{command_line('summarize', group.path)}/s*"
    print(f"\nnext\n  {runs} {shlex.join(['--out', group.path.name])}")


def _list(seeds: Sequence[int]) -> str:
    """0-9, or 0, 3, 4 where there are gaps."""
    whole = len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}-{seeds[-1]}" if whole else ", ".join(map(str, seeds))


def _split(args: Sequence[str], *names: str) -> tuple[list[str | None], list[str]]:
    """The values of some options, None where they are not given, and the other arguments."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in names:
        early.add_argument(name, dest=name)
    try:
        given, rest = early.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise UserError(f"train: {error}") from None
    return [getattr(given, name) for name in names], rest
