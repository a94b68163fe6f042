"""What is told of a run of any kind, from its configuration and what its domain adds."""

import json
from collections.abc import Sequence

from experiments.base.names import model_label, model_words
from experiments.config.parts import Config
from experiments.config.settings import differences, setting_of
from experiments.runs.about import FORMAT, About, Reference, Solved, Tests


def about_run(
    config: Config,
    *,
    data: str,
    parameters: int,
    last_step: int,
    tests: Tests,
    by_word: bool | None = None,
    solved: Solved | None = None,
    references: Sequence[Reference] = (),
    published: str = "",
) -> About:
    """See About."""
    metric, unit, words = config.measured
    return {
        "format": FORMAT,
        "domain": config.kind,
        "task": config.task,
        "subject": config.subject,
        "label": config.label,
        "model": model_label(config),
        "model_words": model_words(config),
        "by_word": by_word,
        "recipe": config.recipe,
        "differences": differences(config),
        "setting": json.loads(json.dumps(setting_of(config))),  # as it is read again
        "seed": config.seed,
        "examples": config.examples,
        "data": data,
        "parameters": parameters,
        "curve": {"metric": metric, "words": words, "unit": unit},
        "solved": solved,
        "last_step": last_step,
        "may_end_early": config.may_end_early,
        "tests": tests,
        "references": list(references),
        "published": published,
    }
