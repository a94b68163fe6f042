"""Colours and marks of models on the page, the same in every chart and table."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from experiments.figures.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

# Colour on a light ground (in the figures' colours) and on a dark one, mark.
Look: TypeAlias = tuple[str, str, str]

# By model. Marks tell apart whom colours do not.
LOOKS: dict[str, Look] = {
    "ntm-feedforward": (BLUE, "#4fa9e2", "circle"),
    "ntm-lstm": (VERMILION, "#f2874a", "square"),
    "ntm-gru": (ORANGE, "#f0bb45", "diamond"),
    "ntm-rnn-tanh": (SKY, "#8ed0f7", "triangle-up"),
    "ntm-rnn-relu": ("#7d6608", "#cdb53c", "triangle-down"),
    "lstm": (GREEN, "#35c79d", "cross"),
    "gru": (PURPLE, "#e096bf", "x"),
    "rnn-tanh": ("#6b7280", "#a3abb8", "pentagon"),
    "rnn-relu": ("#3c3c3c", "#d5d9e0", "hexagon"),
    "memn2n": ("#5b4fc4", "#a59cff", "star"),
    "kv": ("#8a4b2a", "#cf9f7a", "bowtie"),
    "encoder-decoder": ("#2f6f4f", "#7fc7a1", "hexagram"),
    "attention": ("#b3261e", "#f28b82", "star-diamond"),
    "entnet": ("#a8327d", "#ee7fc3", "hourglass"),
}
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
