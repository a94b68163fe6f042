"""Runs on data of their own, text, translation or pictures, put together in one result: tests by seed."""

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.base.files import UserError, write_whole
from experiments.base.progress import working
from experiments.base.provenance import command_line, without_places
from experiments.base.statistics import deviation
from experiments.base.tables import marked
from experiments.config.parts import Config
from experiments.runs.folder import RunFolder, versions
from experiments.runs.handover import outcome

_HEAD = ("test", "mean ± sd", "lowest", "highest", "by seed")


@working("putting the runs together")
def summarize_plain(
    folders: Sequence[RunFolder], configs: Sequence[Config], own: Sequence[str], *, out: str, origin: Mapping[str, str]
) -> str:
    """Write OUT.json and OUT.md of runs that differ in nothing but `own` options, and return the text.

    UserError for runs of several settings, or one that has not ended.
    """
    seeds = [_seed_result(folder, config) for folder, config in zip(folders, configs, strict=True)]
    first = _setting(configs[0], own)
    for folder, config in zip(folders, configs, strict=True):
        other = _setting(config, own)
        if (name := next((name for name in first if other.get(name) != first[name]), None)) is not None:
            raise UserError(f"{folder.path} has {name} {other.get(name)!r}, the first run {first[name]!r}")
    numbers = [config.seed for config in configs]
    if len(set(numbers)) < len(numbers):
        raise UserError(f"two of the runs have the same seed, {next(n for n in numbers if numbers.count(n) > 1)}")
    result: dict[str, Any] = without_places(
        {
            **origin,
            "versions": versions(),
            "config": first,
            "seeds": seeds,
            "tests": {name: _spread(name, seeds) for name in seeds[0]["tests"]},
            "published": None,
        }
    )
    text = _text(result, configs[0])
    write_whole(f"{out}.json", json.dumps(result, indent=1) + "\n")
    write_whole(f"{out}.md", text)
    return text


def _setting(config: Config, own: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in config.saved().items() if name not in own}


def _seed_result(folder: RunFolder, config: Config) -> dict[str, Any]:
    result = folder.read_result("command", "versions", "trained_on", "steps", "perf/seconds")
    tests = folder.read_tests(config)
    if not result:
        raise UserError(f"{folder.path} has not ended; go on with: {command_line('train', '--resume', folder.path)}")
    return {
        "seed": config.seed,
        "command": result["command"],
        "resumed_by": result.get("resumed_by", []),
        "versions": result["versions"],
        "trained_on": result["trained_on"],
        "steps": result["steps"],
        "tests": outcome(config, tests, result),
        "perf/seconds": result["perf/seconds"],
    }


def _spread(name: str, seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A test's values over the seeds that have it."""
    values = {str(one["seed"]): one["tests"][name] for one in seeds if name in one["tests"]}
    known = list(values.values())
    return {
        "by_seed": values,
        "mean": statistics.fmean(known),
        "deviation": deviation(known),
        "lowest": min(known),
        "highest": max(known),
    }


def _text(result: Mapping[str, Any], config: Config) -> str:
    """The result for reading."""
    seeds = result["seeds"]
    count = f"{len(seeds)} seed{'s' * (len(seeds) > 1)}"
    commits = sorted({one["versions"].get("commit", "unknown")[:12] for one in seeds})
    own = [command for one in seeds for command in (one["command"], *one["resumed_by"])]
    commands = [result["made_by"]] if result["made_by"] else own
    steps = ", ".join(f"{one['steps']:,}" for one in seeds)
    made_with = seeds[0]["versions"]
    lines = [f"# {config.label}, {count}", "", "Made by", "", "```", *commands, result["summarized_by"], "```", ""]
    lines += [
        f"torch {made_with['torch']}, Python {made_with['python']}, commits {', '.join(commits)}.",
        f"Trained on {marked(seeds[0]['trained_on'])} for {steps} steps; there is no published number on these data.",
        "",
    ]
    table = [list(_HEAD), ["---"] * len(_HEAD), *(_line(name, test) for name, test in result["tests"].items())]
    return "\n".join([*lines, *("| " + " | ".join(cells) + " |" for cells in table)]) + "\n"


def _line(name: str, test: Mapping[str, Any]) -> list[str]:
    spread = "" if test["deviation"] is None else f" ± {test['deviation']:.2g}"
    each = ", ".join(f"{seed}: {value:.5g}" for seed, value in test["by_seed"].items())
    return [name, f"{test['mean']:.5g}{spread}", f"{test['lowest']:.5g}", f"{test['highest']:.5g}", each]
