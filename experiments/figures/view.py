"""What is shown of one example and of what a model did with it, whatever it learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from experiments.figures.memory import Episode
from experiments.figures.style import Array
from experiments.figures.trace import as_array
from memnet.trace import STEPS, Kind, Part

# Shares of attention that would be rounded to 0.00 are left out.
SEEN = 0.005


@dataclass(frozen=True, eq=False)
class View:
    """One example, and what a model did with it.

    asked:    what was asked, or what the example is called.
    verdict:  what was answered and whether that is right; right: None where nobody knows.
    parts:    of the trace of a batch of one.
    names:    by axis, what stands at its places: sentences, words, slots.
    marked:   places among the sentences that give the answer.
    episode:  what went in and came out over time, of a model that goes on in time.
    answer:   the right one, where it is one of a few.
    answers:  the likeliest ones and how likely each is, the likeliest first, where there are some to choose from.
    wrong_at: steps and channels of the episode at which an answer is wrong.
    """

    asked: str
    verdict: str
    right: bool | None
    parts: Sequence[Part] = ()
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    marked: Sequence[int] = ()
    episode: Episode | None = None
    answer: str = ""
    answers: Sequence[tuple[str, float]] = ()
    wrong_at: Sequence[tuple[int, int]] = ()


class Grid(NamedTuple):
    """What a model did at every sentence or word.

    rows, columns: their names. axis, over: what they count. values: (row, column), of the kind of their part.
    below:         one more row under it, (column,), with its name.
    """

    kind: Kind
    axis: str
    over: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Array
    below: tuple[str, Array] | None


def grid_of(view: View) -> Grid | None:
    """The weightings or gates of what has names: attention on sentences by hop, gates of slots by sentence, from which
    words each word was read; below what a weighting had for nothing, or how a last one looked at the columns.

    None where there is nothing of the kind. ValueError for names that do not fit.
    """
    for part in view.parts:
        named = [axis for axis in part.axes if axis in view.names and axis in (*STEPS, "source") and axis != "time"]
        if part.kind in ("read", "gate") and named and len(part.axes) <= 2:
            return _grid(part, named[0], view)
    return None


def _grid(part: Part, axis: str, view: View) -> Grid:
    values = as_array(part.values[0].movedim(part.axes.index(axis), 0))
    values = values.reshape(len(values), -1)
    over = next((other for other in part.axes if other != axis), "")
    rows, columns = list(view.names[axis]), list(view.names.get(over, ())) or _numbered(over, values.shape[1])
    if not values.size or values.shape != (len(rows), len(columns)):
        raise ValueError(f"{len(rows)} names of rows and {len(columns)} of columns do not fit values {values.shape}")
    if not set(view.marked) <= set(range(len(rows))):
        raise ValueError(f"marked places {list(view.marked)} do not fit {len(rows)} rows")
    look = next((one for one in view.parts if one.kind == "read" and one.axes == (over,)), None)
    rest = 1 - values.sum(0)
    if look is not None:
        if look.values.size(-1) != len(columns):
            raise ValueError(f"a look at {look.values.size(-1)} slots does not fit {len(columns)} columns")
        below = ("where the question looked", as_array(look.values[0]))
    elif part.kind == "read" and part.axes[-1] == axis and (rest >= SEEN).any():
        below = ("empty slots", rest)
    else:
        below = None
    return Grid(part.kind, axis, over, rows, columns, values, below)


def _numbered(axis: str, count: int) -> list[str]:
    """Slots are counted from 0, and are numbers alone."""
    return [str(place) if axis == "slot" else f"{axis} {place + 1}" for place in range(count)]
