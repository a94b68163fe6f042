"""The pictures of a run, drawn from its folder."""

from collections.abc import Sequence
from pathlib import Path

import torch

from experiments.base.progress import working
from experiments.base.seeds import generator_for
from experiments.domains.sequences.models import training_lengths
from experiments.domains.sequences.options import SequenceConfig
from experiments.figures import Episode
from experiments.figures.trace import as_array, episode_arrays
from experiments.figures.view import View
from experiments.runs.about import read_about
from experiments.runs.folder import RunFolder
from experiments.training.pictures import draw_learning, draw_views, run_title
from memnet import SequenceModule
from tasks import Batch, Task


@working("drawing")
def draw_run(
    folder: RunFolder,
    model: SequenceModule,
    task: Task,
    config: SequenceConfig,
    lengths: Sequence[int] | None = None,
) -> list[Path]:
    """Draw every figure of a run into its folder and return the files.

    lengths: what the pictures of memory show; None for the longest length trained on and the longest of
             the task's usual tests.
    """
    about = read_about(folder.path)
    usual = (training_lengths(config)[1], max(task.test_lengths))
    views = {str(length): sequence_view(model, task, length) for length in lengths or usual}
    return [*draw_views(folder.figures, views, run_title(about)), *draw_learning(folder, about)]


def pictured_sequence(task: Task, length: int) -> Batch:
    """A batch of the one sequence of this length that all pictures show, of every run."""
    return task.sample(1, length=length, generator=generator_for("test", 0, length))


def sequence_view(model: SequenceModule, task: Task, length: int) -> View:
    """Run one test sequence and keep what the model did with its memory."""
    batch = pictured_sequence(task, length).to(model.readout.weight.device)
    with torch.inference_mode():
        trace = model.trace(batch.input)
    episode = Episode(
        inputs=as_array(batch.input[0]),
        targets=as_array(batch.target[0]),
        outputs=as_array(task.predict(trace.output)[0]),
        mask=as_array(batch.mask[0]),
        answer=task.answer,
        **episode_arrays(trace.parts),
    )
    return View(
        asked=f"length {length}",
        verdict=episode.note,
        right=not task.wrong(trace.output, batch).any(),
        parts=trace.parts,
        names={"input": task.input_channels, "output": task.output_channels},
        episode=episode,
    )
