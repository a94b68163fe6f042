"""Runs of one setting on many tasks or seeds as one result, by task, with the published errors beside it."""

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.base.files import UserError, write_whole
from experiments.base.progress import working
from experiments.base.provenance import command_line, without_places
from experiments.base.tables import marked
from experiments.config.fields import TRACKING
from experiments.domains.stories.config import StoryConfig
from experiments.domains.stories.published import Column, published_for, shortcuts
from experiments.domains.stories.tables import FAILED, PARTS, name_of, number_of, spread
from experiments.domains.stories.testing import Row, choose
from experiments.figures import figure_name, save_figure, task_error_figure
from experiments.runs.folder import RunFolder, versions

# What runs that are put together may differ in.
NOT_SETTING = (
    *("numbers", "seed", "max_sentences", "babi_data", "test_questions", "device", "threads", "backend"),
    *(*TRACKING, "log_every", "valid_every", "checkpoint_every", "picture_every"),
)
_NUMBERS = ("error", "mean", "best", "published", "question_only", "last_fact")


@working("putting the runs together")
def summarize_stories(
    folders: Sequence[RunFolder], configs: Sequence[StoryConfig], *, out: str, origin: Mapping[str, str]
) -> str:
    """Write OUT.json, OUT.md and, for bAbI, a figure; returns the text.

    Restarts of all runs on the same task count alike: one is chosen by what they learned from, as in each run.
    UserError for runs that differ in their setting, have not ended, or overlap.
    """
    for folder, config in zip(folders, configs, strict=True):
        _check_setting(configs[0], config, folder)
    runs = [_run(folder, config) for folder, config in zip(folders, configs, strict=True)]
    first = configs[0]
    trained_on = {run["trained_on"] for run in runs}
    if len(trained_on) > 1:
        raise UserError(f"the runs were trained on different stories: {', '.join(sorted(trained_on))}")
    tests = dict.fromkeys(row["tested_on"] for run in runs for row in run["evaluation"])
    result: dict[str, Any] = without_places(
        {
            **origin,
            "versions": versions(),
            "config": {key: value for key, value in first.saved().items() if key not in ("numbers", "seed")},
            "runs": [{key: value for key, value in run.items() if key != "evaluation"} for run in runs],
            "tables": [_table(tested_on, runs, first) for tested_on in tests],
        }
    )
    text = _text(result, first)
    write_whole(f"{out}.json", json.dumps(result, indent=1) + "\n")
    write_whole(f"{out}.md", text)
    if first.task == "babi":
        table = result["tables"][-1]
        title = (
            f"{first.model}, recipe {first.recipe}, trained on {table['trained_on']}, tested on {table['tested_on']}"
        )
        published = table["published"]["name"] if table["published"] else "published"
        save_figure(task_error_figure(table["rows"], title, published), figure_name(out))
    return text


def _check_setting(first: StoryConfig, other: StoryConfig, folder: RunFolder) -> None:
    for name, value in first.saved().items():
        if name not in NOT_SETTING and other.saved()[name] != value:
            raise UserError(f"{folder.path} has {name} {other.saved()[name]!r}, the first run {value!r}")
    if first.task == "babi" and first.task_numbers != other.task_numbers:
        joint = first if len(first.task_numbers) > 1 else other
        if len(joint.task_numbers) > 1:
            raise UserError(
                f"{folder.path}: a model trained jointly on {joint.numbers} goes with others of these tasks"
            )


def _run(folder: RunFolder, config: StoryConfig) -> dict[str, Any]:
    """What is kept of one run."""
    result = folder.read_result("command", "trained_on", "questions_seen", "perf/seconds", "versions", "selection")
    if not result:
        raise UserError(f"{folder.path} has not ended; go on with: {command_line('train', '--resume', folder.path)}")
    return {
        "command": result["command"],
        "resumed_by": result.get("resumed_by", []),
        "trained_on": result["trained_on"],
        "tasks": config.numbers if config.task == "babi" else None,
        "seed": config.seed,
        "max_sentences": config.max_sentences,
        "questions_seen": result["questions_seen"],
        "perf/seconds": result["perf/seconds"],
        "versions": result["versions"],
        "selection": result["selection"],
        "evaluation": folder.read_tests(config),
    }


def _table(tested_on: str, runs: Sequence[dict[str, Any]], config: StoryConfig) -> dict[str, Any]:
    """The rows of one set of test questions, and their means."""
    by_number: dict[int, list[tuple[dict[str, Any], Row]]] = {}
    for run in runs:
        for row in run["evaluation"]:
            if row["tested_on"] == tested_on:
                by_number.setdefault(int(number_of(row)), []).append((run, row))
    trained_on = runs[0]["trained_on"]
    published = published_for(config, trained_on, tested_on)
    rows = [_row(by_number[number], config, published) for number in sorted(by_number)]
    return {
        "trained_on": trained_on,
        "tested_on": tested_on,
        "published": published and {key: published[key] for key in ("name", "source", "protocol")},
        "rows": rows,
        "means": {key: _mean([row[key] for row in rows]) for key in _NUMBERS},
        "failed": {
            key: sum(row[key] > FAILED for row in rows) for key in _NUMBERS if all(row[key] is not None for row in rows)
        },
    }


