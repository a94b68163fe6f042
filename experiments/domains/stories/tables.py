"""Errors by task as text."""

import statistics
from collections.abc import Sequence
from typing import Any

from experiments.base.terminal import columns
from experiments.domains.stories.published import Column
from tasks.babi import TASK_NAMES

# A task with a higher error, in percent, counts as failed.
FAILED = 5.0
PARTS = {"train": "training", "valid": "validation"}


def test_table(rows: Sequence[dict[str, Any]], chosen: int, published: Column | None) -> str:
    """The test table of one run.

    rows:      as from `test_rows`, all tested on the same stories.
    chosen:    the restart whose model is kept.
    published: the errors of a paper to stand beside them.
    """
    several = len(rows[0]["errors"]) > 1
    head = ["task" if "task" in rows[0] else "sentences", "questions", f"error % on {rows[0]['tested_on']}"]
    head += ["best restart", "mean ± sd of restarts"] if several else []
    head += [f"published, {published['name']}"] if published else []
    lines = [head]
    for row in rows:
        line = [name_of(row), str(row["questions"]), f"{row['errors'][chosen]:.1f}"]
        line += [f"{min(row['errors']):.1f}", spread(row["errors"])] if several else []
        line += [f"{published['errors'].get(number_of(row), float('nan')):.1f}"] if published else []
        lines.append(line)
    if len(rows) > 1 and "task" in rows[0]:
        errors = [row["errors"][chosen] for row in rows]
        lines.append([f"mean of {len(rows)}", "", f"{statistics.fmean(errors):.1f}", *[""] * (len(head) - 3)])
        failed = sum(error > FAILED for error in errors)
        lines.append([f"failed (> {FAILED:.0f} %)", "", str(failed), *[""] * (len(head) - 3)])
    return columns(lines)


def number_of(row: dict[str, Any]) -> str:
    """The task or length of a row, as the published numbers name it."""
    return str(row.get("task", row.get("length")))


def name_of(row: dict[str, Any]) -> str:
    """The task or length of a row in words."""
    return f"{row['task']} {TASK_NAMES[row['task']]}" if "task" in row else str(row["length"])


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation, the latter where there are several values."""
    after = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{after}"
