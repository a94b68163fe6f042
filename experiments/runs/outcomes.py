"""What the files that tell of a run's end hold, of each kind of run: the form in which they are read."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from experiments.base.files import UserError
from experiments.base.reading import expect

Result = TypedDict(
    "Result",
    {
        "command": NotRequired[str],
        "resumed_by": NotRequired[list[str]],
        "config": NotRequired[dict[str, Any]],
        "versions": NotRequired[dict[str, str]],
        "trained_on": NotRequired[str],
        "steps": NotRequired[int],
        "weights_of_step": NotRequired[int],
        "sequences": NotRequired[int],
        "sequences_to_solve": NotRequired[int | None],
        "begun": NotRequired[int],
        "left_out": NotRequired[int],
        "questions_seen": NotRequired[int],
        "selection": NotRequired["Selection"],
        "perf/seconds": NotRequired[float],
        "perf/seconds_to_solve": NotRequired[float | None],
    },
)


# Where a restart is chosen by.
LEARNED_FROM = {"train": "training", "valid": "validation"}


class Selection(TypedDict):
    """The choice among the restarts of a run on stories."""

    by: Literal["train", "valid"]
    chosen: int
    restarts: list[dict[str, float]]


def choose(scores: Sequence[Mapping[str, float]], select: str) -> int:
    """The restart with the lowest error, among equals with the lowest loss, on what `select` says. Tests play no part.

    scores: SELECT_error and SELECT_loss of each.
    """

    def rank(restart: int) -> tuple[float, float]:
        loss = scores[restart][f"{select}_loss"]
        return scores[restart][f"{select}_error"], math.inf if math.isnan(loss) else loss

    return min(range(len(scores)), key=rank)


def check_result(result: Any, path: Path) -> None:
    """UserError for what no run leaves as its result.json."""
    expect(result, Result, path)
    selection = result.get("selection")
    if selection is not None and not 0 <= selection["chosen"] < len(selection["restarts"]):
        raise UserError(f"{path}: selection.chosen is {selection['chosen']}, of {len(selection['restarts'])} restarts")
