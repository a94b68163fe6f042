"""One look at a model in training: on always the same sequence or questions, so that looks compare.

A look costs no random number and changes nothing: a training that is looked at is bit for bit one that is not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from experiments.figures.snapshot import Panel
from memnet import NTMTrace, slots_used, weighting_entropy

# Heights of maps in pixels: of weightings by how many heads there are, of weightings of still more, of all others.
_TALL = {1: 192, 2: 128}
_LOW, FLAT = 80, 100


class Look(NamedTuple):
    """What one look sees.

    numbers: for a row of metrics, by name: entropies in bits, memory/slots_used in slots, gates from 0 to 1.
    panels:  rows of a picture; none where the model has nothing to see.
    """

    numbers: dict[str, float]
    panels: list[list[Panel]]


NOTHING = Look({}, [])


@contextmanager
def at_rest(model: Any) -> Iterator[None]:
    """Without gradients, and as in testing; afterwards the model is in its mode again.

    "compile" gives way to "eager", in a model that has backends: a look is not worth another graph.
    """
    training, backend = model.training, getattr(model, "backend", None)
    model.eval()
    if backend == "compile":
        model.backend = "eager"
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
        if backend == "compile":
            model.backend = backend


def head_numbers(trace: NTMTrace, lengths: Tensor | None = None) -> dict[str, float]:
    """Of every head the entropy of its weightings, over the real steps of all sequences; slots used by writing.

    lengths: (batch,) real steps; None where all are.
    """
    steps = trace.write_weights.size(1)
    ends = [steps] * len(trace.write_weights) if lengths is None else lengths.tolist()
    numbers = {}
    for kind, weights in (("read", trace.read_weights), ("write", trace.write_weights)):
        real = torch.cat([row[:end] for row, end in zip(weights, ends, strict=True)])
        for head, entropy in enumerate(weighting_entropy(real).mean(0).tolist(), start=1):
            numbers[f"entropy/{kind}-head-{head}"] = entropy
    used = [slots_used(row[:end]) for row, end in zip(trace.write_weights, ends, strict=True)]
    return numbers | {"memory/slots_used": float(torch.stack(used).mean())}


def head_panels(trace: NTMTrace, steps: int | None = None) -> list[list[Panel]]:
    """The memory after the last step of the first sequence (width, slot), then all heads' weightings (slot, time)."""
    rows: list[list[Panel]] = []
    kinds = {"write": trace.write_weights[0, :steps], "read": trace.read_weights[0, :steps]}
    most = max(weights.size(1) for weights in kinds.values())
    for head in range(most):
        rows.append([])
        for kind, weights in kinds.items():
            if head < weights.size(1):
                title = f"{kind} weighting{f' of head {head + 1}' if most > 1 else ''}, slots over time"
                rows[-1].append(Panel(title, weights[:, head].T.cpu().numpy(), height=_TALL.get(most, _LOW)))
    memory = trace.state.memory[0].T
    # What is added is between -1 and 1; one scale for all looks of a training.
    title = f"memory at the end, from -1 (blue) to 1 (red), at most {float(memory.abs().nan_to_num(0).max()):.2g}"
    return [[Panel(title, memory.cpu().numpy(), -1.0, 1.0, "red-blue", FLAT)], *rows]
