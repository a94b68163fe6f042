"""Reading options with tyro, one clear line for whatever is wrong with them."""

import argparse
import contextlib
import dataclasses
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import tyro

from experiments.config import CHANGEABLE, TrainConfig, from_yaml
from experiments.files import UserError
from experiments.models import make_task
from experiments.names import nearest
from experiments.recipes import recipe
from experiments.run_folder import RunFolder
from tasks import TASKS

Options = TypeVar("Options")


def parse(kind: type[Options], name: str, args: Sequence[str], default: Options | None = None) -> Options:
    """Options of a dataclass from the command line; UserError of one line for what tyro would box.

    name: the command, as in `python -m experiments NAME`.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                kind,
                prog=f"python -m experiments {name}",
                args=list(args),
                default=tyro.MISSING_NONPROP if default is None else default,
                config=(tyro.conf.FlagConversionOff,),
            )
    except SystemExit as end:
        if not end.code:
            raise
        raise UserError(_one_line(complaint.getvalue(), name, kind)) from None


def parse_train(args: Sequence[str]) -> TrainConfig:
    """The configuration of `train`: defaults from the recipe, --config or nothing, then the options given.

    With --resume only the options are read; the rest is the run's own.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("--recipe", "--config", "--resume"):
        early.add_argument(name)
    try:
        given, _ = early.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise UserError(f"train: {error}") from None
    asks_help = bool({"-h", "--help"} & set(args))
    task = args[0] if args and not args[0].startswith("-") else None
    if given.resume is not None:
        return _resumed(given.resume, args)
    if given.config is not None:
        if given.recipe is not None:
            raise UserError("--config and --recipe both give the settings to start from; take one of them")
        start = from_yaml(Path(given.config))
        if task is not None:
            start = dataclasses.replace(start, task=task)
        make_task(start.task)
    elif task is not None:
        make_task(task)
        start = recipe(given.recipe or "default", task)
    elif asks_help:
        start = TrainConfig(task="copy")
    else:
        raise UserError(
            f"train needs a task first, as in `python -m experiments train copy`; there are {', '.join(TASKS)}"
        )
    config = parse(TrainConfig, "train", args, start)
    config.check()
    return config


def _resumed(run: str, args: Sequence[str]) -> TrainConfig:
    saved = RunFolder(run).read_config()
    config = parse(TrainConfig, "train", args, dataclasses.replace(saved, resume=run))
    for field in dataclasses.fields(TrainConfig):
        if field.name in CHANGEABLE or field.name == "resume":
            continue
        if getattr(config, field.name) != getattr(saved, field.name):
            raise UserError(
                f"--resume goes on with the run's own {field.name.replace('_', '-')} "
                f"({getattr(saved, field.name)}), not {getattr(config, field.name)}"
            )
    config.check()
    return config


def _one_line(box: str, name: str, kind: type) -> str:
    """The complaint out of tyro's box, in one line, with the nearest option for an unknown one."""
    # tyro draws with plain characters where the output cannot show others.
    lines = [line.strip("│╭╮╰╯|+ \n") for line in box.splitlines()]
    body: list[str] = []
    for line in lines[1:]:
        if not re.fullmatch("[─-]{5,}", line):
            body.append(line)
        elif body:
            break
    text = " ".join(part for part in body if part)
    if unknown := re.search(r"Unrecognized options?: (--[\w-]+)", text):
        options = ["--" + field.name.replace("_", "-") for field in dataclasses.fields(kind)]
        return f"{name}: no option is called {unknown[1]}{nearest(unknown[1], options)}"
    if choice := re.search(r"invalid choice '([^']*)' for argument '([^']*)'.*one of \(([^)]*)\)", text):
        value, wrong, known = choice.groups()
        return f"{name}: {wrong} cannot be {value!r}" + nearest(value, re.findall("'([^']*)'", known))
    return f"{name}: {text}"