def _row(tests: Sequence[tuple[dict[str, Any], Row]], config: StoryConfig, published: Column | None) -> Row:
    """One task or length: the restarts of all runs on it, and the chosen one."""
    row = tests[0][1]
    number = number_of(row)
    seeds = [run["seed"] for run, _ in tests]
    if len(set(seeds)) < len(seeds):
        raise UserError(f"two of the runs have the same seed, {seeds[-1]}, on {name_of(row)}")
    pooled: list[Row] = [
        {"seed": run["seed"]} | score | {"test_error": error}
        for run, test in tests
        for score, error in zip(run["selection"]["restarts"], test["errors"], strict=True)
    ]
    errors = [one["test_error"] for one in pooled]
    chosen = pooled[choose(pooled, config.select)]
    known = shortcuts() if row["tested_on"].startswith("bAbI") else {}
    return {
        **{key: row[key] for key in ("task", "length") if key in row},
        "questions": row["questions"],
        "error": chosen["test_error"],
        "mean": statistics.fmean(errors),
        "deviation": statistics.stdev(errors) if len(errors) > 1 else None,
        "best": min(errors),
        "published": published["errors"].get(number) if published else None,
        **{name: known.get(name, {}).get(number) for name in ("question_only", "last_fact")},
        "chosen": chosen,
        "restarts": pooled,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """None where one is missing."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def _text(result: dict[str, Any], config: StoryConfig) -> str:
    """The result for reading."""
    runs = result["runs"]
    told = len({row["task"] for table in result["tables"] for row in table["rows"]}) if config.task == "babi" else 0
    what = f"stories of {told} task{'s' * (told > 1)}" if told else config.task
    lines = [f"# {what}, {config.model}, recipe {config.recipe}, {len(runs)} run{'s' * (len(runs) > 1)}", ""]
    if result["made_by"]:
        lines += ["Made by", "", "```", *result["made_by"].splitlines(), result["summarized_by"], "```", ""]
    commits = sorted({run["versions"]["commit"] for run in runs})
    used = sum(run["perf/seconds"] for run in runs)
    lines += [
        f"torch {result['versions']['torch']}, Python {result['versions']['python']}, commits {', '.join(commits)}; "
        f"{used / 60:.1f} minutes of training in all.",
        f"Chosen: of all restarts of a task the one with the lowest error on the {PARTS[config.select]} questions "
        "(ties: loss). Test questions choose nothing.",
        "",
    ]
    for table in result["tables"]:
        lines += [*_table_text(table, config), ""]
    return "\n".join(lines)


def _table_text(table: dict[str, Any], config: StoryConfig) -> list[str]:
    rows, published = table["rows"], table["published"]
    heads = {
        "error": "error %, chosen",
        "spread": "mean ± sd of restarts",
        "best": "best restart",
        "published": f"published: {published['name']}" if published else "",
        "question_only": "question only",
        "last_fact": "last fact",
    }
    shown = [key for key in heads if key == "spread" or any(row[key] is not None for row in rows)]
    kind = "task" if "task" in rows[0] else "sentences"

    def cell(row: Row, key: str) -> str:
        if key == "spread":
            return spread([one["test_error"] for one in row["restarts"]])
        return "-" if row[key] is None else f"{row[key]:.1f}"

    def total(values: dict[str, float | None], form: str) -> list[str]:
        keys = ["mean" if key == "spread" else key for key in shown]
        return ["" if values.get(key) is None else format(values[key], form) for key in keys]

    grid = [[kind, "restarts", *(heads[key] for key in shown)], ["---"] * (len(shown) + 2)]
    grid += [[name_of(row), str(len(row["restarts"])), *(cell(row, key) for key in shown)] for row in rows]
    if kind == "task" and len(rows) > 1:
        grid.append([f"**mean of {len(rows)}**", "", *total(table["means"], ".1f")])
        grid.append([f"**failed (> {FAILED:.0f} %)**", "", *total(table["failed"], "d")])
    lines = [
        f"Trained on {marked(table['trained_on'])}, tested on {marked(table['tested_on'])}, "
        f"{rows[0]['questions']} questions each:"
    ]
    lines += ["", *("| " + " | ".join(line) + " |" for line in grid)]
    if published:
        lines += ["", f"Published: {published['source']}; {published['protocol']}."]
    if "question_only" in shown:
        lines += [
            "",
            "Question only and last fact: errors of two shortcuts that do not read the story, on the release.",
        ]
    return lines
