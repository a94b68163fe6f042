"""What the tracker gets of a run from its folder: the history, and at the end figures, tables and summary.

A training hands over its own folder in this way, and `sync` that of any run, so that both leave the same.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.base.names import model_label
from experiments.config.parts import Config, JudgedConfig, TrainConfig
from experiments.config.settings import setting_name
from experiments.domains.captions.config import CaptionConfig
from experiments.domains.sequences.models import make_task
from experiments.domains.stories.config import StoryConfig
from experiments.domains.stories.tables import FAILED
from experiments.domains.text.config import TextConfig
from experiments.domains.translation.config import TranslateConfig
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import read_rows
from experiments.runs.tracking import TRAINING_PICTURES, Names, Picture, Tracker
from experiments.suite.record import in_suite

Row = dict[str, Any]

_TRANSLATION_SCORES = ("exact_share", "beam_exact_share", "bleu", "beam_bleu")


def told_to_tracker(folder: RunFolder, config: Config, stories: str = "") -> tuple[Names, Row]:
    """How the tracker is to show a run, and its configuration.

    A group is one setting on one task. Of a job of a suite the group, the tags and the configuration tell the suite,
    and the tags its values of what is varied. "setting" in the configuration is the same on every task.

    stories: what those that the run is trained on are called.
    """
    setting, asked, job = setting_name(config), config.wandb, in_suite(folder.path)
    model = model_label(config)
    what, tags = config.label.removesuffix(f"-{model}"), [config.task, model, stories]
    group, facts = f"{what}-{setting}", {"setting": setting}
    if job is not None:
        group, facts = f"{job.suite}/{job.group}-{setting.rpartition('-')[2]}", facts | {"suite": job.suite}
        tags += [job.suite, *(f"{name}={value}" for name, value in job.values.items())]
    tags += [tag.strip() for tag in (asked.wandb_tags or "").split(",") if tag.strip()]
    name, last = asked.wandb_name, folder.path.resolve().name
    if name is not None and (job is not None or folder.name != last):  # one of several that are called so
        name = f"{name}-{last}"
    names = Names(
        name=name or folder.name,
        group=asked.wandb_group or group,
        tags=list(dict.fromkeys(filter(None, tags))),
        notes=asked.wandb_notes,
        project=asked.wandb_project,
        entity=asked.wandb_entity,
    )
    return names, config.saved() | facts


def replay_history(tracker: Tracker, folder: RunFolder, config: Config, rows: Sequence[Row]) -> None:
    """Give a tracker rows of metrics, and the pictures that were drawn in training."""
    drawn = folder.training_pictures().items()
    pictures = [Picture(TRAINING_PICTURES, path, step * config.batch_size) for step, path in drawn]
    tracker.replay(rows, pictures)


def replay_outcome(tracker: Tracker, folder: RunFolder, config: Config, sequences: int) -> None:
    """Give a tracker what a run that was trained for so many sequences has at its end, as far as it is there."""
    for path in sorted(folder.figures.glob("*.png")):
        tracker.image(f"figures/{path.stem}", path, sequences)
    for path in (folder.failures, folder.answers):
        if rows := _table(path):
            tracker.table(f"tables/{path.stem}", rows, sequences)
    tests, result = folder.read_tests(config), folder.read_result()
    for row in test_points(config, tests, result):
        tracker.log({"sequences": sequences} | row)
    tracker.summary(outcome(config, tests, result))


def test_points(config: Config, tests: Sequence[Row], result: Row) -> list[Row]:
    """The tests of an ended run as points of curves: test/length or test/task, and the scores, test/exact_share say."""
    kinds = ("length", "task")
    return [
        {f"test/{kind}": row[kind] for kind in kinds if kind in row}
        | {f"test/{name}": score for name, score in scores.items()}
        for row, scores in _scored_tests(config, tests, result)
    ]


def outcome(config: Config, tests: Sequence[Row], result: Row) -> Row:
    """The values that stand for an ended run: its tests as trained, and how it went.

    test/exact_share/length-20 and so on for every score and length, or test/error_percent/task-1 (or length-10);
    outcome/solved and outcome/sequences_to_solve where the configuration says what solved is, or on stories
    outcome/error_percent, the mean of all tests, and outcome/failed_tests, those with more than FAILED percent. Of text
    test/bits_per_character/validation and so on by part.
    """
    if not result:
        return {}
    values: Row = {}
    for row, scores in _scored_tests(config, tests, result):
        place = row["part"] if "part" in row else f"task-{row['task']}" if "task" in row else f"length-{row['length']}"
        values |= {f"test/{name}/{place}": score for name, score in scores.items()}
    if isinstance(config, JudgedConfig):
        if config.solved_at is not None:
            solved = result["sequences_to_solve"]
            values |= {"outcome/solved": int(solved is not None)}
            values |= {} if solved is None else {"outcome/sequences_to_solve": solved}
    elif isinstance(config, StoryConfig) and (errors := list(values.values())):
        values["outcome/error_percent"] = statistics.fmean(errors)
        values["outcome/failed_tests"] = sum(error > FAILED for error in errors)
    return values


def _scored_tests(config: Config, tests: Sequence[Row], result: Row) -> list[tuple[Row, Row]]:
    """The tests under the conditions of training, as `train` makes them at its end, and the scores of each."""
    if not result:
        return []
    if isinstance(config, TrainConfig):
        own = (config.num_slots if config.model == "ntm" else None, None, 0)
        rows = [row for row in tests if (row["num_slots"], row["repeats"], row["seed"]) == own]
        task = make_task(config.task)
        names = dict.fromkeys(score.name for score in (task.exact, *task.scores))
        return [(row, {name: row[name] for name in names if name in row}) for row in rows]
    if isinstance(config, TextConfig):
        rows = [row for row in tests if row["text"] == result["trained_on"]]
        return [(row, _text_scores(row)) for row in rows]
    if isinstance(config, TranslateConfig):
        trained = (result["trained_on"], config.beam, config.beam_normalization)
        rows = [row for row in tests if (row["tested_on"], row["beam"], row["normalization"]) == trained]
        return [(row, {name: row[name] for name in _TRANSLATION_SCORES if row[name] is not None}) for row in rows]
    if isinstance(config, CaptionConfig):
        return [(row, {"error_percent": row["error_percent"]}) for row in tests if row["seed"] == 0]
    chosen = result["selection"]["chosen"]
    rows = [row for row in tests if row["tested_on"] == row["trained_on"]]
    return [(row, {"error_percent": row["errors"][chosen]}) for row in rows]


def _text_scores(row: Row) -> Row:
    """Bits per character, and where the source is known what is above those of who knows it, on the same characters."""
    scores = {"bits_per_character": row["bits_per_character"]}
    if "source_bits_per_character" in row:
        scores["bits_above_source"] = row["bits_per_character"] - row["source_bits_per_character"]
    return scores


def _table(path: Path) -> list[Row]:
    """The rows of a file of JSON lines, none where it is not there."""
    return read_rows(path) if path.exists() else []
