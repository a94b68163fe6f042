"""What a sequence model did at every step, as the page shows it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from experiments.figures.arrays import used_slots
from experiments.figures.style import Array
from experiments.inspector.arrays import pack
from memnet import NTM, RecurrentTrace, SequenceModule
from memnet.models.ntm import NTMTrace
from memnet.state import state_tensors

Panel = dict[str, Any]


def show_traces(traces: Sequence[Any]) -> list[Panel]:
    """For each model the memory and the heads of an NTM, or the states and gates of a recurrent network.

    traces: of batches of one. Memories side by side are shown over the same stretch of slots.
    """
    memories = [trace for trace in traces if isinstance(trace, NTMTrace)]
    stretches = iter(shared_slots([_weights(trace) for trace in memories]))
    return [
        _memory(trace, next(stretches)) if isinstance(trace, NTMTrace) else {"states": _states(trace)}
        for trace in traces
    ]


def width_of(model: SequenceModule) -> int:
    """How many numbers a model keeps from step to step: those of its memory, or of its state."""
    if isinstance(model, NTM):
        return model.num_slots * model.cell.slot_size
    return sum(tensor.numel() for tensor in state_tensors(model.initial_state(1)))


def _weights(trace: NTMTrace) -> Array:
    """Of all heads, those that read before those that write, (time, head, slot)."""
    weights: Array = torch.cat([trace.read_weights, trace.write_weights], 2)[0].numpy()
    return weights


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


def _memory(trace: NTMTrace, slots: Panel) -> Panel:
    weights, reads, shown = _weights(trace), trace.read_weights.size(2), slots["shown"]
    heads = []
    for number in range(weights.shape[1]):
        if number < reads:
            kind, place, count = "read", number, reads
        else:
            kind, place, count = "write", number - reads, weights.shape[1] - reads
        name = f"{kind} head {place + 1}" if count > 1 else f"{kind} head"
        head = {"kind": kind, "name": name, "weights": pack(weights[:, number, shown])}
        for part in ("strength", "gate", "shift", "sharpening"):
            values = getattr(trace.heads, part)[0, :, number]
            # Some ways of addressing have no use for some of them.
            if values.size(-1):
                head[part] = pack(values)
        heads.append(head)
    return {"heads": heads, "memory": pack(trace.memory[0, :, shown]), "slots": slots}


def _states(trace: RecurrentTrace) -> list[Panel]:
    """Every kind of state and gate of every layer, (time, unit) each."""
    single = hasattr(trace.states, "_fields")
    layers = [(trace.states, trace.gates)] if single else list(zip(trace.states, trace.gates, strict=True))
    found = []
    for number, (states, gates) in enumerate(layers, start=1):
        of_layer = "" if single else f", layer {number}"
        for part, suffix in ((states, " state"), (gates, " gate")):
            for name in getattr(part, "_fields", ()):
                values = getattr(part, name)[0]
                found.append({"name": f"{name}{suffix}{of_layer}", "gate": part is gates, "values": pack(values)})
    return found
