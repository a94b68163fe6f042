"""What is told of a run on sequences."""

from experiments.domains.sequences.models import training_lengths
from experiments.domains.sequences.options import SequenceConfig
from experiments.domains.sequences.papers import paper_curve, paper_statement, paper_tests
from experiments.runs.about import About, Reference, Score, Solved, Tests
from experiments.training.about import about_run
from tasks import Task
from tasks.bits import BITS
from tasks.common import Score as TaskScore


def about(config: SequenceConfig, task: Task, *, parameters: int, last_step: int) -> About:
    """See About."""
    solved: Solved | None = None
    if (limit := config.training.solved_at) is not None:
        metric, unit = f"valid/{task.criterion.name}", task.criterion.unit
        solved = {"metric": metric, "under": limit, "unit": unit, "then_steps": config.training.cooldown_steps}
    others = [one for one in task.scores if one.name != task.exact.name]
    tests: Tests = {
        "by": "length",
        "unit": task.length_unit,
        "examples": "sequences",
        "names": {},
        "trained": list(training_lengths(config)),
        "failed_above": None,
        "together": "longest",
        "scores": [_score(one, task) for one in (task.exact, *others)],
    }
    return about_run(
        config,
        data=config.task.short,
        curve=(task.curve.name, task.curve.unit, task.curve.words.removeprefix("cross-entropy, ")),
        parameters=parameters,
        last_step=last_step,
        tests=tests,
        solved=solved,
        references=_references(config),
        published=paper_statement(config),
    )


def _score(score: TaskScore, task: Task) -> Score:
    words = score.words.removeprefix("cross-entropy, ")
    told: Score = {
        "name": score.name,
        "words": words[0].lower() + words[1:],
        "heading": score.heading,
        "unit": score.unit,
        "format": score.format,
        "best": score.best,
        "drawn": score in task.panels,
    }
    if score.counted:
        told["counted"] = True
    return told if score.chance is None else {**told, "chance": score.chance}


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
