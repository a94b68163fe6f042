"""What is published of a run's very setting: the one rule for figures, results, reports and the dashboard."""

from pathlib import Path
from typing import Any

from experiments.base.files import UserError
from experiments.base.names import model_label
from experiments.base.reading import read_json
from experiments.config.parts import Config, TrainConfig
from experiments.config.settings import setting_of
from experiments.domains.sequences.recipes import recipe
from experiments.figures.paper_curves import Curve, paper_curves

_TESTS = [Path(__file__).parents[1] / "published" / name for name in ("ntm_tests.json", "long_tests.json")]
# What a run with a paper's settings may have other than its recipe: how long, and what is written down.
_FREE = ("steps", "valid_every", "valid_sequences", "test_sequences")


def is_papers(config: Config) -> bool:
    """Whether a run has the settings of the paper of its recipe, so that published numbers may stand beside."""
    if not isinstance(config, TrainConfig) or not config.recipe.startswith("paper/"):
        return False
    try:
        papers = setting_of(recipe(config.recipe, config.task))
    except UserError:
        return False
    own = setting_of(config)
    return all(own[name] == papers[name] for name in papers if name not in _FREE)


def paper_curve(config: Config) -> Curve:
    """The published learning curve of this very setting, in (thousand sequences, bits); empty where there is none."""
    if not isinstance(config, TrainConfig) or not is_papers(config):
        return []
    return paper_curves(config.task).get(model_label(config), [])


def paper_tests(config: Config) -> dict[str, float]:
    """The published bits per sequence of this very setting by test length; empty where there are none."""
    if not isinstance(config, TrainConfig) or not is_papers(config):
        return {}
    bits: dict[str, float] = _published(config.task).get("bits", {}).get(model_label(config), {})
    return bits


def paper_statement(config: TrainConfig) -> str:
    """In words what is published of the task, and whether these are the settings of the paper."""
    words: str = _published(config.task)["statement"]
    return f"Published: {words}." if is_papers(config) else f"Published, with other settings than these: {words}."


def _published(task: str) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for path in _TESTS:
        known |= read_json(path)
    found: dict[str, Any] = known[task]
    return found
