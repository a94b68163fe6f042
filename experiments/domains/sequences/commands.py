"""What `python -m experiments` does with a run on sequences: train, evaluate, show."""

import dataclasses
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.base.files import UserError
from experiments.base.progress import Progress
from experiments.base.provenance import command_line
from experiments.config.fields import check_least
from experiments.domains.sequences.evaluation import test_at, test_over
from experiments.domains.sequences.failures import Failures
from experiments.domains.sequences.models import (
    SequenceModel,
    backend_line,
    check_task,
    core,
    make_model,
    training_lengths,
)
from experiments.domains.sequences.options import SequenceConfig
from experiments.domains.sequences.pictures import draw_run
from experiments.domains.sequences.training import SequenceObjective
from experiments.runs.about import About
from experiments.runs.checkpoint import load_weights
from experiments.runs.folder import RunFolder
from experiments.runs.tests import TestRow
from experiments.training.ending import DrawOptions, Finished, Tested, TestOptions
from experiments.training.loading import load_run
from experiments.training.running import resume_line
from experiments.training.trainer import Trainer
from memnet.abilities import HasSlots, RoundsActions
from memnet.sequence import Backend
from tasks import Task

# See experiments.training.domain.
OBJECTIVE = SequenceObjective
MORE = [("optimal bits/seq", "optimal_bits_per_sequence", ".3g")]


def possible_data(config: SequenceConfig) -> Task:
    """The task; UserError for what no run can be, before there is a folder: sizes of models, lengths."""
    check_task(config)
    make_model(config)
    task: Task = config.learned
    return task


def load(config: SequenceConfig, folder: RunFolder) -> tuple[Task, SequenceModel]:
    """The task and the model of a run."""
    model = make_model(config)
    load_weights(folder.latest_weights, model)
    return config.learned, model


@dataclasses.dataclass(frozen=True)
class EvaluateOptions(TestOptions):
    """Test a trained run at any length; the table is printed and kept in the run's evaluation.json.

    A run on stories, text or translation has options of its own: see `evaluate RUN --help`.
    """

    length: tuple[int | str, ...] = ()
    """Lengths to test at, or ranges of them, as 41-500, whose tests are averaged; none for the task's usual ones."""
    num_slots: int | None = None
    """Memory rows of an NTM in this test; None for those it was trained with."""
    round_actions: bool = False
    """Take actions whole in this test, of a model that steers stacks, queues or tapes by them."""
    variant: str | None = None
    """Of a task that has other tests than training has, as the flip-flop language: which."""
    repeats: int | None = None
    """Of a task that has such, as repeat copy: the number of copies; None draws it from the trained range."""
    sequences: int = 1000
    """Sequences at each length."""
    batch_size: int | None = None
    """Sequences at a time; None chooses."""
    seed: int = 0
    """Seed of the test sequences, a stream of its own."""
    backend: Backend = "auto"
    """How steps run: eager, compile, native (recurrent networks and memories), or auto, which chooses."""

    def check(self) -> None:
        super().check()
        check_least(self, 1, "sequences", "batch_size", "repeats", "num_slots")
        check_least(self, 0, "seed")
        for one in self.length:
            low, high = span(one)
            if not 1 <= low <= high:
                raise UserError(f"--length must be at least 1, and a range go up, not {one}")


def span(length: int | str) -> tuple[int, int]:
    """The ends of a range of lengths, or of one length; UserError for a text that is neither."""
    if isinstance(length, int):
        return length, length
    found = re.fullmatch(r"([0-9]{1,9})-([0-9]{1,9})", length)
    if found is None:
        raise UserError(f"--length must be a whole number or a range, as 41-500, not {length!r}")
    return int(found[1]), int(found[2])


def test(folder: RunFolder, options: EvaluateOptions) -> Tested:
    """Test a run again."""
    config, task, model = load_run(folder.path, options.device)
    core(model).backend = options.backend
    rows = _tests(
        model,
        task,
        options.length or task.lengths_to_test(training_lengths(config)[1]),
        sequences=options.sequences,
        seed=options.seed,
        num_slots=options.num_slots,
        repeats=options.repeats,
        round_actions=options.round_actions,
        variant=options.variant,
        batch_size=options.batch_size,
    )
    print(backend_line(core(model)), file=sys.stderr)
    return Tested(rows)


@dataclasses.dataclass(frozen=True)
class ShowOptions(DrawOptions):
    """Draw a run's figures again, from its files."""

    length: tuple[int, ...] = ()
    """Lengths at which to show the memory; none for the usual ones."""
    num_slots: int | None = None
    """Memory rows of an NTM in these pictures; None for those it was trained with."""

    def check(self) -> None:
        check_least(self, 1, "length")


