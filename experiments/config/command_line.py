"""Reading options with tyro, one clear line for whatever is wrong with them."""

import contextlib
import dataclasses
import inspect
import io
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import tyro

from experiments.base.files import UserError
from experiments.base.names import nearest
from experiments.base.terminal import Kept, show_help
from experiments.config.fields import check_values, option
from experiments.config.form import Config, aliases_of, form_of, from_yaml, started
from experiments.config.options import options_of
from experiments.config.parts import Run, Where
from experiments.config.plugins import find_task, is_place, settled
from experiments.config.registry import DOMAINS, TASKS, at

Options = TypeVar("Options")
_HELP = ("-h", "--help")
# What other options hang on.
_DECISIVE = ("model", "recipe", "config", "resume")
_ALWAYS = (*_HELP, "--model", "--recipe", *(option(field.name) for field in dataclasses.fields(Where)))
_NAMED = {
    "task": "What to learn: {}; or your own, MODULE:NAME or FILE.py:NAME.",
    "model": "The network: {}; or your own, MODULE:NAME or FILE.py:NAME.",
}
_RECIPE = "Named settings to start from: the task's own, those of a paper (see `recipes`), or FILE.yaml:NAME."
_UNSAID = "No docstring has a line on it."
_OTHERS = "Other tasks and models have other options, see `train babi --help`, `train copy --model lstm --help`."


def parse(kind: type[Options], name: str, args: Sequence[str], *, flags: bool = False) -> Options:
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
                config=(tyro.conf.FlagCreatePairsOff if flags else tyro.conf.FlagConversionOff,),
            )
    except SystemExit as end:
        if not end.code:
            show_help(told.getvalue())
            raise
        raise UserError(_one_line(complaint.getvalue(), name, kind)) from None
    check_values(options)
    return options


# ------------------------------------------------------------------------------------------------------------- train


def parse_train(args: Sequence[str], *, lenient: bool = False) -> Config[Any]:
    """The configuration of `train`: defaults from the recipe, --config or nothing, then the options given.

    With --resume only the options are read; the rest is the run's own.
    lenient: options that only other models have are passed over, not refused.
    """
    given = _given(args)
    start = _start(args, given)
    form = start.form
    idle = {("model", name) for name in form.network.idle({**start.model.options, **given})}
    known = {flag: name for flag, name in form.flags().items() if form.spelled[name] not in idle}
    kind = _dataclass(start, list(dict.fromkeys(known.values())))
    own = _own(args, start, known, given, lenient)
    # A task that is given already would not be among what is explained.
    asked: Any = parse(kind, "train", ["--help"] if {*_HELP} & {*own} else own)
    flat = {name: getattr(getattr(asked, form.spelled[name][0]), name) for name in known.values()}
    config = form.made(form.by_part(flat), start.recipe, asked.where)
    if config.where.resume is not None:
        _check_resumed(config, start, {"task": asked.task.task, "model": asked.model.model, "recipe": asked.recipe})
    return config


def _given(args: Sequence[str]) -> dict[str, str]:
    """What is given for options, as texts, by their names; UserError where one that others hang on has no value."""
    found: dict[str, str] = {}
    for word, after in pairwise([*args, "--"]):
        flag, equals, value = word.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if not flag.startswith("--"):
            continue
        found[name] = value if equals else after
        if name in _DECISIVE and not equals and after.startswith("--"):
            raise UserError(f"train: argument {flag}: expected one argument")
        if name in _DECISIVE and not found[name]:
            raise UserError(f"{flag} must not be empty")
    return found


def _start(args: Sequence[str], given: Mapping[str, str]) -> Config[Any]:
    """What the options change."""
    task = args[0] if args and not args[0].startswith("-") else None
    if (run := given.get("resume")) is not None:
        if not (path := Path(run) / "config.yaml").is_file():
            raise UserError(f"{run} is no run folder: there is no config.yaml in it")
        return dataclasses.replace(from_yaml(path), where=Where(resume=run))
    if (file := given.get("config")) is not None:
        if "recipe" in given:
            raise UserError("--config and --recipe both give the settings to start from; take one of them")
        return _from_file(Path(file), task, given.get("model"))
    if task is None and {*_HELP} & {*args}:
        task = "copy"
    if task is None:
        raise UserError(
            f"train needs a task first, as in `python -m experiments train copy`; there are {', '.join(TASKS)}"
        )
    return started(task, given.get("recipe"), given)


