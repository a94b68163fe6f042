"""What the files that tell of a run's end hold, of each kind of run: the form in which they are read."""

import types
import typing
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from experiments.base.files import UserError
from experiments.base.reading import expect
from experiments.config.parts import Config

Row = dict[str, Any]

Result = TypedDict(
    "Result",
    {
        "command": NotRequired[str],
        "resumed_by": NotRequired[list[str]],
        "config": NotRequired[dict[str, Any]],
        "versions": NotRequired[dict[str, str]],
        "trained_on": NotRequired[str],
        "steps": NotRequired[int],
        "sequences": NotRequired[int],
        "sequences_to_solve": NotRequired[int | None],
        "begun": NotRequired[int],
        "questions_seen": NotRequired[int],
        "selection": NotRequired["Selection"],
        "perf/seconds": NotRequired[float],
        "perf/seconds_to_solve": NotRequired[float | None],
    },
)


class Selection(TypedDict):
    """The choice among the restarts of a run on stories."""

    by: NotRequired[Literal["train", "valid"]]
    chosen: int
    restarts: list[dict[str, float]]


class SequenceTest(TypedDict):
    """A test at one length; every other value of it is a number."""

    length: int
    num_slots: int | None
    repeats: int | None
    seed: int
    sequences: int


class StoryTest(TypedDict):
    """A test on one task, or at one length of the world model: the error of every restart."""

    trained_on: str
    tested_on: str
    task: NotRequired[int]
    length: NotRequired[int]
    questions: int
    errors: list[float]


class TextTest(TypedDict):
    """A test on a part of a text."""

    text: str
    part: str
    characters: int
    bits_per_character: float


class TranslationTest(TypedDict):
    """A test on the sentences of one length, or of all."""

    tested_on: str
    beam: int
    normalization: str
    length: int | Literal["all"]
    sequences: int
    exact_share: float
    beam_exact_share: float
    bleu: float | None
    beam_bleu: float | None


class CaptionTest(TypedDict):
    """A test by one way of decoding."""

    part: str
    scenes: int
    seed: int
    error_percent: float


_TESTS: dict[str, Any] = {
    "sequences": SequenceTest,
    "stories": StoryTest,
    "text": TextTest,
    "translation": TranslationTest,
    "captions": CaptionTest,
}


def check_result(result: Any, path: Path) -> None:
    """UserError for what no run leaves as its result.json."""
    expect(result, Result, path)
    selection = result.get("selection")
    if selection is not None and not 0 <= selection["chosen"] < len(selection["restarts"]):
        raise UserError(f"{path}: selection.chosen is {selection['chosen']}, of {len(selection['restarts'])} restarts")


def check_tests(tests: Any, config: Config, path: Path) -> None:
    """UserError for what no run of this configuration leaves as its evaluation.json."""
    kind = _TESTS[config.kind]
    expect(tests, types.GenericAlias(list, kind), path)
    known = typing.get_type_hints(kind)
    expect([{key: row[key] for key in row if key not in known} for row in tests], list[dict[str, float | None]], path)
    for place, row in enumerate(tests):
        if "errors" in row and ("task" in row) == ("length" in row):
            raise UserError(f"{path}: [{place}] must have either a task or a length")
        if "errors" in row and len(row["errors"]) != config.restarts:  # type: ignore[union-attr]
            raise UserError(f"{path}: [{place}].errors has {len(row['errors'])} of them, not one a restart")
