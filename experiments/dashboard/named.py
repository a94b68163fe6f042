"""Scores by task, where tests have names: a column for each setting and the data of its tests, the paper's beside."""

from collections.abc import Collection, Sequence
from typing import Any

from experiments.runs.about import Reference
from experiments.runs.groups import told
from experiments.runs.reading import Run
from experiments.runs.restarts import pooled, published, whole_test
from experiments.runs.tests import TestRow


def named_tables(runs: Sequence[Run], copies: Collection[int]) -> list[dict[str, Any]]:
    """For every family the tests of all ended runs; in a column all restarts of all seeds on a task count alike.

    A run is named by its place in `runs`; copies of others, whose places are given, are left out.
    """
    members: dict[str, dict[str, list[tuple[int, Run, TestRow]]]] = {}
    for place, run in enumerate(runs):
        if run.about is None or not run.about["tests"]["names"] or not run.result or place in copies:
            continue
        for row in run.tests:
            if whole_test(row, run):
                key = repr((run.about["setting"], run.about["data"], row["on"]))
                members.setdefault(run.about["task"], {}).setdefault(key, []).append((place, run, row))
    return [_table(family, list(columns.values())) for family, columns in members.items()]


def _table(family: str, members: Sequence[Sequence[tuple[int, Run, TestRow]]]) -> dict[str, Any]:
    abouts = [run.about for tests in members for _, run, _ in tests if run.about is not None]
    names = {key: words for about in abouts for key, words in about["tests"]["names"].items()}
    # Those that read word by word come last, and are never compared with the others.
    columns = sorted(map(_column, members), key=lambda column: bool(column["by_word"]))
    tests = abouts[0]["tests"]
    return {
        "family": family,
        "by": tests["by"],
        "tasks": list(names.items()),
        "failed_above": tests["failed_above"],
        "score": tests["scores"][0],
        "columns": columns,
    }


def _column(tests: Sequence[tuple[int, Run, TestRow]]) -> dict[str, Any]:
    _, first, row = tests[0]
    about = first.about
    assert about is not None
    by_task: dict[str, list[tuple[int, Run, TestRow]]] = {}
    for test in tests:
        by_task.setdefault(str(test[2]["at"][about["tests"]["by"]]), []).append(test)
    order = [task for task in about["tests"]["names"] if task in by_task]
    cells = {task: pooled(by_task[task], about) for task in order}
    paper = published(about, row)
    return told(about) | {
        "joint": about["setting"].get("joint") is not None,
        "trained_on": about["data"],
        "tested_on": row["on"],
        "runs": sorted({place for place, _, _ in tests}),
        "cells": cells,
        "published": paper and _published(paper, list(cells)),
    }


def _published(paper: Reference, tasks: Sequence[str]) -> dict[str, Any]:
    """The paper's scores on the same tasks."""
    errors = {task: paper["tests"][task] for task in tasks if task in paper["tests"]}
    return {"name": paper["name"], "source": paper["source"], "protocol": paper["protocol"], "errors": errors}
