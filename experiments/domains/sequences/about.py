"""What is told of a run on sequences, and what is published of its very setting: the one rule for all that show it."""

from pathlib import Path
from typing import Any

from experiments.base.curves import Curve
from experiments.base.files import UserError
from experiments.base.reading import read_json
from experiments.config.form import started
from experiments.domains.sequences.models import training_lengths
from experiments.domains.sequences.options import SequenceConfig
from experiments.runs.about import About, Reference, Score, Solved, score
from experiments.training.about import about_run
from tasks import Task
from tasks.bits import BITS
from tasks.common import Score as TaskScore

_TESTS = [Path(__file__).parents[2] / "published" / name for name in ("ntm_tests.json", "long_tests.json")]
PUBLISHED = Path(__file__).parents[2] / "published" / "ntm_curves.json"
# What a run with a paper's settings may have other than its recipe: how long, and what is written down.
_FREE = ("steps", "valid_every", "valid_sequences", "test_sequences")


def about(config: SequenceConfig, task: Task, *, parameters: int, last_step: int) -> About:
    """See About."""
    solved: Solved | None = None
    if (limit := config.training.solved_at) is not None:
        metric, unit = f"valid/{task.criterion.name}", task.criterion.unit
        solved = {"metric": metric, "under": limit, "unit": unit, "then_steps": config.training.cooldown_steps}
    others = [one for one in task.scores if one.name != task.exact.name]
    return about_run(
        config,
        data=config.task.short,
        curve=(task.curve.name, task.curve.unit, task.curve.words.removeprefix("cross-entropy, ")),
        parameters=parameters,
        last_step=last_step,
        by="length",
        unit=task.length_unit,
        examples="sequences",
        scores=[_score(one, task) for one in (task.exact, *others)],
        together="longest",
        trained=training_lengths(config),
        solved=solved,
        references=_references(config),
        published=paper_statement(config),
    )


def _score(one: TaskScore, task: Task) -> Score:
    words = one.words.removeprefix("cross-entropy, ")
    words = words[0].lower() + words[1:]
    told = score(one.name, words, one.heading, one.unit, format=one.format, best=one.best)
    told["drawn"] = one in task.panels
    if one.counted:
        told["counted"] = True
    return told if one.chance is None else {**told, "chance": one.chance}


def _references(config: SequenceConfig) -> list[Reference]:
    """What the NTM paper has of this very setting."""
    curve, bits = paper_curve(config), paper_tests(config)
    if not curve and not bits:
        return []
    own: Reference = {
        "kind": "published",
        "name": "Graves et al. 2014",
        "source": "arXiv 1410.5401",
        "protocol": "read off the figures",
        "score": BITS.name,
        "curve": [list(point) for point in curve],
        "tests": bits,
    }
    return [own]


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
