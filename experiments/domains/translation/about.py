"""What is told of a run on translation."""

from experiments.domains.translation.config import TranslateConfig
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


def about(config: TranslateConfig, *, parameters: int, last_step: int) -> About:
    """See About."""
    solved: Solved | None = None
    if config.solved_at is not None:
        unit, then = "% wrong", config.cooldown_steps
        solved = {"metric": config.solved_by, "under": config.solved_at, "unit": unit, "then_steps": then}
    tests: Tests = {
        "by": "length",
        "unit": "words",
        "examples": "sentences",
        "names": {},
        "trained": None if config.own_files else [config.min_length, config.max_length],
        "failed_above": None,
        "together": "longest",
        "scores": _SCORES,
    }
    return about_run(
        config, data=config.data_name, parameters=parameters, last_step=last_step, tests=tests, solved=solved
    )
