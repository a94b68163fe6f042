"""What is told of a run on text."""

from experiments.domains.text.config import MARKOV, TextConfig
from experiments.runs.about import About, Score, Tests
from experiments.training.about import about_run

_BITS: Score = {
    "name": "bits_per_character",
    "words": "bits per character",
    "heading": "bits/char",
    "unit": "bits/char",
    "format": ".4f",
    "best": "low",
}
_ABOVE: Score = {
    "name": "bits_above_source",
    "words": "bits per character above those of who knows the source",
    "heading": "above the source",
    "unit": "bits/char",
    "format": ".4f",
    "best": "low",
}


def about(config: TextConfig, *, parameters: int, last_step: int) -> About:
    """See About."""
    tests: Tests = {
        "by": "part",
        "unit": "part",
        "examples": "characters",
        "names": {},
        "trained": None,
        "failed_above": None,
        "together": "first",
        "scores": [_BITS, *([_ABOVE] if config.text == MARKOV else [])],
    }
    return about_run(config, data=config.text_name, parameters=parameters, last_step=last_step, tests=tests)
