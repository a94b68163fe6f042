"""What models are called, and helping with misspelt names."""

import difflib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from experiments.base.reading import read_own_yaml

# Unknown words that are named, and letters of what they stand in that are shown.
NAMED, SHOWN = 10, 200


@cache
def known_models() -> dict[str, dict[str, Any]]:
    """What models.yaml has of each model."""
    known: dict[str, dict[str, Any]] = read_own_yaml(Path(__file__).with_name("models.yaml"), "names of models")
    return known


def model_words(label: str) -> str:
    """The name of a model for people, "NTM, LSTM", from its short one."""
    return str(known_models().get(label, {"words": label})["words"])


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error line about an unknown name: the likeliest known one, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f", did you mean {near[0]!r}?" if near else f"; there are {', '.join(names)}"


def unknown_words(words: Iterable[str], known: Sequence[str]) -> str:
    """Words that a model does not know, for an error line: each once with the likeliest known one, of many the first.

    known: none where no likely one is told.
    """
    different = list(dict.fromkeys(words))
    told = []
    for word in different[:NAMED]:
        near = difflib.get_close_matches(word[:SHOWN], known, n=1)
        told.append(repr(word[:SHOWN]) + (f" (did you mean {near[0]!r}?)" if near else ""))
    more = f" and {len(different) - NAMED:,} more" if len(different) > NAMED else ""
    return ", ".join(told) + more


def counted(number: int, noun: str) -> str:
    """A number of things: "1 task", "20 tasks"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def beginning(text: str) -> str:
    """A user's text in quotes; of a long one the beginning."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")
