"""Reading options with tyro, one clear line for whatever is wrong with them."""

import argparse
import contextlib
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, get_args

import tyro

from experiments.base.files import UserError
from experiments.base.names import nearest
from experiments.base.terminal import Kept, show_help
from experiments.config.fields import changeable, check_values, fields_of, option
from experiments.config.models import options_of_others
from experiments.config.parts import STORY_TASKS, Config, TrainConfig, from_yaml, kind_of
from experiments.config.registry import TASKS, entry
from experiments.domains.captions.config import CaptionConfig
from experiments.domains.sequences.recipes import CHOICES, recipe
from experiments.domains.stories.config import StoryConfig
from experiments.domains.stories.data import settled
from experiments.domains.stories.recipes import story_recipe
from experiments.domains.text.config import TextConfig
from experiments.domains.translation.config import TranslateConfig
from experiments.runs.folder import RunFolder

Options = TypeVar("Options")


def parse(
    kind: type[Options], name: str, args: Sequence[str], default: Options | None = None, *, flags: bool = False
) -> Options:
    """Options of a dataclass from the command line; UserError of one line for what tyro would box.

    name:  the command, as in `python -m experiments NAME`.
    flags: whether options that are true or false are switched on by their name alone, or given True or False.
    """
    complaint, told = io.StringIO(), Kept()
    try:
        with contextlib.redirect_stderr(complaint), contextlib.redirect_stdout(told):
            options = tyro.cli(
                kind,
                prog=f"python -m experiments {name}",
                args=list(args),
                default=tyro.MISSING_NONPROP if default is None else default,
                config=(tyro.conf.FlagCreatePairsOff if flags else tyro.conf.FlagConversionOff,),
            )
    except SystemExit as end:
        if not end.code:
            show_help(told.getvalue())
            raise
        raise UserError(_one_line(complaint.getvalue(), name, kind)) from None
    check_values(options)
    return options


def spelled_out(args: Sequence[str]) -> list[str]:
    """Arguments of `train` in the usual spelling, of which agents of W&B have others.

    hidden_size=20 is --hidden_size=20, --skip alone is --skip=True, and a task may be given as --task=copy.
    """
    words: list[str] = []
    for word in args:
        awaited = bool(words) and re.fullmatch(r"--[\w-]+", words[-1]) is not None
        words.append(f"--{word}" if not awaited and re.match(r"[A-Za-z][\w-]*=", word) else word)
    if words and words[0].startswith("-"):
        words = _task_first(words)
    options = fields_of(_kind_asked(words))
    flags = {option(one.name) for one in options if bool in (one.type, *get_args(one.type))}
    ends = [*(after.startswith("-") for after in words[1:]), True]
    return [
        f"{word}=True" if end and word.replace("_", "-") in flags else word
        for word, end in zip(words, ends, strict=bool(words))
    ]


def _kind_asked(words: Sequence[str]) -> type[Config]:
    """The kind of configuration that arguments of `train` are for: their task's, else that of what they begin from."""
    if words and not words[0].startswith("-"):
        return kind_of(words[0])
    for word, after in pairwise([*words, ""]):
        name, equals, value = word.partition("=")
        if name in ("--config", "--resume"):
            path = Path(value if equals else after)
            with contextlib.suppress(UserError, OSError):  # which is told where it is read to be used
                return type(from_yaml(path if name == "--config" else path / "config.yaml"))
    return TrainConfig


def _task_first(words: list[str]) -> list[str]:
    """With the first --task=NAME of a task, or --task NAME, as NAME in front; of stories another tells the numbers."""
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        given = [value] if equals else words[place + 1 : place + 2]
        if name == "--task" and given and given[0] in TASKS:
            return [*given, *words[:place], *words[place + (1 if equals else 2) :]]
    return words


