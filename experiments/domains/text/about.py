"""What is told of a run on text."""

from experiments.domains.text.data import TextData
from experiments.domains.text.options import TextConfig
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


def about(config: TextConfig, data: TextData, *, parameters: int, last_step: int) -> About:
    """See About."""
    tests: Tests = {
        "by": "part",
        "unit": "part",
        "examples": "characters",
        "names": {},
        "trained": None,
        "failed_above": None,
        "together": "first",
        "scores": [_BITS, *([_ABOVE] if data.source is not None else [])],
    }
    curve = "bits_per_character", "bits/char", "bits a character"
    return about_run(config, data=data.name, curve=curve, parameters=parameters, last_step=last_step, tests=tests)
