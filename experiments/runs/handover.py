"""What the tracker gets of a run from its folder: the history, and at the end figures, tables and summary.

A training hands over its own folder in this way, and `sync` that of any run, so that both leave the same.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.runs.about import About, setting_name
from experiments.runs.checkpoint import read_progress
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import read_rows
from experiments.runs.suites import in_suite
from experiments.runs.tests import Condition, TestRow
from experiments.runs.tracking import TRAINING_PICTURES, Names, Picture, Tracker
from experiments.runs.wandb_environment import legal_id

Row = dict[str, Any]


def told_to_tracker(folder: RunFolder, about: About, saved: Mapping[str, Any]) -> tuple[Names, Row]:
    """How the tracker is to show a run, and its configuration.

    A group is one setting on one task. Of a job of a suite the group, the tags and the configuration tell the suite,
    and the tags its values of what is varied. "setting" in the configuration is the same on every task.

    saved: the run's configuration, with what is asked of the tracker.
    """
    setting, job = setting_name(about), in_suite(folder.path)
    what, tags = about["label"].removesuffix(f"-{about['model']}"), [about["task"], about["model"], about["data"]]
    group, facts = f"{what}-{setting}", {"setting": setting}
    if job is not None:
        group, facts = f"{job.suite}/{job.group}-{setting.rpartition('-')[2]}", facts | {"suite": job.suite}
        tags += [job.suite, *(f"{name}={value}" for name, value in job.values.items())]
    asked = saved.get("run") or {}
    tags += [tag.strip() for tag in (asked.get("wandb_tags") or "").split(",")]
    name, last = asked.get("wandb_name"), folder.path.resolve().name
    if name is not None and (job is not None or folder.name != last):  # one of several that are called so
        name = f"{name}-{last}"
    names = Names(
        name=name or folder.name,
        group=asked.get("wandb_group") or group,
        tags=list(dict.fromkeys(filter(None, tags))),
        notes=asked.get("wandb_notes"),
        project=asked.get("wandb_project"),
        entity=asked.get("wandb_entity"),
    )
    return names, dict(saved) | facts


def run_id_of(folder: RunFolder) -> str:
    """What the tracker called a run in training; its name where the checkpoint is gone."""
    if not folder.checkpoint.exists():
        return legal_id(folder.name)
    return str(read_progress(folder.checkpoint)["run_id"])


def replay_history(tracker: Tracker, folder: RunFolder, rows: Sequence[Row]) -> None:
    """Give a tracker rows of metrics, and the pictures that were drawn in training."""
    drawn = folder.training_pictures().items() if rows else ()
    pictures = [
        Picture(TRAINING_PICTURES, path, step * rows[-1]["sequences"] // rows[-1]["step"]) for step, path in drawn
    ]
    tracker.replay(rows, pictures)


def replay_outcome(tracker: Tracker, folder: RunFolder, about: About, sequences: int) -> None:
    """Give a tracker what a run that was trained for so many sequences has at its end, as far as it is there."""
    for path in sorted(folder.figures.glob("*.png")):
        tracker.image(f"figures/{path.stem}", path, sequences)
    for path in (folder.failures, folder.answers):
        if path.exists() and (rows := read_rows(path)):
            tracker.table(f"tables/{path.stem}", rows, sequences)
    if result := folder.read_result():
        tests = folder.read_tests()
        for row in test_points(about, tests):
            tracker.log({"sequences": sequences} | row)
        tracker.summary(outcome(about, tests, result))


def test_points(about: About, tests: Sequence[TestRow]) -> list[Row]:
    """The tests as in training as points of curves: test/length or test/task, and the scores, test/exact_share say."""
    by = about["tests"]["by"]
    return [
        ({f"test/{by}": place} if isinstance(place, int) else {})
        | {f"test/{name}": score for name, score in scores.items()}
        for place, scores in _scored(about, tests)
    ]


def outcome(about: About, tests: Sequence[TestRow], result: Mapping[str, Any]) -> Row:
    """The values that stand for an ended run: its tests as in training, and how it went.

    test/exact_share/length-20 and so on for every score and length, or test/error_percent/task-1; of parts their names.
    outcome/solved and outcome/sequences_to_solve where it is said what solved is; where the mean of all tests stands
    for them, that, outcome/error_percent say, and outcome/failed_tests where it is said what failed is.
    """
    by, first = about["tests"]["by"], about["tests"]["scores"][0]["name"]
    values: Row = {}
    for place, scores in _scored(about, tests):
        values |= {f"test/{name}/{place if by == 'part' else f'{by}-{place}'}": score for name, score in scores.items()}
    if about["solved"] is not None:
        solved = result.get("sequences_to_solve")
        values["outcome/solved"] = int(solved is not None)
        values |= {} if solved is None else {"outcome/sequences_to_solve": solved}
    elif about["tests"]["together"] == "mean":
        known = [scores[first] for _, scores in _scored(about, tests) if first in scores]
        values |= {f"outcome/{first}": statistics.fmean(known)} if known else {}
        if known and (limit := about["tests"]["failed_above"]) is not None:
            values["outcome/failed_tests"] = sum(value > limit for value in known)
    return values


def _scored(about: About, tests: Sequence[TestRow]) -> list[tuple[Condition, dict[str, float]]]:
    """Where the tests as in training were made, and the scores of each that stand for the model."""
    names = [score["name"] for score in about["tests"]["scores"]]
    return [
        (row["at"].get(about["tests"]["by"]), {name: row["scores"][name] for name in names if name in row["scores"]})
        for row in tests
        if row["as_trained"]
    ]
