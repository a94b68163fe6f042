"""What a run may be asked, which its task and its model say themselves, and the configuration that this comes to.

config.yaml, recipes and --config have one form, nested plain data, and one reader, `Form.read`.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

import yaml

from experiments.base.files import UserError
from experiments.base.names import nearest
from experiments.base.reading import expect, read_yaml
from experiments.config import plugins
from experiments.config.fields import ASIDE, CHANGEABLE, Needs, check_value, fitted, marks_of, option
from experiments.config.network import Network
from experiments.config.options import Option, options_of
from experiments.config.parts import Choice, Run, Training, Where
from experiments.config.recipes import DEFAULT, PARTS, settings_of
from experiments.config.registry import DOMAINS, TASKS, at

FORMAT = 2
NOWHERE = Where()
_KEYS = ("format", "recipe", *PARTS)
_WHERE = {field.name for field in dataclasses.fields(Where)}

Own = TypeVar("Own", bound=Training)
Values = Mapping[str, Mapping[str, Any]]


class Form:
    """What runs of a model on a task may be asked.

    task, model: names or places.
    options:     by part and name.
    """

    def __init__(self, task: str, model: str) -> None:
        """UserError for a task or model that there is not, or that do not go together."""
        self.task, self.kind = task, plugins.find_task(task, TASKS)
        self.domain: str = self.kind.domain
        if self.domain not in DOMAINS:
            raise UserError(f"{task} is of the domain {self.domain!r}{nearest(self.domain, DOMAINS)}")
        self.network = Network(self.domain, model)
        self.training: type[Training] = at(DOMAINS[self.domain].training)
        self.options: dict[str, dict[str, Option]] = {
            "task": dict(options_of(self.kind)),
            "model": self.network.options,
            "training": self._fields(self.training),
            "run": self._fields(Run),
        }

    def _fields(self, kind: Any) -> dict[str, Option]:
        """The fields of a part that the model has what they need for."""
        return {
            one.name: one
            for one, needs in _options_of_part(kind)
            if all(hasattr(self.network.make, attribute) for attribute in needs)
        }

    @cached_property
    def spelled(self) -> dict[str, tuple[str, str]]:
        """Where an option belongs, part and name, by what it is called among all: --width; --task-width, --model-width
        where others are called so, too."""
        own = (name for one in self.options.values() for name in one)
        known = Counter([*_WHERE, "recipe", *PARTS, *own, *aliases_of(self.kind).values()])
        return {
            f"{part}_{name}" if part in ("task", "model") and known[name] > 1 else name: (part, name)
            for part, options in self.options.items()
            for name in options
        }

    def called(self, part: str, own: str) -> str:
        """What an option is called among all; its own name where there is none such."""
        return next((name for name, place in self.spelled.items() if place == (part, own)), own)

    def flag(self, name: str) -> str:
        """The command line's spelling of an option, by what it is called among all."""
        part, own = self.spelled.get(name, ("", name))
        return option(aliases_of(self.kind).get(own, name) if part == "task" else name)

    def flags(self) -> dict[str, str]:
        """The options by their spelling on the command line, and by their own where that is another."""
        return {flag: name for name in self.spelled for flag in (self.flag(name), option(name))}

    def option(self, name: str) -> Option:
        """An option by what it is called among all."""
        part, own = self.spelled[name]
        return self.options[part][own]

    def by_part(self, flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Options by part and name, from those by what they are called among all."""
        parts: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
        for name, value in flat.items():
            part, own = self.spelled[name]
            parts[part][own] = value
        return parts

    def marked(self, mark: str) -> set[tuple[str, str]]:
        """Part and name of the options that bear a mark; of a task's those that it names itself."""
        own = {("task", name) for name in getattr(self.kind, mark, ())}
        every = ((part, name, one) for part, options in self.options.items() for name, one in options.items())
        return own | {(part, name) for part, name, one in every if mark in marks_of(one.kind)}

    def read(self, content: Values, source: str, *, recipe: str = DEFAULT) -> "Config[Any]":
        """A configuration from plain data; what is left out is as by default.

        UserError, which names `source`, for an option that there is not, or a value that it cannot have.
        """
        values = {part: dict(content.get(part, {})) for part in PARTS}
        for part, own in values.items():
            for name in own:
                if name not in self.options[part]:
                    raise UserError(f"{source}: {part} has no option {name!r}{nearest(name, self.options[part])}")
        if idle := self.network.idle(values["model"]) & values["model"].keys():
            raise UserError(f"{source}: {self.network.idle_words(idle.pop(), values['model'])}")
        try:
            return self.made(values, recipe, NOWHERE)
        except UserError as error:
            raise UserError(f"{source}: {error}") from None

    def made(self, values: Values, recipe: str, where: Where) -> "Config[Any]":
        """A configuration of options by part, those that are not there as by default; UserError as for `read`."""
        whole: dict[str, dict[str, Any]] = {}
        for part, options in self.options.items():
            idle = self.network.idle(values.get("model", {})) if part == "model" else set()
            whole[part] = {
                name: self.fitted(part, one, values[part][name]) if name in values.get(part, {}) else one.default
                for name, one in options.items()
                if name not in idle
            }
        task = self._new_task(whole["task"])
        settled = {name: getattr(task, name) for name in getattr(self.kind, "settled", ())}
        config: Config[Any] = Config(
            Choice(self.task, whole["task"] | settled),
            Choice(self.network.name, whole["model"]),
            self.training(**whole["training"]),
            Run(**whole["run"]),
            task,
            recipe,
            where,
        )
        config.training.check()
        config.run.check()
        where.check()
        return config

    def fitted(self, part: str, one: Option, value: Any) -> Any:
        """The value of an option; UserError for one that it cannot have."""
        flag = self.flag(self.called(part, one.name))
        try:
            fit = fitted(one.kind, value)
        except ValueError:
            raise UserError(f"{flag} cannot be {value!r}{_hint(one.kind, value)}") from None
        check_value(flag, one.name, fit, one.default)
        return plugins.settled(fit) if isinstance(fit, str) and one.takes_place else fit

    def _new_task(self, options: Mapping[str, Any]) -> Any:
        """The task itself, made from its options; UserError where it cannot be."""
        try:
            return self.kind(**options)
        except ValueError as error:
            raise UserError(str(error)) from None
        except (Exception, SystemExit) as error:
            if not plugins.is_place(self.task):
                raise
            raise UserError(f"{self.task}: {plugins.told(error)}") from None


@cache
def _options_of_part(kind: Any) -> list[tuple[Option, list[str]]]:
    """The fields of a part, and the attributes that a model must have for each."""
    return [
        (
            Option(field.name, field.type, field.default, ""),
            [one.attribute for one in marks_of(field.type) if isinstance(one, Needs)],
        )
        for field in dataclasses.fields(kind)
    ]


def form_of(task: str, model: str) -> Form:
    """The form of runs of a model on a task; UserError as for it."""
    return _form(plugins.settled(task), plugins.settled(model))


@cache
def _form(task: str, model: str) -> Form:
    return Form(task, model)


@dataclasses.dataclass(frozen=True)
class Config(Generic[Own]):
    """A run's configuration.

    learned: the task itself, made from its options. recipe: what it began with.
    where:   where it begins and goes; not saved.
    """

    task: Choice
    model: Choice
    training: Own
    run: Run
    learned: Any = dataclasses.field(compare=False, repr=False)
    recipe: str = DEFAULT
    where: Where = NOWHERE

    @property
    def form(self) -> Form:
        """What such runs may be asked."""
        return form_of(self.task.name, self.model.name)

    @property
    def domain(self) -> str:
        """The form of the task's examples."""
        return self.form.domain

    @property
    def subject(self) -> str:
        """What exactly is learned."""
        return str(getattr(self.learned, "subject", self.task.short))

    @property
    def task_label(self) -> str:
        """What is learned, in short."""
        return str(getattr(self.learned, "label", self.task.short))

    @property
    def model_label(self) -> str:
        """A short name of the model for folders and legends, with what its name does not tell: ntm-lstm, lstm."""
        more = [str(self.model.options[name]) for name in self.form.network.entry.named_by]
        return "-".join([self.model.short, *(one.rpartition(":")[2] for one in more)])

    @property
    def label(self) -> str:
        """What is learned by which kind of model, for folders: copy-ntm-lstm, babi-q1-memn2n."""
        return f"{self.task_label}-{self.model_label}"

    @property
    def parts(self) -> dict[str, dict[str, Any]]:
        """All options by part and name."""
        chosen = {"task": self.task.options, "model": self.model.options}
        kept = {
            part: {name: getattr(getattr(self, part), name) for name in self.form.options[part]}
            for part in ("training", "run")
        }
        return {**{part: dict(options) for part, options in chosen.items()}, **kept}

    @property
    def flat(self) -> dict[str, Any]:
        """Everything by what the command line calls it; see `Form.spelled`."""
        parts, told = self.parts, {"task": self.task.name, "recipe": self.recipe, "model": self.model.name}
        spelled = {name: place for name, place in self.form.spelled.items() if place[1] in parts[place[0]]}
        return told | {name: parts[part][own] for name, (part, own) in spelled.items()}

    def changed(self, **options: Any) -> "Config[Own]":
        """With other values of options, by what the command line calls them; UserError for those that cannot be.

        With another model those options of the present one that it has stay.
        """
        parts = self.parts
        model = str(options.pop("model", self.model.name))
        where = {name: options.pop(name) for name in _WHERE & options.keys()}
        recipe = options.pop("recipe", self.recipe)
        form = form_of(self.task.name, model)
        for part, own in form.by_part(options).items():
            parts[part] |= own
        known = {part: {name: one for name, one in parts[part].items() if name in form.options[part]} for part in parts}
        return form.made(known, recipe, dataclasses.replace(self.where, **where))

    def mapping(self) -> dict[str, Any]:
        """Plain data for config.yaml and the tracker: everything but where this run came from and went."""
        return {"format": FORMAT, "recipe": self.recipe, **self._named(self.parts)}

    @property
    def setting(self) -> dict[str, Any]:
        """Plain data that all runs of one setting have, and no others; some tasks say what is theirs."""
        aside = self.form.marked(ASIDE)
        parts = self.parts
        parts["task"] = getattr(self.learned, "setting", parts["task"])
        kept = {
            part: {name: value for name, value in parts[part].items() if (part, name) not in aside}
            for part in ("task", "model", "training")
        }
        return {"recipe": self.recipe, **self._named(kept)}

    def _named(self, parts: Values) -> dict[str, dict[str, Any]]:
        """Parts as plain data, the names of task and model among them."""
        names = {"task": {"name": self.task.name}, "model": {"name": self.model.name}}
        return {part: names.get(part, {}) | _plain(own) for part, own in parts.items()}

    def other_than(self, saved: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
        """An option in which a saved configuration differs, but for those that may: its name, there and here.

        One saved before there was an option is as by default.
        """
        free = self.form.marked(CHANGEABLE)
        own = self.mapping()
        for part in PARTS:
            there = saved.get(part, {})
            if not isinstance(there, Mapping):
                return part, there, own[part]
            saved_here = _plain({name: one.default for name, one in self.form.options[part].items()}) | dict(there)
            for name in own[part].keys() | there.keys():
                before, now = saved_here.get(name), own[part].get(name)
                if (part, name) not in free and before != now:
                    return part if name == "name" else self.form.called(part, name), before, now
        return None

    @property
    def places(self) -> list[str]:
        """Where what the user brings is."""
        known = self.form.options
        taken = (one for part, own in self.parts.items() for name, one in own.items() if known[part][name].takes_place)
        values = (*taken, self.task.name, self.model.name)
        return list(dict.fromkeys(one for one in values if isinstance(one, str) and plugins.is_place(one)))

    @property
    def files(self) -> dict[str, str]:
        """What of the configuration is in files of the user's, by place, with their digests."""
        return {place: found for place in self.places if (found := plugins.digest(place)) is not None}


def to_yaml(config: Config[Any]) -> str:
    """The text of config.yaml."""
    return yaml.safe_dump(config.mapping(), sort_keys=False)


def from_yaml(path: Path) -> Config[Any]:
    """Read a config.yaml strictly: UserError for anything but known options with values of their type."""
    return from_mapping(read_yaml(path, "a configuration"), str(path))


def from_mapping(content: Any, source: str) -> Config[Any]:
    """A configuration from plain data; `source` names it in a UserError."""
    if not isinstance(content, dict) or "task" not in content:
        raise UserError(f"{source} is no configuration: expected task, model, training and run with their options")
    if isinstance(content["task"], str):
        raise UserError(f"{source} is a configuration of memnet 0.1: expected format {FORMAT}, in parts; train it anew")
    if content.get("format", FORMAT) != FORMAT:
        raise UserError(f"{source} is of another version of memnet: format {content['format']!r}, not {FORMAT}")
    if strange := [name for name in content if name not in _KEYS]:
        raise UserError(f"{source}: no part is called {strange[0]!r}{nearest(str(strange[0]), _KEYS)}")
    expect(content.get("recipe", DEFAULT), str, f"{source}: recipe")
    for part in PARTS:
        expect(content.get(part, {}), dict[str, Any], f"{source}: {part}")
    names = []
    for part in ("task", "model"):
        if not isinstance(name := content.get(part, {}).get("name"), str):
            raise UserError(f"{source}: {part} lacks its name")
        names.append(name)
    try:
        form = form_of(*names)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    values = {part: {key: value for key, value in content.get(part, {}).items() if key != "name"} for part in PARTS}
    return form.read(values, source, recipe=content.get("recipe", DEFAULT))


def started(task: str, recipe: str | None = None, chosen: Mapping[str, str] | None = None) -> Config[Any]:
    """What a recipe says for a task, the default one for None; see `settings_of`."""
    name = recipe or DEFAULT
    kind = plugins.find_task(task, TASKS)
    parts = settings_of(kind.domain, task, name, chosen or {})
    form = form_of(task, parts["model"].pop("name"))
    known: set[str] = set().union(*(Network(form.domain, one).options for one in DOMAINS[form.domain].models))
    # Of our models a recipe may have options that the chosen one has not.
    kept = {one: value for one, value in parts["model"].items() if one in form.options["model"] or one not in known}
    deciding = (chosen or {}).keys() & form.network.deciding
    kept |= {one: form.fitted("model", form.options["model"][one], (chosen or {})[one]) for one in deciding}
    kept = {one: value for one, value in kept.items() if one not in form.network.idle(kept)}
    return form.read({**parts, "model": kept}, f"recipe {name}", recipe=name)


def known_options(task: str, model: str | None = None) -> set[str]:
    """What of a task, by any model of its domain or one of a user's, may be asked."""
    kind = plugins.find_task(task, TASKS)
    models = [*DOMAINS[kind.domain].models, *([model] if model is not None and plugins.is_place(model) else [])]
    return _known_options(plugins.settled(task), tuple(map(plugins.settled, models)))


@cache
def _known_options(task: str, models: tuple[str, ...]) -> set[str]:
    return set().union(*(_form(task, one).spelled for one in models))


def aliases_of(task: Any) -> Mapping[str, str]:
    """What a class of tasks calls its options on the command line, by their own names, where that is another."""
    return getattr(task, "spelled", {})


def _hint(kind: Any, value: object) -> str:
    """What a text could be instead, where that is told by its type."""
    members = (kind, *get_args(kind))
    known = [choice for one in members if get_origin(one) is Literal for choice in get_args(one)]
    return nearest(value, known) if known and isinstance(value, str) else ""


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without tuples, which neither YAML nor JSON has."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
