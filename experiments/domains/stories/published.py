"""Published errors on the released questions, and which of them a run may be compared with."""

from pathlib import Path
from typing import Any

from experiments.base.reading import read_json
from experiments.domains.stories.config import StoryConfig
from tasks.babi import TASK_NAMES

_FILE = Path(__file__).parents[2] / "published" / "story_tests.json"

Column = dict[str, Any]


def published_for(config: StoryConfig, trained_on: str, tested_on: str) -> Column | None:
    """The column of a paper with the settings of this run; None for other settings, and for other stories.

    Its "errors" are in percent by task or length, as text.
    """
    if trained_on != tested_on or not trained_on.startswith(("bAbI", "world")):
        return None
    facts = config.saved() | {"joint": False, "linear_start": config.linear_start_epochs > 0}
    if config.task == "babi" and len(config.task_numbers) > 1:
        # Jointly on some of the tasks is nobody's setting.
        facts["joint"] = True if len(config.task_numbers) == len(TASK_NAMES) else None
    columns: list[Column] = read_json(_FILE)[config.task]
    fitting = [one for one in columns if all(facts[name] == value for name, value in one["settings"].items())]
    return fitting[0] if fitting else None


def shortcuts() -> dict[str, dict[str, float | None]]:
    """Errors in percent by task that need no reading: by the question alone, and by the last fact."""
    kept = read_json(_FILE)["shortcuts"]
    return {name: kept[name]["errors"] for name in ("question_only", "last_fact")}
