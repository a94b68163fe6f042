"""What `train` does with every kind of run: its folder, its checkpoint, the tracker, the signals, the exit code."""

import contextlib
import io
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from experiments.base.files import UserError, first_line, write_whole
from experiments.base.progress import Progress
from experiments.base.provenance import command_line
from experiments.base.stopping import Stopped, handling_signals, stop_at_once
from experiments.config.form import Config, to_yaml
from experiments.runs.about import write_about
from experiments.runs.folder import RunFolder, versions
from experiments.runs.handover import replay_history, replay_outcome, told_to_tracker
from experiments.runs.metrics import MetricsFile, cut, read_metrics
from experiments.runs.tracking import Tracker, check_joined, start_tracker
from experiments.runs.wandb_environment import given_run_id, import_wandb, legal_id, resolve_mode
from experiments.training.domain import domain_of
from experiments.training.ending import keep_all
from experiments.training.loading import check_files
from experiments.training.objective import Objective
from experiments.training.ranks import Ranks, choose_device, joined, ranks
from experiments.training.trainer import NotFinite, Trainer

# The exit code of a training that came to its end without being solved.
NOT_SOLVED = 3


def make_trainer(config: Config[Any], folder: RunFolder, run_id: str, data: Any = None) -> Trainer[Any]:
    """A run's training, that has not begun; UserError for what cannot be. data: where it is there already."""
    domain = domain_of(config)
    data = domain.possible_data(config) if data is None else data
    return Trainer(config, domain.OBJECTIVE(config, data), folder, run_id)


def run_training(config: Config[Any]) -> int:
    """Train in the run's folder, then finish: test, draw, and tell.

    Returns the exit code: 0, 1 where the loss was no number, NOT_SOLVED, 128 + signal where stopped.
    """
    domain = domain_of(config)
    if ranks().count > 1 and domain.OBJECTIVE.share is Objective.share:
        raise UserError(f"a model of {config.domain} is trained by one process: leave torchrun out")
    data, mode = domain.possible_data(config), _mode(config)

    def make(folder: RunFolder) -> Trainer[Any]:
        return make_trainer(config, folder, new_run_id(folder), data)

    def work(folder: RunFolder, processes: Ranks) -> int:
        trainer = make(folder)
        earlier = take_up(folder, trainer)
        processes.agree(lambda: None if earlier is None else folder.checkpoint.read_bytes())  # `_help` takes it
        if earlier is None:
            print(_has_finished(trainer, folder))
            return _verdict(trainer)
        about = trainer.about
        print(f"{trainer.objective.title}, {trainer.parameters:,} parameters, in {folder.path}", file=sys.stderr)
        tracker = Tracker(trainer.run_id)
        exit_code, closing = 1, ""
        try:
            names, told = told_to_tracker(folder, about, config.mapping())
            tracker = start_tracker(
                config.run.tracker,
                run_folder=folder.path.resolve(),
                run_id=trainer.run_id,
                names=names,
                config={**told, "parameters": trainer.parameters, "versions": versions()},
                mode=mode,
                prefix=config.where.wandb_prefix,
            )
            replay_history(tracker, folder, earlier)
            _train(trainer, folder, tracker, trainer.objective.shown)
            step = trainer.settle()
            closing = keep_all(trainer, step, folder, tracker.notice, domain.finish(trainer, folder), domain.MORE)
            replay_outcome(tracker, folder, about, trainer.sequences)
            exit_code = 0
        except Stopped as stop:
            exit_code = stop.exit_code
            print(f"stopped after step {trainer.step}; go on with: {resume_line(folder)}", file=sys.stderr)
        except NotFinite as trouble:
            print(f"error: {trouble}", file=sys.stderr)
        finally:
            tracker.finish(exit_code)
        if exit_code == 0:
            print(closing)
        return exit_code or _verdict(trainer)

    try:
        ranks().share(config.training.batch_size)  # what cannot be is refused before there is a folder
        with joined(config.run.device) as processes:
            if not processes.first:
                return _help(config, make, processes)
            with handling_signals(stop_at_once), RunFolder.at_work(config) as folder:
                return work(folder, processes)
    except Stopped as stop:
        if ranks().first:
            print("stopped", file=sys.stderr)
        return stop.exit_code


def _verdict(trainer: Trainer[Any]) -> int:
    """The exit code of a run that has ended: whether it is solved, where something says what that is."""
    return verdict(solved=trainer.solved_step is not None or trainer.about["solved"] is None)


