"""What is told of a run of any kind, from its configuration and what its domain adds."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from experiments.base.names import model_words
from experiments.config.form import Config
from experiments.config.settings import differences
from experiments.runs.about import FORMAT, About, Reference, Score, Solved, Tests


def about_run(
    config: Config[Any],
    *,
    data: str,
    curve: tuple[str, str, str],
    parameters: int,
    last_step: int,
    by: str,
    unit: str,
    examples: str,
    scores: Sequence[Score],
    together: Literal["longest", "mean", "first"],
    names: Mapping[str, str] | None = None,
    trained: tuple[int, int] | None = None,
    failed_above: float | None = None,
    by_word: bool | None = None,
    solved: Solved | None = None,
    references: Sequence[Reference] = (),
    published: str = "",
) -> About:
    """See About, and Tests, of which `by` to `failed_above` are.

    curve: in what learning is measured: the end of a metric's name, the unit, and that on an axis.
    """
    metric, curve_unit, words = curve
    tests: Tests = {
        "by": by,
        "unit": unit,
        "examples": examples,
        "names": dict(names or {}),
        "trained": None if trained is None else list(trained),
        "failed_above": failed_above,
        "together": together,
        "scores": list(scores),
    }
    return {
        "format": FORMAT,
        "domain": config.domain,
        "task": config.task.short,
        "subject": config.subject,
        "label": config.label,
        "model": config.model_label,
        "model_words": model_words(config.model_label),
        "by_word": by_word,
        "recipe": config.recipe,
        "differences": differences(config),
        "setting": config.setting,
        "seed": config.run.seed,
        "examples": config.training.examples,
        "data": data,
        "parameters": parameters,
        "curve": {"metric": metric, "words": words, "unit": curve_unit},
        "solved": solved,
        "last_step": last_step,
        "may_end_early": config.training.may_end_early,
        "tests": tests,
        "references": list(references),
        "published": published,
        "files": config.files,
    }
