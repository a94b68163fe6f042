"""What is told of a run on sequences."""

from experiments.domains.sequences.models import training_lengths
from experiments.domains.sequences.options import SequenceConfig
from experiments.domains.sequences.papers import paper_curve, paper_statement, paper_tests
from experiments.runs.about import About, Reference, Score, Solved, score
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