def parse_train(args: Sequence[str]) -> Config:
    """The configuration of `train`: defaults from the recipe, --config or nothing, then the options given.

    With --resume only the options are read; the rest is the run's own.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("recipe", "config", "resume", *CHOICES):
        early.add_argument(f"--{name}")
    try:
        given, _ = early.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise UserError(f"train: {error}") from None
    for name, value in vars(given).items():
        if value == "":
            raise UserError(f"--{name} must not be empty")
    task = args[0] if args and not args[0].startswith("-") else None
    if given.resume is not None:
        return _resumed(given.resume, args)
    if given.config is not None:
        if given.recipe is not None:
            raise UserError("--config and --recipe both give the settings to start from; take one of them")
        start = _from_file(Path(given.config), task)
    elif task is not None:
        entry(task, TASKS, "task")
        chosen = {name: getattr(given, name) for name in CHOICES if getattr(given, name) is not None}
        start = start_of(task, given.recipe, chosen)
    elif {"-h", "--help"} & set(args):
        start = TrainConfig(task="copy")
    else:
        raise UserError(
            f"train needs a task first, as in `python -m experiments train copy`; there are {', '.join(TASKS)}"
        )
    if {"-h", "--help"} & set(args):
        start = _with_its_options_alone(start, vars(given))
    return _checked(parse(type(start), "train", args, start))


def _with_its_options_alone(config: Config, chosen: Mapping[str, Any]) -> Config:
    """The configuration for help, which shows of the options those that the chosen model and the task have."""
    for field in dataclasses.fields(config):
        if field.name in CHOICES and chosen[field.name] in get_args(field.type):
            config = dataclasses.replace(config, **{field.name: chosen[field.name]})
    kind, others = type(config), options_of_others(config)
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(kind)}
    hidden = [
        (field.name, Annotated[field.type, tyro.conf.Suppress], field.default)
        for field in dataclasses.fields(kind)
        if field.name in others
    ]
    shown = dataclasses.make_dataclass(kind.__name__, hidden, bases=(kind,), frozen=True)
    shown.__doc__ = kind.__doc__
    return cast(Config, shown(**values))


def start_of(task: str, name: str | None, chosen: Mapping[str, str]) -> Config:
    """The configuration that options change: of a recipe, the default one for None, and of what is chosen of CHOICES.

    UserError for a recipe that there is not, or a default model without one.
    """
    kind = kind_of(task)
    if kind is TrainConfig:
        return recipe(name or "default", task, chosen)
    if kind is StoryConfig:
        return story_recipe(name or "default", task, chosen.get("model"))
    if kind is CaptionConfig:
        return CaptionConfig.of(task)  # type: ignore[arg-type]
    return kind(task)  # type: ignore[arg-type]


def _from_file(path: Path, task: str | None) -> Config:
    start = from_yaml(path)
    entry(start.task, TASKS, "task")
    if task is None:
        return start
    entry(task, TASKS, "task")
    if not isinstance(start, kind_of(task)) or (start.task in STORY_TASKS and task != start.task):
        raise UserError(f"{path} is a configuration for {start.task}, not {task}")
    return dataclasses.replace(start, task=task)  # type: ignore[arg-type]


def _resumed(run: str, args: Sequence[str]) -> Config:
    saved = from_yaml(RunFolder(run).config)
    config = _checked(parse(type(saved), "train", args, dataclasses.replace(saved, resume=run)))
    for field in dataclasses.fields(saved):
        if field.name in {*changeable(type(saved)), "resume", "seeds", "together"}:
            continue
        if getattr(config, field.name) != getattr(saved, field.name):
            raise UserError(
                f"--resume goes on with the run's own {option(field.name).removeprefix('--')} "
                f"({getattr(saved, field.name)}), not {getattr(config, field.name)}"
            )
    return config


def _checked(config: Config) -> Config:
    if isinstance(config, StoryConfig):
        config = settled(config)
    elif isinstance(config, TextConfig | TranslateConfig):
        config = config.settled()
    config.check()
    return config


def _one_line(box: str, name: str, kind: Any) -> str:
    """The complaint out of tyro's box, in one line, with the nearest option for an unknown one."""
    # tyro draws with plain characters where the output cannot show others, and in colours in a terminal.
    box = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [line.strip("│╭╮╰╯|+ \n") for line in box.splitlines()]
    body: list[str] = []
    for line in lines[1:]:
        if not re.fullmatch("[─-]{5,}", line):
            body.append(line)
        elif body:
            break
    text = " ".join(part for part in body if part)
    if unknown := re.search(r"Unrecognized options?: (--[\w-]+)", text):
        having = [task for task in TASKS if unknown[1].replace("_", "-") in _options(kind_of(task))]
        if having and kind in get_args(Config):
            return f"{name}: runs on {kind.kind} have no option {unknown[1]}: it is one of {', '.join(having)}"
        return f"{name}: no option is called {unknown[1]}{nearest(unknown[1], _options(kind))}"
    if choice := re.search(r"invalid choice '([^']*)' for argument '([^']*)'.*one of \(([^)]*)\)", text):
        value, wrong, known = choice.groups()
        return f"{name}: {wrong} cannot be {value!r}" + nearest(value, re.findall("'([^']*)'", known))
    return f"{name}: {text}"


def _options(kind: type) -> list[str]:
    return [option(field.name) for field in fields_of(kind)]
