"""What is told of a run on translation."""

from experiments.domains.translation.options import TranslationConfig
from experiments.runs.about import About, Score, Solved, Tests
from experiments.training.about import about_run


def _share(name: str, how: str) -> Score:
    return {
        "name": name,
        "words": f"sentences right to the word, {how}, %",
        "heading": f"exact, {how}",
        "unit": "of the sentences right",
        "format": ".1%",
        "best": "high",
    }


def _bleu(name: str, how: str) -> Score:
    words = f"BLEU, {how}"
    return {"name": name, "words": words, "heading": words, "unit": "BLEU", "format": ".1f", "best": "high"}


_ERROR: Score = {
    "name": "error_percent",
    "words": "sentences with a wrong word, greedy, %",
    "heading": "error %",
    "unit": "% wrong",
    "format": ".1f",
    "best": "low",
    # It is what is left of the share of those that are right.
    "drawn": False,
}
_SCORES = [
    *(_share("exact_share", "greedy"), _share("beam_exact_share", "beam"), _ERROR),
    *(_bleu("bleu", "greedy"), _bleu("beam_bleu", "beam")),
]


def about(config: TranslationConfig, *, parameters: int, last_step: int) -> About:
    """See About."""
    solved: Solved | None = None
    if (limit := config.training.solved_at) is not None:
        then = config.training.cooldown_steps
        solved = {"metric": "valid/error_percent", "under": limit, "unit": "% wrong", "then_steps": then}
    task = config.learned
    tests: Tests = {
        "by": "length",
        "unit": "words",
        "examples": "sentences",
        "names": {},
        "trained": None if task.own_files else [task.min_length, task.max_length],
        "failed_above": None,
        "together": "longest",
        "scores": _SCORES,
    }
    return about_run(
        config,
        data=task.name,
        curve=("error_percent", "%", "error %"),
        parameters=parameters,
        last_step=last_step,
        tests=tests,
        solved=solved,
    )
