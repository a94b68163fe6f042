"""Scores by task, where tests have names: a column for each setting and the data of its tests, the paper's beside."""

from collections.abc import Collection, Sequence
from typing import Any

from experiments.runs.about import Reference
from experiments.runs.groups import told
from experiments.runs.reading import Run
from experiments.runs.restarts import settings_of_restarts


def named_tables(runs: Sequence[Run], copies: Collection[int]) -> list[dict[str, Any]]:
    """For every family the tests of all ended runs; in a column all restarts of all seeds on a task count alike.

    A run is named by its place in `runs`; copies of others, whose places are given, are left out.
    """
    named = [run.about is not None and bool(run.about["tests"]["names"] and run.result) for run in runs]
    counting = [place for place, told_by_name in enumerate(named) if told_by_name and place not in copies]
    families: dict[str, list[dict[str, Any]]] = {}
    for one in settings_of_restarts(runs, counting):
        families.setdefault(one["about"]["task"], []).append(one)
    return [_table(family, members) for family, members in families.items()]


def _table(family: str, members: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = {key: words for one in members for key, words in one["about"]["tests"]["names"].items()}
    # Those that read word by word come last, and are never compared with the others.
    columns = sorted(map(_column, members), key=lambda column: bool(column["by_word"]))
    tests = members[0]["about"]["tests"]
    return {
        "family": family,
        "by": tests["by"],
        "tasks": list(names.items()),
        "failed_above": tests["failed_above"],
        "score": tests["scores"][0],
        "columns": columns,
    }


def _column(one: dict[str, Any]) -> dict[str, Any]:
    about, paper = one["about"], one["published"]
    cells = {str(value): row for value, row in one["rows"].items()}
    return told(about) | {
        "joint": about["setting"].get("joint") is not None,
        "trained_on": about["data"],
        "tested_on": one["tested_on"],
        "runs": sorted({place for row in cells.values() for place in row["runs"]}),
        "cells": {task: cells[task] for task in about["tests"]["names"] if task in cells},
        "published": paper and _published(paper, list(cells)),
    }


def _published(paper: Reference, tasks: Sequence[str]) -> dict[str, Any]:
    """The paper's scores on the same tasks."""
    errors = {task: paper["tests"][task] for task in tasks if task in paper["tests"]}
    return {"name": paper["name"], "source": paper["source"], "protocol": paper["protocol"], "errors": errors}
