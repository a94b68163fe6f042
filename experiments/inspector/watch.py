"""What a sequence model did at every step, as the page shows it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from experiments.figures.arrays import used_slots
from experiments.figures.style import Array
from experiments.figures.trace import as_array
from experiments.inspector.arrays import pack
from experiments.training.showing import sequences_in
from memnet import Part
from memnet.state import state_tensors
from memnet.trace import find, members, steps_first

Panel = dict[str, Any]


class Heads(NamedTuple):
    """A memory of slots over time, and the weightings of those who read and write it."""

    memory: Part
    read: Part
    write: Part

    @property
    def weights(self) -> Array:
        """Of all heads, those that read before those that write, (time, head, slot)."""
        return as_array(torch.cat([self.read.values, self.write.values], 2)[0])


def show_parts(models: Sequence[Sequence[Part]]) -> list[Panel]:
    """For each model its memory and heads where it has such, else everything that it tells of its steps.

    models: the parts of each, of batches of one. Memories side by side are shown over the same stretch of slots.
    """
    heads = [heads_of(parts) for parts in models]
    stretches = iter(shared_slots([one.weights for one in heads if one is not None]))
    return [
        {"states": _states(parts)} if one is None else _memory(one, parts, next(stretches))
        for one, parts in zip(heads, models, strict=True)
    ]


def heads_of(parts: Sequence[Part]) -> Heads | None:
    """What reads and writes a memory over time, if anything does."""
    memory, read, write = (find(parts, kind, "time", "slot") for kind in ("memory", "read", "write"))
    if memory is None or read is None or write is None:
        return None
    fits = memory.axes == ("time", "slot", "width") and read.axes == write.axes == ("time", "head", "slot")
    return Heads(memory, read, write) if fits else None


def width_of(model: nn.Module) -> int:
    """How many numbers a model keeps from step to step."""
    states = [sequence.initial_state(1) for sequence in sequences_in(model)]
    return sum(tensor.numel() for tensor in state_tensors(tuple(states)))


def shared_slots(weights: Sequence[Array]) -> list[Panel]:
    """For each memory which slots are shown, in which of the rows that all share.

    Of a large memory it is the stretch of slots that are used, as in the figures; round the end where heads go there.
    A memory smaller than what others use begins at the row of its own first slot that is used.
    """
    sizes = {array.shape[2] for array in weights}
    # As one ring where they are as large, so that the stretch is the shortest one.
    used = [used_slots(weights)] * len(weights) if len(sizes) == 1 else [used_slots([array]) for array in weights]
    start = min((first for first, _ in used), default=0)
    stop = max((first + count for first, count in used), default=0)
    stretches = []
    for array, (first, _) in zip(weights, used, strict=True):
        total = array.shape[2]
        begin = start if stop - start <= total else min(first, stop - total)
        shown = np.arange(begin, min(begin + total, stop)) % total
        stretches.append({"total": total, "shown": shown.tolist(), "row": begin - start, "rows": stop - start})
    return stretches


def _memory(heads: Heads, parts: Sequence[Part], slots: Panel) -> Panel:
    shown, drawn = slots["shown"], []
    signals = {part.name: part for part in parts if part.kind == "signal"}
    for part in (heads.read, heads.write):
        count = part.values.size(2)
        for number in range(count):
            name = f"{part.kind} head {number + 1}" if count > 1 else f"{part.kind} head"
            head = {"kind": part.kind, "name": name, "weights": pack(part.values[0, :, number, shown])}
            for what in ("strength", "gate", "shift", "sharpening"):
                # Some ways of addressing have no use for some of them.
                if (signal := signals.get(f"{part.name} {what}")) is not None:
                    values = signal.values[0, :, number]
                    head[what] = pack(values.reshape(len(values), -1))
            by = f"{part.name} by "
            found = [one for one in parts if one.kind == "gate" and one.name.startswith(by)]
            if found:
                head["ways"] = {one.name.removeprefix(by): pack(one.values[0, :, number, None]) for one in found}
            drawn.append(head)
    return {"heads": drawn, "memory": pack(heads.memory.values[0, :, shown]), "slots": slots}


def _states(parts: Sequence[Part]) -> list[Panel]:
    """Every part over time, (time, unit), its heads apart; of memories and matrices also how they are laid out."""
    found = []
    for part in parts:
        for one in members(steps_first(part)) if "time" in part.axes else ():
            values = one.values[0].float()
            state = {
                "name": one.name.replace("-", " "),
                "gate": one.kind in ("gate", "read", "write"),
                "values": pack(values.reshape(len(values), -1)),
            }
            if one.kind in ("memory", "matrix"):
                state |= {"axes": one.axes[-2:], "width": values.size(-1)}
            found.append(state)
    return found
