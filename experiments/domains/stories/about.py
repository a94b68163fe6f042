"""What is told of a run on stories."""

from experiments.domains.stories.config import READERS, StoryConfig
from experiments.domains.stories.published import published_for, shortcuts
from experiments.runs.about import About, Reference, Score, Tests
from experiments.training.about import about_run
from tasks.babi import TASK_NAMES

# A task with a higher error, in percent, counts as failed.
_FAILED = 5.0
_ERROR: Score = {
    "name": "error_percent",
    "words": "wrong answers, %",
    "heading": "error %",
    "unit": "% wrong",
    "format": ".1f",
    "best": "low",
}


def about(config: StoryConfig, stories: str, *, parameters: int, last_step: int) -> About:
    """See About. stories: what those that it is trained on are called."""
    by_task = config.task == "babi"
    tests: Tests = {
        "by": "task" if by_task else "length",
        "unit": "task" if by_task else "sentences",
        "examples": "questions",
        "names": {str(number): name for number, name in TASK_NAMES.items()} if by_task else {},
        "trained": None if by_task else [config.min_length, config.max_length],
        "failed_above": _FAILED if by_task else None,
        "together": "mean",
        "scores": [_ERROR],
    }
    return about_run(
        config,
        data=stories,
        parameters=parameters,
        last_step=last_step,
        tests=tests,
        by_word=config.model in READERS,
        references=_references(config, stories),
    )


def _references(config: StoryConfig, stories: str) -> list[Reference]:
    """A paper's errors with this very setting, and on the release those of who does not read the story."""
    found: list[Reference] = []
    if (paper := published_for(config, stories, stories)) is not None:
        found.append(
            {
                "kind": "published",
                "name": paper["name"],
                "source": paper["source"],
                "protocol": paper["protocol"],
                "score": _ERROR["name"],
                "curve": [],
                "tests": paper["errors"],
            }
        )
    if stories.startswith("bAbI"):
        for name, errors in shortcuts().items():
            found.append(
                {
                    "kind": "shortcut",
                    "name": name.replace("_", " "),
                    "source": "measured on the released 10k questions",
                    "protocol": "without reading the story",
                    "score": _ERROR["name"],
                    "curve": [],
                    "tests": {task: error for task, error in errors.items() if error is not None},
                }
            )
    return found