def _from_file(path: Path, task: str | None, model: str | None) -> Config[Any]:
    """The configuration in a file, for another task or model as far as they have the same options."""
    start = from_yaml(path)
    if task is not None and settled(task) != start.task.name:
        kind = find_task(task, TASKS)
        if kind.domain != start.domain or options_of(kind).keys() != start.task.options.keys():
            raise UserError(f"{path} is a configuration for {start.task.name}, not {task}")
        form = form_of(task, start.model.name)
        start = form.made(start.parts, start.recipe, start.where)
    return start if model is None else start.changed(model=model)


def _own(
    args: Sequence[str], start: Config[Any], known: Mapping[str, str], given: Mapping[str, str], lenient: bool
) -> list[str]:
    """The arguments; UserError for an option that neither model nor task has, which tells whose it is."""
    kept, passed = list[str](), False
    for word in args:
        flag = word.partition("=")[0].replace("_", "-")
        if not word.startswith("--") or flag in known or flag in _ALWAYS:
            if not passed or word.startswith("--"):
                kept.append(word)
            passed = False
            continue
        whose = owners(start, flag, given)
        if whose is None:
            raise UserError(f"train: no option is called {flag}{nearest(flag, [*known, *_ALWAYS])}")
        if not (lenient and "--" in whose):
            raise UserError(f"{start.model.short} on {start.task.short} has no option {flag}{whose}")
        passed = "=" not in word
    return kept


def owners(config: Config[Any], flag: str, given: Mapping[str, Any] | None = None) -> str | None:
    """The end of an error line: which models or tasks have an option; None where none does."""
    name, network = flag.removeprefix("--").replace("-", "_"), config.form.network
    if called := [option(f"{part}_{name}") for part in ("task", "model") if f"{part}_{name}" in config.form.spelled]:
        return f": it is {' or '.join(called)}"
    if name in network.options and name in network.entry.only:
        other, value = network.entry.only[name]
        now = {**config.model.options, **network.entry.fixed, **(given or {})}[other]
        return f" with {option(other)} {now}: it is one of {option(other)} {value}"
    models = [one for one in DOMAINS[config.domain].models if flag in form_of(config.task.name, one).flags()]
    if models:
        return f": it is one of {_few([f'--model {one}' for one in models])}"
    tasks = [task for task in TASKS if task != config.task.name and flag in _flags_of(task)]
    near = [task for task in tasks if find_task(task, TASKS).domain == config.domain]
    return f": it is one of {_few(near or tasks)}" if tasks else None


def _few(names: Sequence[str]) -> str:
    """Names in a row, no more of them than a line of a terminal holds."""
    more = len(names) - 4
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:4])} and {more} others"


def _flags_of(task: str) -> set[str]:
    """The options of a task, and of how and where its models are trained."""
    kind = find_task(task, TASKS)
    parts = (at(DOMAINS[kind.domain].training), Run)
    names = [aliases_of(kind).get(name, name) for name in options_of(kind)]
    return {option(name) for name in (*names, *(field.name for part in parts for field in dataclasses.fields(part)))}


def _check_resumed(config: Config[Any], saved: Config[Any], asked: Mapping[str, str]) -> None:
    """UserError for what a resumed run may not have otherwise."""
    own = {"task": saved.task.name, "model": saved.model.name, "recipe": saved.recipe}
    for name, value in asked.items():
        if value != own[name]:
            raise UserError(f"--resume goes on with the run's own {name} ({own[name]}), not {value}")
    if (other := config.other_than(saved.mapping())) is not None:
        name, there, here = other
        flag = config.form.flag(name).removeprefix("--")
        raise UserError(f"--resume goes on with the run's own {flag} ({there}), not {here}")


