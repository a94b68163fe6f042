"""python -m experiments sync: any run from its folder as one clean run of W&B."""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import tyro

from experiments.base.files import UserError
from experiments.config.command_line import parse
from experiments.runs.about import read_about
from experiments.runs.folder import RunFolder
from experiments.runs.handover import replay_history, replay_outcome, run_id_of, told_to_tracker
from experiments.runs.metrics import read_metrics
from experiments.runs.reading import find_runs
from experiments.runs.tracking import Tracker, start_tracker, sync_command
from experiments.runs.wandb_environment import import_wandb, resolve_mode, several_runs


@dataclasses.dataclass(frozen=True)
class SyncOptions:
    """Give W&B any run from its folder, anew and whole: one curve, whatever crashed, was resumed or was not tracked.

    Offline it is written into the wandb directory beside the run, where pieces of the run from before stay; what is
    printed sends the new ones alone. Online it replaces the run of the same id.
    """

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Run folders, or folders that hold runs at any depth."""
    wandb_mode: Literal["offline", "online"] | None = None
    """Weights & Biases mode; None for WANDB_MODE, else offline."""


def sync(args: Sequence[str]) -> int:
    """Replay runs to W&B and print their addresses, offline the command that sends them.

    Returns the exit code: 1 where one could not be.
    """
    options = parse(SyncOptions, "sync", args)
    if not options.runs:
        raise UserError("sync needs run folders, or folders that hold them, as in `python -m experiments sync runs`")
    folders = list(dict.fromkeys(run for name in options.runs for run in find_runs(Path(name))))
    mode = resolve_mode(options.wandb_mode, os.environ)
    if mode == "disabled":
        raise UserError("W&B is disabled (WANDB_MODE or WANDB_DISABLED): give --wandb-mode offline or online")
    import_wandb()
    kept, failed, first = list[Path](), 0, dict[str, Path]()
    with several_runs() if len(folders) > 1 else contextlib.nullcontext():
        for path in folders:
            try:
                folder = RunFolder(path)
                run_id = run_id_of(folder)
                same = first.setdefault(run_id, path)
                if same != path:
                    print(f"left out: {path} is a copy of {same}", file=sys.stderr)
                    continue
                tracker = sync_run(folder, mode, run_id)
            except UserError as error:
                if len(folders) == 1:
                    raise
                failed += 1
                print(f"left out: {error}", file=sys.stderr)
                continue
            print(f"{path}: {tracker.url or tracker.folder}", file=sys.stderr, flush=True)
            if tracker.url is not None:
                print(tracker.url, flush=True)
            elif tracker.folder is not None:
                kept.append(tracker.folder)
    if kept:
        print(sync_command(kept))
    return 1 if failed else 0


def sync_run(folder: RunFolder, mode: str, run_id: str) -> Tracker:
    """Replay one run; returns its ended tracker. UserError where it is in use, damaged or W&B does not take it."""
    with folder.locked():
        about, saved = read_about(folder.path), folder.read_saved()
        rows = read_metrics(folder.metrics) if folder.metrics.exists() else []
        result = folder.read_result()
        names, told = told_to_tracker(folder, about, saved)
        facts = {"parameters": about["parameters"]} | {key: result[key] for key in {"versions"} & result.keys()}
        tracker = start_tracker(
            "wandb",
            run_folder=folder.path.resolve(),
            run_id=run_id,
            names=names,
            config=told | facts,
            mode=mode,
        )
        replay_history(tracker, folder, rows)
        if rows:
            replay_outcome(tracker, folder, about, rows[-1]["sequences"])
        tracker.finish(0 if result else 1)
    if not tracker.notice:
        raise UserError(f"{folder.path}: W&B could not begin a run")
    return tracker
