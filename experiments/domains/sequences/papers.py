"""What is published of a run's very setting: the one rule for figures, results, reports and the dashboard."""

from pathlib import Path
from typing import Any

from experiments.base.curves import Curve
from experiments.base.files import UserError
from experiments.base.reading import read_json
from experiments.config.form import started
from experiments.domains.sequences.options import SequenceConfig

_TESTS = [Path(__file__).parents[2] / "published" / name for name in ("ntm_tests.json", "long_tests.json")]
PUBLISHED = Path(__file__).parents[2] / "published" / "ntm_curves.json"
# What a run with a paper's settings may have other than its recipe: how long, and what is written down.
_FREE = ("steps", "valid_every", "valid_sequences", "test_sequences")


def is_papers(config: SequenceConfig) -> bool:
    """Whether a run has the settings of the paper of its recipe, so that published numbers may stand beside."""
    if not config.recipe.startswith("paper/"):
        return False
    try:
        papers = started(config.task.name, config.recipe).setting
    except UserError:
        return False
    own = config.setting
    training = {name: papers["training"][name] for name in _FREE}
    return own | {"training": own["training"] | training} == papers


def paper_curves(task: str) -> dict[str, Curve]:
    """The learning curves of Graves et al. 2014 (arXiv 1410.5401) for one of the tasks, by model.

    Keys are "ntm-feedforward", "ntm-lstm" and "lstm"; pairs are (thousand sequences, bits per
    sequence). The numbers were read off the printed figures: see "about" in published/ntm_curves.json
    for how finely. Empty for a task that the paper does not have.
    """
    curves = read_json(PUBLISHED)["curves"].get(task, {})
    return {model: [(x, y) for x, y in pairs] for model, pairs in curves.items()}


def paper_curve(config: SequenceConfig) -> Curve:
    """The published learning curve of this very setting, in (thousand sequences, bits); empty where there is none."""
    if not is_papers(config):
        return []
    return paper_curves(config.task.name).get(config.model_label, [])


def paper_tests(config: SequenceConfig) -> dict[str, float]:
    """The published bits per sequence of this very setting by test length; empty where there are none."""
    if not is_papers(config):
        return {}
    bits: dict[str, float] = _published(config.task.name).get("bits", {}).get(config.model_label, {})
    return bits


def paper_statement(config: SequenceConfig) -> str:
    """In words what is published of the task, and whether these are the settings of the paper."""
    words: str = _published(config.task.name).get("statement", "")
    if not words:
        return ""
    return f"Published: {words}." if is_papers(config) else f"Published, with other settings than these: {words}."


def _published(task: str) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for path in _TESTS:
        known |= read_json(path)
    found: dict[str, Any] = known.get(task, {})
    return found
