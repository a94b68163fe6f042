"""From a suite's settings to jobs: every one checked before any runs, with a name that people can read."""

import dataclasses
import itertools
import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from typing import Any

from experiments.base.files import UserError
from experiments.config.command_line import parse_train
from experiments.config.fields import option
from experiments.config.form import Config, aliases_of
from experiments.suite.reading import Plan, Setting, check_count
from experiments.training.domain import domain_of

# Longer names are cut.
_LONGEST = 120


@dataclasses.dataclass(frozen=True)
class SuiteJob:
    """One training of a suite.

    name:   of its run folder, unique in the suite.
    group:  the name without the seed: what the jobs of one setting have in common.
    args:   of `train`, all but --out.
    config: what they come to.
    values: of the options that vary in the suite.
    """

    name: str
    group: str
    args: tuple[str, ...]
    config: Config[Any]
    values: Mapping[str, str]


def make_jobs(plan: Plan, seeds: int | None) -> list[SuiteJob]:
    """All jobs of a suite, setting by setting.

    seeds: how many of each setting, None for as many as the file says.
    UserError, before anything runs, for a setting that cannot be trained, or one that repeats another.
    Options that a model does not have make no further jobs.
    """
    by_seed = [one for one in plan.settings if "seed" in one.options]
    if by_seed and (seeds or plan.seeds or len(by_seed) < len(plan.settings)):
        raise UserError(f"{by_seed[0].where}: a seed among the options leaves no room for seeds of the suite")
    count = seeds or plan.seeds or 1
    check_count(f"{plan.name} with {count:,} seeds", count * len(plan.settings))
    configs = [_config(one) for one in plan.settings]
    jobs, first = [], dict[str, tuple[Setting, dict[str, str]]]()
    for one, config, (group, values) in zip(plan.settings, configs, _groups(plan, configs), strict=True):
        chosen = [config.run.seed] if by_seed else range(plan.seed, plan.seed + count)
        for seed in chosen:
            seeded = config.changed(seed=seed)
            args = (config.task.name, *_flags(one, config), "--seed", str(seed))
            lacks = {name: value for name, value in one.options.items() if name not in config.flat}
            earlier, lacked = first.setdefault(json.dumps(seeded.mapping(), sort_keys=True), (one, lacks))
            if earlier is not one:
                if lacked == lacks:
                    raise UserError(f"{earlier.where} and {one.where} both have the job: train {' '.join(args)}")
                continue  # only options that its model does not have are others
            jobs.append(SuiteJob(f"{group}-s{seed}", group, args, seeded, values))
    return jobs


def _config(one: Setting) -> Config[Any]:
    """The configuration of a setting; UserError that tells where it is from."""
    args = [f"{option(name)}={value}" for name, value in one.options.items()]
    try:
        config = parse_train([one.task, *args], lenient=True)
        domain_of(config).possible_data(config)
    except UserError as error:
        raise UserError(f"{one.where}: {error}") from None
    return config


def _flags(one: Setting, config: Config[Any]) -> list[str]:
    """The options of a setting that its model has, without its seed.

    Where a task's data are, and a user's model, is settled: all jobs have the same.
    """
    form, flat = config.form, config.flat
    options = {name: value for name, value in one.options.items() if name in {*flat, "config"} - {"seed", "task"}}
    for name, (part, own) in form.spelled.items():
        if part == "task" and isinstance(flat[name], str) and flat[name] != form.options[part][own].default:
            options[name] = flat[name]
    options |= {name: flat[name] for name in ("model",) if name in options}
    if "config" in options:
        options["config"] = os.path.abspath(options["config"])
    return [f"{form.flag(name)}={value}" for name, value in options.items()]


def _groups(plan: Plan, configs: Sequence[Config[Any]]) -> list[tuple[str, Mapping[str, str]]]:
    """For every setting, seeds apart, a name, and its values of the options that tell it from others.

    The name: what it learns by which model, and those values.
    """
    labels = [config.label for config in configs]
    members = defaultdict[str, list[Setting]](list)
    for name, one in zip(labels, plan.settings, strict=True):
        members[name].append(one)
    # What tells the settings of one name apart is looked for once.
    telling = {
        one: _telling(members[one], plan.varying, _not_in_label(config))
        for one, config in zip(labels, configs, strict=True)
    }
    groups: list[tuple[str, Mapping[str, str]]] = []
    owners: dict[str, tuple[str, ...]] = {}
    for name, config, one in zip(labels, configs, plan.settings, strict=True):
        values = {option: one.options[option] for option in telling[name] if option in one.options}
        group = "-".join([name, *(_slug(*told) for told in values.items())])[:_LONGEST]
        numbered = (group if number == 1 else f"{group}-{number}" for number in itertools.count(1))
        own = (config.task.name, *_flags(one, config))
        groups.append((next(name for name in numbered if owners.setdefault(name, own) == own), values))
    return groups


def _not_in_label(config: Config[Any]) -> set[str]:
    """The options that a label does not tell."""
    form = config.form
    return config.flat.keys() - {"task", "model", "seed", *form.network.entry.named_by, *aliases_of(form.kind)}


def _telling(settings: Sequence[Setting], varying: Set[str], untold: Set[str]) -> list[str]:
    """The options that vary, by the file or among these settings, in the file's order."""
    names = dict.fromkeys(name for one in settings for name in one.options if name in untold)
    return [name for name in names if name in varying or len({one.options.get(name) for one in settings}) > 1]


def _short(value: str) -> str:
    """A number in at most four digits."""
    return f"{float(value):.4g}" if re.fullmatch(r"-?\d+\.\d+(e-?\d+)?", value) else value


def _slug(name: str, value: str) -> str:
    """An option and its value in a folder's name."""
    told = re.sub(r"^-(?=[\d.])", "minus ", _short(value))
    return re.sub(r"[^A-Za-z0-9.]+", "-", f"{name}-{told}").strip("-")
