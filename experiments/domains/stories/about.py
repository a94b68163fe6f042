"""What is told of a run on stories."""

from experiments.domains.stories.options import StoryConfig
from experiments.domains.stories.published import published_for, shortcuts
from experiments.runs.about import About, Reference, score
from experiments.training.about import about_run

# A task with a higher error, in percent, counts as failed.
_FAILED = 5.0
_ERROR = score("error_percent", "wrong answers, %", "error %", "% wrong")


def about(config: StoryConfig, stories: str, *, parameters: int, last_step: int) -> About:
    """See About. stories: what those that it is trained on are called."""
    task = config.learned
    by_task = task.tested_by == "task"
    return about_run(
        config,
        data=stories,
        curve=("error_percent", "%", "error %"),
        parameters=parameters,
        last_step=last_step,
        by=task.tested_by,
        unit="task" if by_task else "sentences",
        examples="questions",
        scores=[_ERROR],
        together="mean",
        names={str(number): name for number, name in task.names.items()},
        trained=task.trained,
        failed_above=_FAILED if by_task else None,
        by_word=config.form.network.reads,
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