def draw(folder: RunFolder, about: About, options: ShowOptions) -> list[Path]:
    """Draw a run's figures again."""
    config, task, model = load_run(folder.path)
    try:
        if options.num_slots is not None:
            if not isinstance(network := core(model), HasSlots):
                raise UserError(f"--num-slots {options.num_slots}: this model has no memory")
            network.num_slots = options.num_slots
        return draw_run(folder, about, model, task, config, options.length or None)
    except ValueError as error:
        raise UserError(str(error)) from None


def finish(trainer: Trainer[SequenceObjective], folder: RunFolder) -> Finished:
    """Test at the usual lengths."""
    config, task, model = trainer.objective.config, trainer.objective.data, trainer.model
    failures = Failures(task)
    rows: list[TestRow] = []
    for length in task.lengths_to_test(training_lengths(config)[1]):
        try:
            rows += _tests(model, task, [length], sequences=config.training.test_sequences, failures=failures)
            for variant in task.variants:
                rows += _tests(model, task, [length], sequences=config.training.test_sequences, variant=variant)
        except UserError as trouble:  # a draw may have no luck, and what was trained is to be kept
            print(f"warning: not tested at {length} {task.length_unit}: {trouble}", file=sys.stderr)
    facts = {
        # Of the tests: for pictures every step is watched eagerly.
        "backend_used": core(model).backend_used,
        "sequences": trainer.sequences,
        "sequences_to_solve": trainer.sequences_to_solve,
        "begun": len(trainer.begun),
        "perf/seconds_to_solve": trainer.seconds_to_solve,
    }
    return Finished(
        model,
        Tested(rows),
        lambda about: draw_run(folder, about, model, task, config),
        f"{config.task_label}: {_outcome(trainer)}",
        facts,
        {folder.failures: failures.rows},
        _next(trainer, folder),
        [_model_line(trainer)],
    )


def _tests(
    model: SequenceModel,
    task: Task,
    lengths: Sequence[int | str],
    *,
    sequences: int,
    seed: int = 0,
    failures: Failures | None = None,
    **options: Any,
) -> list[TestRow]:
    """One row of the test table for each length, with a live display; options are those of test_at."""
    rows: list[TestRow] = []
    for length in lengths:
        with Progress(sequences, title=f"testing at {length} {task.length_unit}", shown={}) as progress:

            def tell(done: int, progress: Progress = progress) -> None:
                progress.update({}, done)

            low, high = span(length)
            same = {"sequences": sequences, "seed": seed, "tell": tell, **options}
            if low < high:
                rows.append(test_over(model, task, (low, high), **same))
            else:
                see = None if failures is None else failures.at(low)
                rows.append(test_at(model, task, low, see=see, **same))
    return rows


def _outcome(trainer: Trainer[SequenceObjective]) -> str:
    solved = trainer.sequences_to_solve
    if solved is not None:
        again = f", begun {len(trainer.begun)} times" if len(trainer.begun) > 1 else ""
        return f"solved after {solved:,} sequences{again}, {trainer.seconds_to_solve:.0f} s"
    judged = trainer.objective.training.solved_at is not None
    return f"{'not solved in' if judged else 'trained on'} {trainer.sequences:,} sequences"


def _next(trainer: Trainer[SequenceObjective], folder: RunFolder) -> list[str]:
    """Commands to go on with."""
    task, run = trainer.objective.data, folder.path
    commands = []
    if trainer.sequences_to_solve is None and trainer.objective.training.solved_at is not None:
        commands.append(resume_line(folder, *trainer.longer))
        commands.append(f"{command_line('recipes')}   # other settings, for --recipe")
    if isinstance(network := core(trainer.model), HasSlots):
        # A head walks a slot a step: long sequences want more slots than steps.
        length = task.within(5 * max(task.test_lengths) // 2)
        slots = max(16 * network.num_slots, 2 * length)
        more = ["--length", length, "--num-slots", slots, "--sequences", 20]
        more += ["--round-actions"] if isinstance(network, RoundsActions) else []
        commands.append(command_line("evaluate", run, *more))
    commands.append(command_line("evaluate", run, "--sequences", 1000))
    return [*commands, command_line("show", run, "--length", task.longest_test)]


def _model_line(trainer: Trainer[SequenceObjective]) -> str:
    """What was trained: how an NTM finds its slots, or that there is no memory, and noise on the weights."""
    config = trainer.objective.config
    addressing = config.model.options.get("addressing")
    by = "" if addressing is None else f", addressing by {addressing.replace('-', ' ')}"
    by = by if isinstance(core(trainer.model), HasSlots) else ", no memory"
    noise = f", noise of {config.training.weight_noise} on the weights while training"
    later = f", noise of {config.training.cooldown_noise} on the weights while the rate falls"
    mean = f", a running mean of its weights, by {config.training.weight_average}"
    told = noise if config.training.weight_noise else ""
    told += later if config.training.cooldown_noise is not None else ""
    told += mean if config.training.weight_average else ""
    return f"model    {config.model_label}{by}{told}"
