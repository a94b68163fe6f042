"""What is told of a run on captions."""

from experiments.domains.captions.options import CaptionConfig
from experiments.runs.about import About, Score, Tests
from experiments.training.about import about_run

_ERROR: Score = {
    "name": "error_percent",
    "words": "wrong captions, %",
    "heading": "error %",
    "unit": "% wrong",
    "format": ".1f",
    "best": "low",
}


def about(config: CaptionConfig, *, parameters: int, last_step: int) -> About:
    """See About."""
    tests: Tests = {
        "by": "part",
        "unit": "captions",
        "examples": "scenes",
        "names": {},
        "trained": None,
        "failed_above": None,
        "together": "first",
        "scores": [_ERROR],
    }
    curve = "error_percent", "%", "error %"
    return about_run(
        config, data=config.learned.name, curve=curve, parameters=parameters, last_step=last_step, tests=tests
    )
