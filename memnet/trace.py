"""What a model did, in parts that anyone can read: which kind of numbers each holds, and what its axes count.

Who draws, lists or measures what models do asks their traces for parts, and knows no model.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from memnet.functional.weightings import slots_used, weighting_entropy
from memnet.state import State

Kind: TypeAlias = Literal["read", "write", "gate", "memory", "matrix", "signal"]

# Axes along which a model goes on, and axes whose places are shown apart, each with a number.
STEPS = ("time", "sentence", "word")
MEMBERS = ("layer", "head", "hop")


class Part(NamedTuple):
    """One thing that a model did.

    kind:   "read", "write": weightings, which sum to one or less over the last axis; "gate": numbers from 0 to 1;
            "memory": what slots hold, the last two axes being slot and width; "matrix": what binds its last two axes,
            as fast weights bind keys and values; "signal": anything else.
    name:   for people; empty where a model has but one such part. A signal that is called after a weighting, as
            "read strength" after "read", belongs to its heads; "read vector" is what came from memory, and "write add"
            what went there. A gate called so, as "write by allocation", tells how much of a weighting was found in
            another way than by content.
    values: (batch, *axes).
    axes:   what each axis but the batch counts: time, sentence, word; layer, head, hop; slot, width, unit, key, value.
    """

    kind: Kind
    name: str
    values: Tensor
    axes: tuple[str, ...]


class AnyTrace(Protocol):
    """What the traces of all models have; each has more of its own.

    A trace may have `names`, too: by axis the word ids (batch, place) of what stands there, as an EntNet's tied slots;
    0 is the question mark of a reader, and -1 lies beyond a row's end.
    """

    @property
    def parts(self) -> Sequence[Part]:
        """All that the model did."""


class SequenceTrace(AnyTrace, Protocol):
    """What the traces of all sequence models have."""

    @property
    def output(self) -> Tensor:
        """(batch, time, output_size), before any squashing."""

    @property
    def state(self) -> State:
        """The state after each row's last step."""


class StoryTrace(AnyTrace, Protocol):
    """What the traces of all models of stories have."""

    @property
    def logits(self) -> Tensor:
        """What forward returns."""


class Trace(NamedTuple):
    """Any sequence model watched over time.

    output, state: what forward returns.
    parts:         what its cell tells of itself, by default the tensors of its states.
    """

    output: Tensor
    parts: Sequence[Part]
    state: State


def names_of(trace: AnyTrace) -> dict[str, Tensor]:
    """The names of a trace's places, see AnyTrace; none of most."""
    return dict(getattr(trace, "names", {}))


def lengths_of(names: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """How many places there are along each axis with names, (batch,)."""
    return {axis: (ids >= 0).sum(1) for axis, ids in names.items()}


def numbers(parts: Sequence[Part], lengths: Mapping[str, Tensor] | None = None) -> dict[str, float]:
    """Entropies of all weightings in bits, slots used by writing, and how far gates of memory are open.

    lengths: (batch,) by axis, where rows differ; the places after them do not count.
    Returns  entropy/NAME-head-1 and so on, means over rows and steps; memory/slots_used, mean over rows;
             gate/NAME/mean and gate/NAME/open_share, the share above 1/2. Gates of single units are not counted.
    """
    found: dict[str, float] = {}
    for part in (one._replace(values=one.values.detach()) for one in parts):
        values, axes = real(part, lengths)
        if part.kind in ("read", "write"):
            entropies = part._replace(values=weighting_entropy(values).mean(0), axes=axes[:-1])
            found |= {f"entropy/{one.name or part.kind}": float(one.values.mean()) for one in members(entropies)}
        if part.kind == "write":
            used = [slots_used(row.reshape(-1, 1, row.size(-1))) for row in rows(part, lengths)]
            found["memory/slots_used"] = float(torch.stack(used).mean())
        if part.kind == "gate" and "unit" not in axes:
            prefix = "/".join(filter(None, ("gate", part.name)))
            found[f"{prefix}/mean"] = float(values.mean())
            found[f"{prefix}/open_share"] = float((values > 0.5).to(values.dtype).mean())
    return found


def steps_first(part: Part) -> Part:
    """A part with the axis along which the model went on, if there is one, before all others."""
    place = _place_of_steps(part)
    if not place:
        return part
    axes = (part.axes[place], *part.axes[:place], *part.axes[place + 1 :])
    return part._replace(values=part.values.movedim(place + 1, 1), axes=axes)


def rows(part: Part, lengths: Mapping[str, Tensor] | None = None) -> list[Tensor]:
    """The values of every row of the batch, its steps first and as many as are real."""
    place = _place_of_steps(part)
    ends = None if place is None else (lengths or {}).get(part.axes[place])
    values = steps_first(part).values
    return list(values) if ends is None else [row[:end] for row, end in zip(values, ends.tolist(), strict=True)]


def real(part: Part, lengths: Mapping[str, Tensor] | None = None) -> tuple[Tensor, tuple[str, ...]]:
    """The real steps of all rows behind one another, as one first axis, and what the others count.

    Where a part has no steps, the first axis is that of its rows.
    """
    if _place_of_steps(part) is None:
        return part.values, part.axes
    return torch.cat(rows(part, lengths)), steps_first(part).axes[1:]


def members(part: Part) -> Iterator[Part]:
    """A part's layers, heads and hops apart, each with its number in its name: "read-head-1". One without such stays.

    values: any leading axes beside those of the part.
    """
    place = next((place for place, axis in enumerate(part.axes) if axis in MEMBERS), None)
    if place is None:
        yield part
        return
    axis, axes = part.axes[place], part.axes[:place] + part.axes[place + 1 :]
    for number, values in enumerate(part.values.unbind(place - len(part.axes)), start=1):
        name = "-".join(filter(None, (part.name, axis, str(number))))
        yield from members(part._replace(name=name, values=values, axes=axes))


def find(parts: Sequence[Part], kind: Kind, *axes: str) -> Part | None:
    """The first part of this kind that has these axes, in any order and beside others."""
    return next((part for part in parts if part.kind == kind and set(axes) <= set(part.axes)), None)


def state_parts(states: State, name: str = "") -> list[Part]:
    """The tensors of a state over time by their names: of each row (unit,) a signal, (slot, width) a memory.

    states: a state with a time axis after the batch. Axes before the slots have numbers alone.
    """
    if isinstance(states, Tensor):
        more = states.dim() - 2
        axes = ("unit",)[:more] if more < 2 else (*(f"axis {k + 1}" for k in range(more - 2)), "slot", "width")
        return [Part("signal" if more < 2 else "memory", name or "state", states, ("time", *axes))]
    if hasattr(states, "_fields"):
        names = [f"{name} {field.replace('_', ' ')}".strip() for field in states._fields]
    else:
        names = [f"{name or 'state'} {number}" for number in range(1, len(states) + 1)]
    return [part for name, values in zip(names, states, strict=True) for part in state_parts(values, name)]


def _place_of_steps(part: Part) -> int | None:
    """Where among the axes that is along which the model went on; it is none that a weighting is spread over."""
    axes = part.axes[:-1] if part.kind in ("read", "write") else part.axes
    return next((place for place, axis in enumerate(axes) if axis in STEPS), None)
