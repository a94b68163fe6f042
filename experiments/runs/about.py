"""about.json: what is to be told of a run, written when its training begins by who knows its task and its model.

Who shows runs reads this, the rows of the tests and the metrics, and need know neither: a run of a model or a task that
nobody here has heard of is shown as any other.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from experiments.base.files import UserError, write_whole
from experiments.base.reading import expect, read_json

ABOUT, FORMAT = "about.json", 1


class Curve(TypedDict):
    """What learning is measured in: the metrics train/METRIC and valid/METRIC, in words, and the unit of a value."""

    metric: str
    words: str
    unit: str


class Solved(TypedDict):
    """When a run counts as solved: a metric under a limit; it then ends after so many steps more."""

    metric: str
    under: float
    unit: str
    then_steps: int


class Score(TypedDict):
    """A score of the tests that stands for the model.

    words: on an axis or over a table. heading: over a column. unit: after a value. format: of a value, with % for a
    share. best: which of several values is. chance: what guessing has, if that is one number. drawn: whether there is
    a panel for it, as there is but where it says no. counted: whether it is a share of the examples, with an interval.
    """

    name: str
    words: str
    heading: str
    unit: str
    format: str
    best: Literal["low", "high"]
    chance: NotRequired[float]
    counted: NotRequired[bool]
    drawn: NotRequired[bool]


def score(
    name: str, words: str, heading: str, unit: str, *, format: str = ".1f", best: Literal["low", "high"] = "low"
) -> Score:
    """A score with what it must have."""
    return {"name": name, "words": words, "heading": heading, "unit": unit, "format": format, "best": best}


class Tests(TypedDict):
    """What a run is tested by.

    by:           the condition that its usual tests differ in: "length", "task".
    unit:         what numbers of it count, or what it is called: "vectors", "task".
    examples:     what is counted: "sequences", "questions".
    names:        in words, by the condition's value as a text, where there are any.
    trained:      least and greatest number in training, where it is a number.
    failed_above: the first score of a test that is no success; None where nothing says so.
    together:     what stands for all tests: the first score at the greatest length, its mean, or that of the first.
    scores:       in their order.
    """

    by: str
    unit: str
    examples: str
    names: dict[str, str]
    trained: list[int] | None
    failed_above: float | None
    together: Literal["longest", "mean", "first"]
    scores: list[Score]


class Reference(TypedDict):
    """Numbers of others for this very setting, tested on data like those of the training.

    kind:     published; or a shortcut, what needs no reading of the data.
    protocol: how it was measured.
    score:    which one. tests: its values by the condition of the test, as a text.
    curve:    of learning: pairs of thousand sequences and the metric.
    """

    kind: Literal["published", "shortcut"]
    name: str
    source: str
    protocol: str
    score: str
    curve: list[list[float]]
    tests: dict[str, float]


class About(TypedDict):
    """A run in plain data.

    domain:        the form of its examples.
    task, subject: what it learns, and more exactly: babi, and "bAbI 1, single-supporting-fact".
    label:         task and model in short, as folders are called.
    model:         in short, with what else decides its look; model_words: for people.
    by_word:       whether it reads word by word, sentence by sentence, or neither. These are never compared.
    recipe:        the named settings it began from, and differences from them in words, empty where there are none.
    setting:       whatever seeds of one setting have in common, and nobody else.
    examples:      what an example is called. data: what those are called that it learns from.
    parameters:    numbers that are trained, in all restarts.
    state_floats:  numbers of one sequence's state, of a model that carries one of one size from step to step.
    solved:        None where nothing says it.
    last_step:     of training, the latest where it may end early.
    published:     a sentence on what is known of the task; empty where nothing is.
    files:         what of its task and model is in files of the user's, by place, with digests of them.
    """

    format: int
    domain: str
    task: str
    subject: str
    label: str
    model: str
    model_words: str
    by_word: bool | None
    recipe: str
    differences: str
    setting: dict[str, Any]
    seed: int
    examples: str
    data: str
    parameters: int
    state_floats: NotRequired[int]
    curve: Curve
    solved: Solved | None
    last_step: int
    may_end_early: bool
    tests: Tests
    references: list[Reference]
    published: str
    files: dict[str, str]


def read_about(run: Path) -> About:
    """What a run's folder tells; UserError where it is missing, damaged or of another version."""
    path = run / ABOUT
    try:
        content: About = read_json(path)
    except FileNotFoundError:
        raise UserError(f"{run} has no {ABOUT}: it is no run, or one of memnet 0.1; train it anew") from None
    if isinstance(content, Mapping) and content.get("format", FORMAT) != FORMAT:
        raise UserError(f"{path} is of another version of memnet: format {content['format']!r}, not {FORMAT}")
    expect(content, About, path)
    return content


def setting_name(about: About) -> str:
    """The model, and a digest that all runs of one setting have and no others: ntm-lstm-1f3a9c2e."""
    text = json.dumps(about["setting"], sort_keys=True)
    return f"{about['model']}-{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()[:8]}"


def published_curve(about: About) -> dict[str, list[tuple[float, float]]]:
    """The published learning curve of this very setting, by its model; empty where there is none."""
    curves = [[(x, y) for x, y in one["curve"]] for one in about["references"] if one["curve"]]
    return {about["model"]: curves[0]} if curves else {}


def recipe_words(about: About) -> str:
    """The recipe of a run, and what it has other than that: "recipe paper/copy-lstm (steps 100)"."""
    return f"recipe {about['recipe']}" + (f" ({about['differences']})" if about["differences"] else "")


def options_of_setting(about: About) -> dict[str, Any]:
    """What a setting has, by name: its recipe, task and model, and their options."""
    told: dict[str, Any] = {}
    for part, value in about["setting"].items():
        own = value if isinstance(value, dict) else {"name": value}
        told |= {part if name == "name" else name: one for name, one in own.items()}
    return told


def copies_among(runs: Sequence[tuple[About | None, str]]) -> dict[int, int]:
    """Runs with the subject, setting and seed of another: their places, each with the place of the one that counts.

    runs: what is told of each, None where nothing is, and its status. An ended run counts before a running one, that
    before any other; the first does among equals.
    """
    same: dict[str, list[int]] = {}
    for place, (about, _) in enumerate(runs):
        if about is not None:
            same.setdefault(repr((about["subject"], about["setting"], about["seed"])), []).append(place)
    rank = {"done": 0, "running": 1}
    counting = [min(places, key=lambda place: rank.get(runs[place][1], 2)) for places in same.values()]
    return {
        place: first
        for places, first in zip(same.values(), counting, strict=True)
        for place in places
        if place != first
    }


def write_about(run: Path, about: About) -> None:
    """Keep it in a run's folder, in place of one that is there."""
    expect(about, About, "what is told of the run")
    write_whole(run / ABOUT, json.dumps(about, indent=1) + "\n")
