"""Errors by task on stories: one column for each setting and set of test questions, the paper's beside it."""

import statistics
from collections.abc import Collection, Sequence
from typing import Any

from experiments.base.names import model_label
from experiments.base.statistics import deviation
from experiments.config.settings import differences, setting_of
from experiments.dashboard.curves import short
from experiments.dashboard.runs import Row, Run
from experiments.domains.stories.config import READERS, StoryConfig
from experiments.domains.stories.published import Column, published_for
from experiments.domains.stories.tables import FAILED
from experiments.domains.stories.testing import choose
from tasks.babi import TASK_NAMES


def story_table(runs: Sequence[Run], copies: Collection[int]) -> dict[str, Any]:
    """The bAbI tests of all ended runs; in a column all restarts of all seeds on a task count alike.

    A run is named by its place in `runs`; copies of others, whose places are given, are left out.
    """
    members: dict[str, list[tuple[int, Run, Row]]] = {}
    for place, run in enumerate(runs):
        if not isinstance(run.config, StoryConfig) or run.config.task != "babi" or not run.result or place in copies:
            continue
        for row in run.tests:
            if whole_test(row, run):
                key = repr((setting_of(run.config), row["trained_on"], row["tested_on"]))
                members.setdefault(key, []).append((place, run, row))
    # Those that read word by word come last, and are never compared with the others.
    columns = sorted((_column(tests) for tests in members.values()), key=lambda column: bool(column["by_word"]))
    return {"tasks": list(TASK_NAMES.items()), "failed_above": FAILED, "columns": columns}


def whole_test(row: Row, run: Run) -> bool:
    """Whether a test has what a table needs: stories, a task or length, the error of every restart that is known."""
    try:
        restarts = run.result["selection"]["restarts"]
        told = all(isinstance(row[key], str) for key in ("trained_on", "tested_on")) and (
            row["task"] in TASK_NAMES if "task" in row else type(row["length"]) is int
        )
        scored = all(f"{run.config.select}_{what}" in one for one in restarts for what in ("error", "loss"))  # type: ignore[union-attr]
        return told and scored and len(row["errors"]) == len(restarts) and None not in map(short, row["errors"])
    except (KeyError, TypeError):
        return False


def _column(tests: Sequence[tuple[int, Run, Row]]) -> dict[str, Any]:
    _, first, row = tests[0]
    config = first.config
    assert isinstance(config, StoryConfig)
    by_task: dict[int, list[tuple[int, Run, Row]]] = {}
    for test in tests:
        by_task.setdefault(test[2]["task"], []).append(test)
    cells = {task: pooled_errors(by_task[task], config) for task in sorted(by_task)}
    published = published_for(config, row["trained_on"], row["tested_on"])
    return {
        "model": model_label(config),
        "recipe": config.recipe,
        "setting": differences(config),
        "joint": len(config.task_numbers) > 1,
        "by_word": config.model in READERS,
        "trained_on": row["trained_on"],
        "tested_on": row["tested_on"],
        "runs": sorted({place for place, _, _ in tests}),
        "cells": cells,
        "published": published and _published(published, list(cells)),
    }


def pooled_errors(tests: Sequence[tuple[int, Run, Row]], config: StoryConfig) -> dict[str, Any]:
    """One task or length: error in percent of the chosen restart, the mean of all, the best, and where they are from.

    tests: the place of each run, the run, and the row of its test.
    """
    pooled: list[Row] = [
        score | {"test_error": error, "run": place}
        for place, run, row in tests
        for score, error in zip(run.result["selection"]["restarts"], row["errors"], strict=True)
    ]
    errors = [one["test_error"] for one in pooled]
    chosen = pooled[choose(pooled, config.select)]
    return {
        "chosen": short(chosen["test_error"]),
        "mean": short(statistics.fmean(errors)),
        "deviation": short(deviation(errors)),
        "best": short(min(errors)),
        "restarts": len(errors),
        "errors": [short(error) for error in errors],
        "run": chosen["run"],
    }


def _published(column: Column, tasks: Sequence[int]) -> dict[str, Any]:
    """The paper's errors on the same tasks."""
    errors = {task: column["errors"][str(task)] for task in tasks if str(task) in column["errors"]}
    return {key: column[key] for key in ("name", "source", "protocol")} | {"errors": errors}
