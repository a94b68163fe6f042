"""The pictures of a run, drawn from its folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from experiments.base.names import model_label
from experiments.base.progress import working
from experiments.base.seeds import generator_for
from experiments.config.parts import TrainConfig
from experiments.domains.sequences.models import training_lengths
from experiments.domains.sequences.papers import paper_curve
from experiments.figures import (
    Episode,
    Measure,
    figure_name,
    gradient_flow_figure,
    learning_curve_figure,
    length_figure,
    memory_figure,
    save_figure,
)
from experiments.figures.trace import episode_arrays
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import read_metrics
from experiments.runs.tests import TestRow
from memnet import SequenceModule
from tasks import Batch, Score, Task


@working("drawing")
def draw_run(
    folder: RunFolder,
    model: SequenceModule,
    task: Task,
    config: TrainConfig,
    lengths: Sequence[int] | None = None,
) -> list[Path]:
    """Draw every figure of a run into its folder and return the files.

    lengths: what the pictures of memory show; None for the longest length trained on and the longest of
             the task's usual tests.
    """
    name = f"{config.task}, {model_label(config)}, seed {config.seed}"
    trained = training_lengths(config, task)
    rows = read_metrics(folder.metrics) if folder.metrics.exists() else []
    folder.figures.mkdir(exist_ok=True)
    files: list[Path] = []
    seen = {length: watch(model, task, length) for length in lengths or (trained[1], max(task.test_lengths))}
    for length, episode in seen.items():
        figure = memory_figure(episode, f"{name}: length {length}", list(seen.values()))
        files.append(folder.figures / figure_name(f"memory-{length}"))
        save_figure(figure, files[-1])
    # Tests at a chosen number of repeats are another axis than length.
    tests = [row for row in folder.read_tests() if row["at"]["repeats"] is None]
    curves = learning_curve_figure(
        rows,
        {model_label(config): paper_curve(config)},
        name,
        model=model_label(config),
        measure=measure_of(task.curve),
        criterion=measure_of(task.criterion),
        solved_at=config.solved_at,
        optimum=tests[0]["scores"].get("optimal_bits_per_sequence") if tests else None,
        baseline=task.baselines(trained[1]).get(f"baseline_{task.curve.name}"),
    )
    files.append(folder.figures / figure_name("learning-curve"))
    save_figure(curves, files[-1])
    if any("gradients/norm/lag-1" in row for row in rows):
        files.append(folder.figures / figure_name("gradient-flow"))
        save_figure(gradient_flow_figure(rows, name), files[-1])
    if tests:
        files.append(folder.figures / figure_name("error-by-length"))
        errors = [measure_of(score) for score in task.panels]
        save_figure(length_figure([_flat(row) for row in tests], trained, task.length_unit, name, errors), files[-1])
    return files


def _flat(row: TestRow) -> dict[str, Any]:
    """A test as figures take it."""
    baselines = {f"baseline_{name}": score for name, score in row["baselines"].items()}
    return {**row["at"], "sequences": row["count"], **row["scores"], **baselines}


def pictured_sequence(task: Task, length: int) -> Batch:
    """A batch of the one sequence of this length that all pictures show, of every run."""
    return task.sample(1, length=length, generator=generator_for("test", 0, length))


def measure_of(score: Score) -> Measure:
    """A task's score as figures show it."""
    return Measure(score.name, score.words, score.unit, score.format.endswith("%"), score.chance)


def watch(model: SequenceModule, task: Task, length: int) -> Episode:
    """Run one test sequence and keep what the model did with its memory."""
    batch = pictured_sequence(task, length).to(model.readout.weight.device)
    with torch.inference_mode():
        trace = model.trace(batch.input)
    return Episode(
        inputs=batch.input[0].cpu().numpy(),
        targets=batch.target[0].cpu().numpy(),
        outputs=task.predict(trace.output)[0].cpu().numpy(),
        mask=batch.mask[0].cpu().numpy(),
        answer=task.answer,
        **episode_arrays(trace.parts),
    )
