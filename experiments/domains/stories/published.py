"""The published questions, told from others in their format, and published errors, to compare a run with."""

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from experiments.base.reading import read_json
from experiments.domains.stories.options import StoryConfig
from tasks.babi import TASK_NAMES, Example

_PUBLISHED = Path(__file__).parents[2] / "published"
_TESTS, _QUESTIONS = _PUBLISHED / "story_tests.json", _PUBLISHED / "babi_files.json"

Column = dict[str, Any]


def published_for(config: StoryConfig, trained_on: str, tested_on: str) -> Column | None:
    """The column of a paper with the settings of this run; None for other settings, and for other stories.

    Its "errors" are in percent by task or length, as text.
    """
    if trained_on != tested_on or not trained_on.startswith(("bAbI", "world")):
        return None
    facts = config.flat | {"joint": False, "linear_start": config.training.linear_start_epochs > 0}
    if getattr(config.learned, "joint", False):
        # Jointly on some of the tasks is nobody's setting.
        facts["joint"] = True if len(config.learned.task_numbers) == len(TASK_NAMES) else None
    columns: list[Column] = read_json(_TESTS).get(config.task.name, [])
    fitting = [one for one in columns if all(facts.get(name) == value for name, value in one["settings"].items())]
    return fitting[0] if fitting else None


def shortcuts() -> dict[str, dict[str, float | None]]:
    """Errors in percent by task that need no reading: by the question alone, and by the last fact."""
    kept = read_json(_TESTS)["shortcuts"]
    return {name: kept[name]["errors"] for name in ("question_only", "last_fact")}


def digest(examples: Iterable[Example]) -> str:
    """The same for the same questions, whatever the file's line ends and spaces."""
    mixed = hashlib.sha256()
    for example in examples:
        mixed.update(repr(tuple(example)).encode())
    return mixed.hexdigest()[:16]


def is_released(size: str, task: int, split: str, examples: Iterable[Example]) -> bool:
    """Whether these are the questions of a file of version 1.2; true for the one file that we do not have."""
    known = _known()[size][str(task)].get(split)
    return known is None or known == digest(examples)


@cache
def _known() -> dict[str, dict[str, dict[str, str]]]:
    kept: dict[str, dict[str, dict[str, str]]] = read_json(_QUESTIONS)["digests"]
    return kept
