"""Restarts and seeds of one setting on many tasks or lengths in one result, with the published scores beside it."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.base.files import UserError
from experiments.base.names import counted
from experiments.base.provenance import command_line
from experiments.base.statistics import deviation
from experiments.base.tables import marked
from experiments.report.summary_seeds import Member
from experiments.runs.about import About, recipe_words
from experiments.runs.outcomes import LEARNED_FROM, choose
from experiments.runs.tests import Condition, TestRow, in_order, name_of, spread

Row = dict[str, Any]


def restart_result(members: Sequence[Member]) -> Row:
    """What OUT.json has of the runs. UserError for a run that has not ended, or two of one seed on one task."""
    runs = [_run(one) for one in members]
    tests = dict.fromkeys(row["on"] for one in members for row in one.tests)
    return {"runs": runs, "tables": [_table(on, members) for on in tests]}


def _run(one: Member) -> Row:
    """What is kept of one run."""
    path, result = one.folder.path, one.folder.read_result("command", "perf/seconds", "versions", "selection")
    if not result:
        raise UserError(f"{path} has not ended; go on with: {command_line('train', '--resume', path)}")
    told = ("command", "trained_on", "questions_seen", "perf/seconds", "versions", "selection")
    return {
        **{name: result.get(name) for name in told},
        "resumed_by": result.get("resumed_by", []),
        "subject": one.about["subject"],
        "seed": one.about["seed"],
    }


def _table(on: str, members: Sequence[Member]) -> Row:
    """The rows of one set of test questions, and their means."""
    about = members[0].about
    by, limit = about["tests"]["by"], about["tests"]["failed_above"]
    found: dict[Condition, list[tuple[Member, TestRow]]] = {}
    for one in members:
        for row in one.tests:
            if row["on"] == on:
                found.setdefault(row["at"][by], []).append((one, row))
    rows = [_row(found[value], about) for value in in_order(found)]
    numbers = ["error", "mean", "best", "published", *_shortcuts(about)]
    papers = [one for one in about["references"] if one["kind"] == "published" and on == about["data"]]
    return {
        "trained_on": about["data"],
        "tested_on": on,
        "published": {key: papers[0][key] for key in ("name", "source", "protocol")} if papers else None,
        "rows": rows,
        "means": {key: _mean([row[key] for row in rows]) for key in numbers},
        "failed": {
            key: sum(row[key] > limit for row in rows)
            for key in numbers
            if limit is not None and all(row[key] is not None for row in rows)
        },
    }


def _shortcuts(about: About) -> dict[str, dict[str, float]]:
    """What needs no reading, by a name for data: scores by task."""
    return {one["name"].replace(" ", "_"): one["tests"] for one in about["references"] if one["kind"] == "shortcut"}


def _row(tests: Sequence[tuple[Member, TestRow]], about: About) -> Row:
    """One task or length: the restarts of all runs on it, and the chosen one."""
    row, by, score = tests[0][1], about["tests"]["by"], about["tests"]["scores"][0]
    value = row["at"][by]
    seeds = [one.about["seed"] for one, _ in tests]
    if len(set(seeds)) < len(seeds):
        words = name_of(value, about["tests"])
        raise UserError(f"two of the runs have the same seed, {seeds[-1]}, on {words}")
    pooled: list[Row] = [
        {"seed": one.about["seed"]} | learned | {"test_error": error}
        for one, test in tests
        for learned, error in zip(one.result["selection"]["restarts"], test["each"][score["name"]], strict=True)
    ]
    errors = [one["test_error"] for one in pooled]
    chosen = pooled[choose(pooled, tests[0][0].result["selection"]["by"])]
    own = row["as_trained"]
    papers = [one["tests"].get(str(value)) for one in about["references"] if one["kind"] == "published" and own]
    return {
        by: value,
        "questions": row["count"],
        "error": chosen["test_error"],
        "mean": statistics.fmean(errors),
        "deviation": deviation(errors),
        "best": min(errors) if score["best"] == "low" else max(errors),
        "published": papers[0] if papers else None,
        **{name: known.get(str(value)) if own else None for name, known in _shortcuts(about).items()},
        "chosen": chosen,
        "restarts": pooled,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """None where one is missing."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def restart_text(result: Mapping[str, Any], about: About) -> str:
    """The result for reading."""
    runs, tests = result["runs"], about["tests"]
    told = len({row[tests["by"]] for table in result["tables"] for row in table["rows"]})
    what = f"{about['task']}, {told} {tests['unit']}{'s' * (told > 1)}" if tests["names"] else about["subject"]
    lines = [f"# {what}, {about['model_words']}, {recipe_words(about)}, {counted(len(runs), 'run')}", ""]
    if result["made_by"]:
        lines += ["Made by", "", "```", *result["made_by"].splitlines(), result["summarized_by"], "```", ""]
    commits = sorted({run["versions"].get("commit", "unknown") for run in runs})
    used = sum(run["perf/seconds"] for run in runs)
    lines += [
        f"torch {result['versions']['torch']}, Python {result['versions']['python']}, commits {', '.join(commits)}; "
        f"{used / 60:.1f} minutes of training in all.",
        f"Chosen: of all restarts of a {tests['by']} the one with the lowest error on the "
        f"{LEARNED_FROM[runs[0]['selection']['by']]} {about['examples']} (ties: loss). Test questions choose nothing.",
        "",
    ]
    for table in result["tables"]:
        lines += [*_table_text(table, about), ""]
    return "\n".join(lines)


