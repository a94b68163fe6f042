"""The pictures of a run, drawn from its folder, and looks at its model in training: what went in and came out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from experiments.base.progress import working
from experiments.base.seeds import generator_for
from experiments.domains.sequences.models import SequenceModel, core, training_lengths
from experiments.domains.sequences.options import SequenceConfig
from experiments.figures.memory import Episode
from experiments.figures.snapshot import Panel
from experiments.figures.style import Array
from experiments.figures.trace import FLAT, as_array, episode_arrays, in_twos, panels_of
from experiments.figures.view import View
from experiments.runs.about import About
from experiments.runs.folder import RunFolder
from experiments.training.looks import Look, at_rest
from experiments.training.pictures import draw_learning, draw_views, run_title
from memnet.trace import numbers
from tasks import Batch, Task


@working("drawing")
def draw_run(
    folder: RunFolder,
    about: About,
    model: SequenceModel,
    task: Task,
    config: SequenceConfig,
    lengths: Sequence[int] | None = None,
) -> list[Path]:
    """Draw every figure of a run into its folder and return the files.

    lengths: what the pictures of memory show; None for the longest length trained on and the longest of
             the task's usual tests.
    """
    usual = (training_lengths(config)[1], task.longest_test)
    views = {
        str(length): replace(sequence_view(model, task, pictured_sequence(task, length)), asked=f"length {length}")
        for length in lengths or usual
    }
    return [*draw_views(folder.figures, views, run_title(about)), *draw_learning(folder, about)]


def pictured_sequence(task: Task, length: int) -> Batch:
    """A batch of the one sequence of this length that all pictures show, of every run."""
    return task.sample(1, length=length, generator=generator_for("test", 0, length))


def sequence_view(model: SequenceModel, task: Task, batch: Batch) -> View:
    """Run a batch of one sequence and keep what the model did with its memory."""
    with torch.inference_mode():
        batch = task.played(batch.to(core(model).readout.weight.device), model)
        trace = model.trace(batch.input)
    answers, wrong = task.predict(trace.output)[0], task.wrong(trace.output, batch)
    batch = task.channels(batch)
    episode = Episode(
        inputs=as_array(batch.input[0]),
        targets=as_array(batch.target[0]),
        outputs=as_array(answers),
        mask=as_array(batch.mask[0]),
        answer=task.answer,
        groups=wrong.size(-1),
        **episode_arrays(trace.parts),
    )
    count, scored = int(wrong.sum()), int(batch.mask.sum()) * wrong.size(-1)
    return View(
        asked=task.name,
        verdict=f"{count:,} of {scored:,} answered {task.answer} wrong"
        if count
        else f"all {scored:,} answered {task.answer} right",
        right=not count,
        parts=trace.parts,
        names={"input": task.input_channels, "output": task.output_channels},
        episode=episode,
        wrong_at=_wrong_at(wrong[0], answers),
    )


def _wrong_at(wrong: Tensor, answers: Tensor) -> list[tuple[int, int]]:
    """Steps and channels of what is wrong: of several channels of one answer, where the answer was given."""
    grouped = answers.unflatten(-1, (wrong.size(-1), -1))
    given = functional.one_hot(grouped.argmax(-1), grouped.size(-1)).bool()
    return [(step, channel) for step, channel in (wrong.unsqueeze(-1) & given).flatten(-2).nonzero().tolist()]


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
