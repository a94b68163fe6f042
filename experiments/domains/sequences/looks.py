"""One look at a sequence model in training: inputs, targets, outputs, and what the model did."""

from torch import Tensor

from experiments.domains.sequences.models import SequenceModel, core
from experiments.figures.snapshot import Panel
from experiments.figures.style import Array
from experiments.figures.trace import FLAT, in_twos, panels_of
from experiments.training.looks import Look, at_rest
from memnet.trace import numbers
from tasks import Batch, Task


def look_at_sequence(model: SequenceModel, task: Task, batch: Batch) -> Look:
    """What a sequence model does with a batch of one sequence."""
    batch = batch.to(core(model).readout.weight.device)
    with at_rest(model):
        trace = model.trace(batch.input)
    batch = task.channels(batch)
    inputs = Panel("inputs", _of(batch.input), *_span(batch.input), "greys", FLAT)
    high = max(float(batch.target.max()), 1.0)
    targets = Panel("targets, where scored", _scored(batch.target, batch), 0, high, "greys", FLAT)
    outputs = Panel("outputs, where scored", _scored(task.predict(trace.output), batch), 0, high, "greys", FLAT)
    memory, over_time = panels_of(trace.parts)
    return Look(numbers(trace.parts), [*in_twos([inputs, targets, *memory, outputs]), *over_time])


def _of(values: Tensor) -> Array:
    return values[0].T.cpu().numpy()


def _scored(values: Tensor, batch: Batch) -> Array:
    """(channel, time), white where no prediction is scored."""
    return _of(values * batch.mask.unsqueeze(-1))


def _span(values: Tensor) -> tuple[float, float]:
    return min(float(values.min()), 0.0), max(float(values.max()), 1.0)
