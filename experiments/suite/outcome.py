"""How the jobs of a suite went: a few words for each, and a table of all."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.base.files import UserError
from experiments.base.progress import duration
from experiments.base.reading import read_json
from experiments.base.terminal import columns
from experiments.domains.stories.tables import FAILED
from experiments.runs.folder import RunFolder
from experiments.runs.outcomes import check_result
from experiments.suite.folder import SuiteFolder
from experiments.suite.jobs import SuiteJob


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    solved:   None where nothing says when it would be: no solved_at, or the world model.
    to_solve: training sequences until it was.
    error:    runs on stories: test error in percent, of several tasks their mean.
    seconds:  of training.
    """

    solved: bool | None
    to_solve: int | None
    error: float | None
    seconds: float

    def __str__(self) -> str:
        if self.error is not None:
            return f"done, {self.error:.1f} % wrong on test questions"
        if self.to_solve is not None:
            return f"done, solved after {self.to_solve:,} sequences"
        return "done, not solved" if self.solved is False else "done"


def read_outcome(run: Path) -> Outcome:
    """The outcome of a finished run, from its files; UserError where they were damaged."""
    try:
        result: dict[str, Any] = read_json(run / "result.json")
    except FileNotFoundError:
        raise UserError(f"{run} is no finished run: there is no result.json in it") from None
    check_result(result, run / "result.json")
    to_solve, seconds = result.get("sequences_to_solve"), result.get("perf/seconds", 0.0)
    if "selection" not in result:
        asked = result.get("config", {}).get("solved_at") is not None
        return Outcome(to_solve is not None if asked else None, to_solve, None, seconds)
    folder, chosen = RunFolder(run), result["selection"]["chosen"]
    config = folder.read_config()
    own = [row for row in folder.read_tests(config) if row["tested_on"] == result.get("trained_on")]
    if not own:
        raise UserError(f"{folder.evaluation} holds no test on questions like those of the training: move {run} away")
    errors = [row["errors"][chosen] for row in own]
    passed = max(errors) <= FAILED if config.task == "babi" else None
    return Outcome(passed, None, statistics.fmean(errors), seconds)


def table(folder: SuiteFolder, jobs: Sequence[SuiteJob], failed: Mapping[str, str]) -> str:
    """What solved, setting by setting, over the seeds that are done; then what failed and why."""
    groups: dict[str, list[SuiteJob]] = {}
    for job in jobs:
        groups.setdefault(job.group, []).append(job)
    rows: list[tuple[str, ...]] = [("setting", "done", "solved", "sequences to solve", "test error", "training")]
    rows += [_row(folder, name, members) for name, members in groups.items()]
    lines = [columns(rows)]
    if failed:
        lines += [
            "",
            *(f"failed   {name}: {why} (all of it: {folder.path}/logs/{name}.log)" for name, why in failed.items()),
        ]
    return "\n".join(lines)


def _row(folder: SuiteFolder, name: str, members: Sequence[SuiteJob]) -> tuple[str, ...]:
    """Counts and medians of a setting."""
    ended = [read_outcome(folder.run(job)) for job in members if folder.done(job)]
    known = [one.solved for one in ended if one.solved is not None]
    to_solve = [one.to_solve for one in ended if one.to_solve is not None]
    errors = [one.error for one in ended if one.error is not None]
    return (
        name,
        f"{len(ended)} of {len(members)}",
        f"{sum(known)} of {len(known)}" if known else "-",
        f"{statistics.median(to_solve):,.0f}" if to_solve else "-",
        f"{statistics.median(errors):.1f} %" if errors else "-",
        duration(statistics.median(one.seconds for one in ended)) if ended else "-",
    )
