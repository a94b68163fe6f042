"""Colours and marks of models on the page, the same in every chart and table."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from experiments.base.names import known_models

# Colour on a light ground and on a dark one, mark.
Look: TypeAlias = tuple[str, str, str]

LOOKS: dict[str, Look] = {name: (*one["colours"], one["mark"]) for name, one in known_models().items()}
# For models that are not among them.
SPARE = [
    ("#1b7f8c", "#5fc9d6"),
    ("#9c5700", "#e0a050"),
    ("#4a6b1f", "#a3cc6b"),
    ("#7a3fb0", "#c39af0"),
    ("#b0436b", "#f09abb"),
    ("#44546a", "#9fb3d1"),
]


def looks(models: Mapping[str, str]) -> dict[str, tuple[str, str, str, str]]:
    """Words, colours and mark of each model.

    models: words by model. Those that nobody here knows get the next free colours, with marks in turn.
    """
    unknown = [model for model in models if model not in LOOKS]
    own = LOOKS | dict(zip(unknown, _spare(len(unknown)), strict=True))
    return {model: (words, *own[model]) for model, words in models.items()}


def _spare(count: int) -> Iterable[Look]:
    marks = [mark for _, _, mark in LOOKS.values()]
    return [(*SPARE[place % len(SPARE)], marks[place % len(marks)]) for place in range(count)]