def verdict(*, solved: bool) -> int:
    """The exit code of what was trained to its end.

    An agent of a sweep and torchrun get 0: they take anything else for a crash, and give up or begin again.
    """
    told_apart = "WANDB_SWEEP_ID" not in os.environ and ranks().count == 1
    return NOT_SOLVED if told_apart and not solved else 0


def _mode(config: Config[Any]) -> str:
    """How the tracker works; UserError where it cannot."""
    if config.run.tracker == "none":
        return "disabled"
    if (prefix := config.where.wandb_prefix) is not None:
        check_joined(prefix)
        return "joined"
    mode = resolve_mode(config.run.wandb_mode, os.environ)
    if mode != "disabled":
        import_wandb()
    return mode


def _help(config: Config[Any], make: Callable[[RunFolder], Trainer[Any]], processes: Ranks) -> int:
    """Train beside the first process, in a folder that is thrown away, and say nothing."""
    silence = contextlib.redirect_stderr(io.StringIO())
    with tempfile.TemporaryDirectory() as place, silence, handling_signals(stop_at_once):
        folder = RunFolder.create(config.changed(out=str(Path(place) / "run"), resume=None))
        trainer = make(folder)
        never_asked: Callable[[], bytes | None] = bytes
        if (checkpoint := processes.agree(never_asked)) is None:
            return 0  # the run has finished
        folder.checkpoint.write_bytes(checkpoint)
        trainer.restore()
        try:
            _train(trainer, folder, Tracker(trainer.run_id), {})
        except Stopped as stop:
            return stop.exit_code
        except NotFinite:
            return 1
    return 0


def new_run_id(folder: RunFolder) -> str:
    """What the tracker calls a run: as the environment says, else by its name, made unique."""
    return given_run_id() or f"{legal_id(folder.name)}-{secrets.token_hex(2)}"


def prepare(device: str, threads: int) -> None:
    """UserError for a device that is not there; sets the threads."""
    try:
        choose_device(device)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {device} cannot be used: {first_line(error)}") from None
    torch.set_num_threads(threads)


def _train(trainer: Trainer[Any], folder: RunFolder, tracker: Tracker, shown: Mapping[str, str]) -> None:
    total = trainer.last_step * trainer.config.training.batch_size
    with (
        MetricsFile(folder.metrics) as metrics,
        Progress(total, title=folder.path.name, start=trainer.sequences, shown=shown) as progress,
    ):
        trainer.train(metrics, tracker, progress)


def resume_line(folder: RunFolder, *options: object) -> str:
    """The command that goes on with a run."""
    return command_line("train", "--resume", folder.path, *options)


def take_up(folder: RunFolder, trainer: Trainer[Any]) -> list[dict[str, Any]] | None:
    """Bring the trainer to the folder's checkpoint, or write its first; returns the metrics up to there.

    None where the run has finished, of which nothing is changed. Files that tell of the end of training go where
    training goes on. UserError if the checkpoint was lost.
    """
    check_files(trainer.config, folder)
    earlier = read_metrics(folder.metrics) if folder.metrics.exists() else []
    if folder.checkpoint.exists():
        trainer.restore()
    elif folder.kept:
        raise UserError(f"{folder.path} is a model without its training: it cannot go on; train anew")
    elif earlier:
        raise UserError(f"{folder.checkpoint} is lost, though {folder.metrics} holds {len(earlier)} rows")
    if folder.result.exists() and trainer.step >= trainer.last_step:
        return None
    if trainer.config.where.resume:
        folder.note_resumed()
    trainer.objective.keep_data(folder)
    write_about(folder.path, trainer.about)
    if not folder.checkpoint.exists():
        trainer.save()
    if earlier:
        cut(folder.metrics, trainer.step)
    # Tests that were taken in between are of other weights than those that will be tested.
    for path in (folder.result, folder.weights, folder.evaluation, folder.failures, folder.answers):
        path.unlink(missing_ok=True)
    for step, path in folder.training_pictures().items():
        if step > trainer.step:
            path.unlink()
    write_whole(folder.config, to_yaml(trainer.config))
    return [row for row in earlier if row["step"] <= trainer.step]


def _has_finished(trainer: Trainer[Any], folder: RunFolder) -> str:
    """What is told of a run that is resumed though it has finished, and what to do with it."""
    told = [f"{folder.path} has finished, after step {trainer.step:,}; nothing was changed", "", "next"]
    if trainer.longer:
        told.append(f"  {resume_line(folder, *trainer.longer)}   # trains on")
    return "\n".join([*told, f"  {command_line('evaluate', folder.path)}   # tests it again"])
