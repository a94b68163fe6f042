"""Runs that differ in their seed, or whose tests have names in their task, as one result with what is published."""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro

from experiments.base.curves import curve_of_rows
from experiments.base.files import UserError, write_whole
from experiments.base.progress import working
from experiments.base.provenance import command_line, without_places
from experiments.base.terminal import page
from experiments.config.command_line import parse
from experiments.figures.curves import seeds_figure
from experiments.figures.style import DrawingOptions, Measure, figure_name, save_figure
from experiments.figures.tasks import task_error_figure
from experiments.report.summary_restarts import restart_result, restart_text
from experiments.report.summary_seeds import Member, same_seed, seed_result, seed_text, solving, test_lines
from experiments.runs.about import About, options_of_setting, published_curve, read_about, recipe_words
from experiments.runs.folder import RunFolder, versions
from experiments.runs.metrics import read_metrics
from experiments.runs.tests import best_possible, without_learning


@dataclasses.dataclass(frozen=True)
class SummarizeOptions(DrawingOptions):
    """Put runs together that differ only in their seed (on stories: seed or tasks): OUT.json, OUT.md and a figure."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """The folders of the runs."""
    out: str = "summary"
    """Path of the files to write, without an ending."""
    made_by: str = ""
    """The commands that made the runs, as a reader would type them, to be kept in the result."""


def summarize(args: Sequence[str]) -> int:
    """Write a result, print its text, and say where the files are."""
    options = parse(SummarizeOptions, "summarize", args)
    if not options.runs:
        raise UserError("summarize needs at least one run folder")
    if not Path(options.out).parent.is_dir():
        raise UserError(f"--out {options.out}: expected the path of files in a folder that exists")
    members = [member_of(RunFolder(run)) for run in options.runs]
    origin = {
        "made_by": options.made_by,
        "summarized_by": command_line("summarize", *options.runs, "--out", options.out),
    }
    with options.drawn():
        text = _summarized(members, options.out, origin)
    print(page(text), end="")
    print(f"{options.out}.md\n{options.out}.json", file=sys.stderr)
    return 0


def member_of(folder: RunFolder) -> Member:
    """A run as its files tell it; UserError where they are damaged."""
    rows = read_metrics(folder.metrics) if folder.metrics.exists() else []
    return Member(folder, read_about(folder.path), folder.read_result(), folder.read_tests(), rows)


def seeds_text(folders: Sequence[RunFolder]) -> str:
    """What `summarize` says of solving and tests, for runs that differ in their seed alone."""
    members = [member_of(folder) for folder in folders]
    about, result = members[0].about, seed_result(members)
    return "\n".join([*solving(result["seeds"], about), "", *test_lines(result["tests"], about)])


@working("putting the runs together")
def _summarized(members: Sequence[Member], out: str, origin: Mapping[str, str]) -> str:
    """Write OUT.json, OUT.md and a figure; returns the text. UserError for runs that are not of one setting."""
    first = members[0].about
    for member in members:
        _check_setting(first, member)
    by_restart = any(row["each"] for one in members for row in one.tests)
    if not by_restart:
        same_seed(members)
    result = without_places(
        {
            **origin,
            "versions": versions(),
            "config": _shared_config(members),
            **(restart_result(members) if by_restart else seed_result(members)),
        }
    )
    text = restart_text(result, first) if by_restart else seed_text(result, first)
    write_whole(f"{out}.json", json.dumps(result, indent=1) + "\n")
    write_whole(f"{out}.md", text)
    if not by_restart:
        _draw_seeds(members, first, out)
    elif first["tests"]["names"] and first["tests"]["failed_above"] is not None:
        _draw_tasks(result["tables"][-1], first, out)
    return text


def _check_setting(first: About, member: Member) -> None:
    path, own = member.folder.path, member.about
    if own["domain"] != first["domain"]:
        raise UserError(f"runs on {first['domain']} and runs on {own['domain']} cannot be one result")
    setting = options_of_setting(own)
    for name, value in options_of_setting(first).items():
        if setting.get(name) != value:
            raise UserError(f"{path} has {name} {setting.get(name)!r}, the first run {value!r}")
    if own["data"] != first["data"]:
        raise UserError(f"{path} was trained on {own['data']}, the first run on {first['data']}")


def _shared_config(members: Sequence[Member]) -> dict[str, Any]:
    """Of the configurations what all have; never the seed."""
    first, *others = [member.folder.read_saved() for member in members]
    return _shared(first, others)


def _shared(first: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    kept = {}
    for name, value in first.items():
        if isinstance(value, dict):
            kept[name] = _shared(value, [other.get(name, {}) for other in others])
        elif name != "seed" and all(name in other and other[name] == value for other in others):
            kept[name] = value
    return kept


def _draw_seeds(members: Sequence[Member], about: About, out: str) -> None:
    curve, tests = about["curve"], members[0].tests
    optimum = best_possible(about, tests)
    figure = seeds_figure(
        {f"seed {one.about['seed']}": curve_of_rows(one.rows, f"valid/{curve['metric']}") for one in members},
        published_curve(about),
        f"{about['subject']}, {about['model_words']}, {recipe_words(about)}",
        model=about["model"],
        measure=Measure(curve["metric"], curve["words"], curve["unit"]),
        target_bits=0.1 if curve["unit"] == "bits" and optimum is None else None,
        optimum=optimum,
        baseline=without_learning(about, tests),
    )
    save_figure(figure, figure_name(out))


def _draw_tasks(table: Mapping[str, Any], about: About, out: str) -> None:
    data = f"trained on {table['trained_on']}, tested on {table['tested_on']}"
    title = f"{about['model_words']}, {recipe_words(about)}, {data}"
    published = table["published"]["name"] if table["published"] else "published"
    save_figure(task_error_figure(table["rows"], about["tests"]["names"], title, published), figure_name(out))