def _dataclass(start: Config[Any], names: Sequence[str]) -> type[Any]:
    """What tyro reads: a dataclass for every part, which are the groups of the help, with these options."""
    form, values = start.form, start.flat
    known = {"task": ", ".join(TASKS), "model": ", ".join(DOMAINS[form.domain].models)}
    kinds: dict[str, tuple[Any, Any]] = {"recipe": (Annotated[str, tyro.conf.arg(help=_RECIPE)], start.recipe)}
    for part in ("task", "model"):
        marks = (
            tyro.conf.arg(help=_NAMED[part].format(known[part])),
            *([tyro.conf.Positional] if part == "task" else []),
        )
        named: Any = Annotated[(str, *marks)]
        fields = {part: (named, getattr(start, part).name)}
        for name in names:
            if form.spelled[name][0] == part:
                one = form.option(name)
                flag = form.flag(name).removeprefix("--")
                # The command line is not told where an option is called otherwise.
                more: Any = {} if flag == option(name)[2:] else {"name": flag, "aliases": [option(name)]}
                fields[name] = (
                    Annotated[one.kind, tyro.conf.arg(help=one.meaning or _UNSAID, **more)],
                    values.get(name, one.default),
                )
        kinds[part] = _group(part.capitalize(), fields)
    for part in ("training", "run"):
        own = getattr(start, part)
        hidden = {
            field.name: (Annotated[field.type, tyro.conf.Suppress], getattr(own, field.name))
            for field in dataclasses.fields(own)
            if field.name not in form.options[part]
        }
        kind, shown = _group(type(own).__name__, hidden, (type(own),))
        values_of = {field.name: getattr(own, field.name) for field in dataclasses.fields(own)}
        kinds[part] = (kind, dataclasses.replace(shown, **values_of))
    kinds["where"] = (_part(Where), start.where)
    asked = _dataclass_of("Train", kinds)
    asked.__doc__ = f"Train {start.model.short} on {start.task.short}, then test it. {_OTHERS}"
    return asked


def _group(name: str, fields: Mapping[str, tuple[Any, Any]], bases: tuple[type[Any], ...] = ()) -> tuple[Any, Any]:
    """A dataclass of fields with their types and defaults, as tyro takes a part of another; and one of it."""
    kind: Any = _dataclass_of(name, fields, bases)
    return _part(kind), kind()


def _part(kind: Any) -> Any:
    """A dataclass as a part of another, with its docstring: tyro looks for one in the source, which takes long."""
    return Annotated[kind, tyro.conf.OmitArgPrefixes, tyro.conf.arg(help=inspect.getdoc(kind))]


def _dataclass_of(name: str, fields: Mapping[str, tuple[Any, Any]], bases: tuple[type[Any], ...] = ()) -> type[Any]:
    listed = [(key, kind, dataclasses.field(default=default)) for key, (kind, default) in fields.items()]
    made = dataclasses.make_dataclass(name, listed, bases=bases, frozen=True)
    made.__doc__ = bases[0].__doc__ if bases else ""
    return made


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
    flags = set[str]()
    with contextlib.suppress(UserError, OSError):  # which is told where it is read to be used
        form = _start(words, _given(words)).form
        kinds = {
            flag: form.options[form.spelled[name][0]][form.spelled[name][1]].kind for flag, name in form.flags().items()
        }
        flags = {flag for flag, kind in kinds.items() if bool in (kind, *get_args(kind))}
    ends = [*(after.startswith("-") for after in words[1:]), True]
    return [
        f"{word}=True" if end and word.replace("_", "-") in flags else word
        for word, end in zip(words, ends, strict=bool(words))
    ]


def _task_first(words: list[str]) -> list[str]:
    """With the first --task=NAME of a task, or --task NAME, as NAME in front; of stories another tells the numbers."""
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        given = [value] if equals else words[place + 1 : place + 2]
        if name == "--task" and given and (given[0] in TASKS or is_place(given[0])):
            return [*given, *words[:place], *words[place + (1 if equals else 2) :]]
    return words


# What tyro calls a kind of value.
_KINDS = {"FLOAT": "a number", "INT": "a whole number"}


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
    if unknown := re.search(r"Unrecognized options?: (.*)", text):
        words = unknown[1].split(", ")
        if flags := [word for word in words if word.startswith("--")]:
            own = [option(field.name) for field in dataclasses.fields(kind)]
            return f"{name}: no option is called {flags[0]}{nearest(flags[0], own)}"
        return f"{name}: {', '.join(map(repr, words))} is too much: expected options there, --NAME VALUE"
    if choice := re.search(r"invalid choice '([^']*)' for argument '([^']*)'.*one of \(([^)]*)\)", text):
        value, wrong, known = choice.groups()
        return f"{name}: {wrong} cannot be {value!r}" + nearest(value, re.findall("'([^']*)'", known))
    if union := re.search(
        r"Error parsing (\S+): no type matching (\S+) could be instantiated from \[(.*?)\]\. Got", text
    ):
        flag, kinds, values = union.groups()
        expected = " or ".join(_KINDS.get(one, one.strip("{}")) for one in kinds.split("|"))
        return f"{name}: {flag} cannot be {values}: expected {expected}"
    if number := re.search(r"Error parsing (\S+): (could not convert|invalid literal).*?: ('.*'|\".*\")$", text):
        flag, why, value = number.groups()
        return f"{name}: {flag} cannot be {value}: expected {_KINDS['FLOAT' if why.startswith('could') else 'INT']}"
    return f"{name}: {text}"
