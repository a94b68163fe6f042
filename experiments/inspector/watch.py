"""What a sequence model did at every step, as the page shows it."""

from typing import Any

import numpy as np
import torch

from experiments.figures.arrays import used_slots
from experiments.inspector.arrays import pack
from memnet import NTM, RecurrentTrace, SequenceModule
from memnet.ntm import NTMTrace
from memnet.sequence import state_tensors

Panel = dict[str, Any]


def show_trace(trace: NTMTrace | RecurrentTrace) -> Panel:
    """The memory and the heads of an NTM, or the states and gates of a recurrent network; a batch of one."""
    return _memory(trace) if isinstance(trace, NTMTrace) else {"states": _states(trace)}


def width_of(model: SequenceModule) -> int:
    """How many numbers a model keeps from step to step: those of its memory, or of its state."""
    if isinstance(model, NTM):
        return model.num_slots * model.cell.slot_size
    return sum(tensor.numel() for tensor in state_tensors(model.initial_state(1)))


def _memory(trace: NTMTrace) -> Panel:
    """Of a large memory the stretch of slots that are used, as in the figures; round the end where heads go there."""
    weights = torch.cat([trace.read_weights, trace.write_weights], 2)[0].numpy()
    total, reads = weights.shape[2], trace.read_weights.size(2)
    first, size = used_slots([weights])
    shown = np.arange(first, first + size) % total
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
    return {
        "heads": heads,
        "memory": pack(trace.memory[0, :, torch.from_numpy(shown)]),
        "slots": {"total": total, "shown": shown.tolist()},
    }


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
