"""What is drawn of a trace's parts, by what kind they are and what their axes count, whatever model it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from experiments.figures.snapshot import Panel, Shades
from experiments.figures.style import Array
from memnet.trace import Kind, Part, find, members, rows, steps_first

_SHADES: dict[Kind, Shades] = {"read": "purples", "write": "purples", "gate": "greens"}
_WORDS: dict[Kind, str] = {"read": "attention", "write": "writing", "gate": "gates"}
# Heights of maps in pixels: of what goes on over time by how many heads there are, of still more, of all others.
_TALL = {1: 192, 2: 128}
_LOW, FLAT = 80, 100


def panels_of(
    parts: Sequence[Part], lengths: Mapping[str, Tensor] | None = None
) -> tuple[list[Panel], list[list[Panel]]]:
    """Of the first row of a batch what memories hold at the end, (width, slot), and in rows of two what went on over
    time: weightings and gates of slots, head by head; of what has neither memory nor weightings its states.

    lengths: see memnet.trace.numbers.
    """
    ends = [panel for part in parts if part.kind in ("memory", "matrix") for panel in _at_end(part, lengths)]
    over = [part for part in parts if part.kind in ("read", "write", "gate") and part.axes[-1] != "unit"]
    if not ends and not over:
        over = [part for part in parts if part.kind == "signal" and len(part.axes) > 1]
    columns = [list(_over_time(part, lengths)) for part in map(steps_first, over) if part.axes[0] == "time"]
    most = max(map(len, columns), default=0)
    return ends, in_twos([_map(*own[k], most) for k in range(most) for own in columns if k < len(own)])


def in_twos(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Panels in rows of two."""
    return [list(panels[place : place + 2]) for place in range(0, len(panels), 2)]


def named_panel(part: Part, row: int, title: str, names: Sequence[str], start: int = 0) -> Panel:
    """Of one row of a batch what was at each place of the part's sentences or words, beside its name.

    start: the place of the first name.
    """
    axis = next(place for place, axis in enumerate(part.axes) if axis in ("sentence", "word"))
    values = part.values[row].movedim(axis, 0)[start : start + len(names)]
    shades, low, high = _scale(part.kind)
    return Panel(title, as_array(values.reshape(len(values), -1)), low, high, names=names, shades=shades)


def in_words(part: Part) -> str:
    """What there is for each sentence or word: "attention by hop"."""
    others = "".join(f" by {axis}" for axis in part.axes if axis not in ("sentence", "word", "source"))
    return f"{_WORDS.get(part.kind, part.name or 'scores')}{others}"


def episode_arrays(parts: Sequence[Part]) -> dict[str, Any]:
    """Of the first row of a batch what an Episode is given beside inputs and outputs: weightings, the vectors written
    and read, and of what has no weightings over time what its memories and matrices hold at the end."""
    over = {kind: find(parts, kind, "time") for kind in ("write", "read")}
    found = {f"{kind}_weights": _by_head(part) for kind, part in over.items() if part is not None}
    if not found:
        kept = [one for part in parts if part.kind in ("memory", "matrix") for one in at_end(part)]
        return {"kept": {one.name: (as_array(one.values), one.axes) for one in kept}}
    signals = {part.name: part for part in parts if part.kind == "signal"}
    for name, part, what in (("add", over["write"], "add"), ("reads", over["read"], "vector")):
        if part is not None and (signal := signals.get(f"{part.name} {what}")) is not None:
            found[name] = _by_head(signal)
    return found


def at_end(part: Part, lengths: Mapping[str, Tensor] | None = None) -> Iterator[Part]:
    """What a memory or a matrix of the first row holds after its last step, its layers and heads apart: two axes."""
    part = steps_first(part)
    values, axes = part.values[0], part.axes
    if axes[0] == "time":
        values, axes = rows(part, lengths)[0][-1], axes[1:]
    for one in members(part._replace(values=values, axes=axes)):
        yield one._replace(name=one.name.replace("-", " "), values=one.values.flatten(0, -2), axes=one.axes[-2:])


def as_array(values: Tensor) -> Array:
    """A tensor for those who draw."""
    array: Array = values.detach().cpu().numpy()
    return array


def _at_end(part: Part, lengths: Mapping[str, Tensor] | None) -> Iterator[Panel]:
    for one in at_end(part, lengths):
        # What is added is between -1 and 1; one scale for all looks of a training.
        most = float(one.values.abs().nan_to_num(0).max())
        title = f"{one.name} at the end, from -1 (blue) to 1 (red), at most {most:.2g}"
        yield Panel(title, as_array(one.values.T), -1.0, 1.0, "red-blue", FLAT)


def _over_time(part: Part, lengths: Mapping[str, Tensor] | None) -> Iterator[tuple[str, Part]]:
    """A part of the first row, (time, row), with its title; its heads apart, but where there is one number a head."""
    own = part._replace(values=rows(part, lengths)[0], name="")
    several = list(members(own)) if len(own.axes) > 2 else [own]
    for one in several:
        of = f" of {one.name.replace('-', ' ')}" if len(several) > 1 else ""
        kind = " weighting" if part.kind in ("read", "write") else ""
        yield f"{part.name or part.kind}{kind}{of}, {one.axes[-1]}s over time", one


def _map(title: str, part: Part, most: int) -> Panel:
    """most: heads of the part that has most."""
    shades, low, high = _scale(part.kind)
    values = as_array(part.values.reshape(len(part.values), -1).T)
    if part.kind == "signal":
        return Panel(f"{title}, from -1 to 1", values, low, high, shades, FLAT)
    return Panel(title, values, low, high, shades, _TALL.get(most, _LOW))


def _scale(kind: Kind) -> tuple[Shades, float, float]:
    """Weightings and gates from 0 to 1, others from -1 to 1: the same in all looks of a training."""
    return (_SHADES[kind], 0.0, 1.0) if kind in _SHADES else ("red-blue", -1.0, 1.0)


def _by_head(part: Part) -> Array:
    """The first row as (time, head, row), heads of layers one after the other, and one where there is none."""
    values = part.values[0].movedim(part.axes.index("time"), 0)
    return as_array(values.reshape(len(values), -1, values.size(-1)))
