"""What the folder of a suite tells of its runs, in suite.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

from experiments.base.files import UserError
from experiments.base.reading import expect, read_json

RECORD = "suite.json"


class _Job(TypedDict):
    name: str
    args: list[str]
    group: NotRequired[str]
    values: NotRequired[dict[str, str]]


class _Record(TypedDict):
    suite: NotRequired[str]
    jobs: list[_Job]


class InSuite(NamedTuple):
    """The suite that a run is a job of, what the jobs of its setting are called, and its values of what is varied."""

    suite: str
    group: str
    values: Mapping[str, str]


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record in a suite's folder; None where it is none. UserError for a damaged one."""
    path = folder / RECORD
    try:
        content: dict[str, Any] = read_json(path)
    except FileNotFoundError:
        return None
    expect(content, _Record, path)
    return content


def job_names(folder: Path) -> list[str]:
    """The jobs that are recorded; none where it is no suite's folder. UserError for a damaged record."""
    return [job["name"] for job in (read_record(folder) or {"jobs": []})["jobs"]]


def in_suite(run: Path) -> InSuite | None:
    """What is told of a run; None where it is no job of a suite, or the record is damaged."""
    run = run.resolve()
    try:
        record = read_record(run.parent) or {"jobs": []}
    except UserError:
        return None
    for job in record["jobs"]:
        if job["name"] == run.name:
            return InSuite(
                record.get("suite", run.parent.name),
                job.get("group", run.name.rpartition("-s")[0]),
                job.get("values", {}),
            )
    return None
