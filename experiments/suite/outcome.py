"""How the jobs of a suite went: a few words for each, and a table of all."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.base.files import UserError
from experiments.base.progress import duration
from experiments.base.terminal import columns
from experiments.runs.about import read_about
from experiments.runs.folder import RunFolder
from experiments.runs.tests import Headline, headline
from experiments.suite.folder import SuiteFolder
from experiments.suite.jobs import SuiteJob


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    solved:   None where nothing says when it would be.
    to_solve: training examples until it was, and what they are called.
    test:     what stands for its tests, where no validation says whether it is solved.
    seconds:  of training.
    """

    solved: bool | None
    to_solve: int | None
    examples: str
    test: Headline | None
    seconds: float

    def __str__(self) -> str:
        if self.test is not None:
            return f"done, {self.test} on tests"
        if self.to_solve is not None:
            return f"done, solved after {self.to_solve:,} {self.examples}"
        return "done, not solved" if self.solved is False else "done"


def read_outcome(run: Path) -> Outcome:
    """The outcome of a finished run, from its files; UserError where they were damaged."""
    folder = RunFolder(run)
    if not folder.result.exists():
        raise UserError(f"{run} is no finished run: there is no result.json in it")
    result, about = folder.read_result(), read_about(run)
    to_solve, seconds = result.get("sequences_to_solve"), result.get("perf/seconds", 0.0)
    if about["solved"] is not None:
        return Outcome(to_solve is not None, to_solve, about["examples"], None, seconds)
    own = [row for row in folder.read_tests() if row["as_trained"]]
    limit, first = about["tests"]["failed_above"], about["tests"]["scores"][0]["name"]
    scores = [row["scores"][first] for row in own if first in row["scores"]]
    solved = max(scores) <= limit if scores and limit is not None else None
    return Outcome(solved, None, about["examples"], headline(own, about["tests"]), seconds)


def table(folder: SuiteFolder, jobs: Sequence[SuiteJob], failed: Mapping[str, str]) -> str:
    """What solved, setting by setting, over the seeds that are done; then what failed and why."""
    groups: dict[str, list[SuiteJob]] = {}
    for job in jobs:
        groups.setdefault(job.group, []).append(job)
    rows: list[tuple[str, ...]] = [("setting", "done", "solved", "examples to solve", "test", "training")]
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
    tests = [one.test for one in ended if one.test is not None]
    middle = tests[0]._replace(value=statistics.median(one.value for one in tests)) if tests else None
    return (
        name,
        f"{len(ended)} of {len(members)}",
        f"{sum(known)} of {len(known)}" if known else "-",
        f"{statistics.median(to_solve):,.0f}" if to_solve else "-",
        "-" if middle is None else str(middle),
        duration(statistics.median(one.seconds for one in ended)) if ended else "-",
    )