def _table_text(table: Mapping[str, Any], about: About) -> list[str]:
    rows, published, tests = table["rows"], table["published"], about["tests"]
    heads = {
        "error": f"{tests['scores'][0]['heading']}, chosen",
        "spread": "mean ± sd of restarts",
        "best": "best restart",
        "published": f"published: {published['name']}" if published else "",
        **{name: name.replace("_", " ") for name in _shortcuts(about)},
    }
    shown = [key for key in heads if key == "spread" or any(row[key] is not None for row in rows)]

    def cell(row: Row, key: str) -> str:
        if key == "spread":
            return spread([one["test_error"] for one in row["restarts"]])
        return "-" if row[key] is None else f"{row[key]:.1f}"

    def total(values: dict[str, float | None], form: str) -> list[str]:
        keys = ["mean" if key == "spread" else key for key in shown]
        return ["" if values.get(key) is None else format(values[key], form) for key in keys]

    grid = [[tests["unit"], "restarts", *(heads[key] for key in shown)], ["---"] * (len(shown) + 2)]
    grid += [
        [name_of(row[tests["by"]], tests), str(len(row["restarts"])), *(cell(row, key) for key in shown)]
        for row in rows
    ]
    if tests["names"] and len(rows) > 1:
        grid.append([f"**mean of {len(rows)}**", "", *total(table["means"], ".1f")])
        if tests["failed_above"] is not None:
            grid.append([f"**failed (> {tests['failed_above']:.0f} %)**", "", *total(table["failed"], "d")])
    lines = [
        f"Trained on {marked(table['trained_on'])}, tested on {marked(table['tested_on'])}, "
        f"{rows[0]['questions']} {tests['examples']} each:"
    ]
    lines += ["", *("| " + " | ".join(line) + " |" for line in grid)]
    if published:
        lines += ["", f"Published: {published['source']}; {published['protocol']}."]
    if shortcuts := [
        one for one in about["references"] if one["kind"] == "shortcut" and one["name"].replace(" ", "_") in shown
    ]:
        words = " and ".join(one["name"] for one in shortcuts)
        lines += ["", f"{words[0].upper()}{words[1:]}: {shortcuts[0]['protocol']}, {shortcuts[0]['source']}."]
    return lines
