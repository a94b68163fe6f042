"""What `python -m experiments` does with a run on sequences: train, evaluate, show."""

import dataclasses
import sys
from collections.abc import Sequence

import torch
import tyro

from experiments.base.files import UserError
from experiments.base.progress import Progress
from experiments.base.provenance import command_line
from experiments.config.command_line import parse
from experiments.config.fields import check_least
from experiments.domains.sequences.evaluation import test_at
from experiments.domains.sequences.failures import Failures
from experiments.domains.sequences.models import backend_line, make_model, training_lengths
from experiments.domains.sequences.options import SequenceConfig
from experiments.domains.sequences.pictures import draw_run
from experiments.domains.sequences.training import SequenceObjective, make_trainer
from experiments.figures.drawing import DrawingOptions
from experiments.runs.about import About, read_about
from experiments.runs.checkpoint import load_weights, save_weights
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import write_rows
from experiments.runs.tests import TestRow, table
from experiments.training.loading import load_run
from experiments.training.running import closing, prepare, resume_line, run_training
from experiments.training.trainer import Trainer
from memnet import SequenceModule
from memnet.abilities import HasSlots
from memnet.sequence import Backend
from tasks import Task

_OPTIMAL = ("optimal bits/seq", "optimal_bits_per_sequence", ".3g")


def train(config: SequenceConfig) -> int:
    """Train, test and draw. Returns the exit code: 0, 1 where the loss was no number, 128 + signal where stopped."""
    possible_data(config)
    curve = config.learned.curve
    return run_training(
        config,
        lambda folder, run_id: make_trainer(config, folder, run_id),
        _finish,
        title=f"{config.task_label}, {config.model_label}",
        shown={"train/loss": "loss", f"train/{curve.name}": curve.heading},
    )


def possible_data(config: SequenceConfig) -> None:
    """UserError for what no run can be, before there is a folder: sizes of models, lengths."""
    training_lengths(config)
    make_model(config)


def trainer_of(config: SequenceConfig, folder: RunFolder) -> Trainer[SequenceObjective]:
    """A training that has not begun, to be measured."""
    return make_trainer(config, folder, "measured")


def not_stacked(config: SequenceConfig) -> str | None:
    """Why seeds of a configuration cannot be one stacked computation, None where they can."""
    for name in ("truncate", "checkpoint_steps"):
        if getattr(config.training, name) is not None:
            return f"--{name.replace('_', '-')} takes one seed at a time"
    return None


def trained_on(folder: RunFolder) -> str:
    """The task says all."""
    return ""


def load(config: SequenceConfig, folder: RunFolder) -> tuple[Task, SequenceModule]:
    """The task and the model of a run."""
    model = make_model(config)
    load_weights(folder.latest_weights, model)
    return config.learned, model


def models_of(config: SequenceConfig, folder: RunFolder) -> list[SequenceModule]:
    """The model of a run as it began, but for its seed."""
    with torch.random.fork_rng(devices=[]):
        return [make_model(config)]


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Test a trained run at any length; the table is printed and kept in the run's evaluation.json.

    A run on stories, text or translation has options of its own: see `evaluate RUN --help`.
    """

    run: tyro.conf.Positional[str]
    """The run's folder."""
    length: tuple[int, ...] = ()
    """Lengths to test at; none for the task's usual ones."""
    num_slots: int | None = None
    """Memory rows of an NTM in this test; None for those it was trained with."""
    repeats: int | None = None
    """Repeat copy: the number of copies; None draws it from the trained range."""
    sequences: int = 1000
    """Sequences at each length."""
    batch_size: int | None = None
    """Sequences at a time; None chooses."""
    seed: int = 0
    """Seed of the test sequences, a stream of its own."""
    device: str = "cpu"
    """Where to compute: cpu or cuda."""
    backend: Backend = "auto"
    """How steps run: eager, compile, native (NTMs on the CPU), or auto, the fastest that applies."""
    threads: int = 1
    """CPU threads."""


def evaluate(args: Sequence[str]) -> int:
    """Test a run and print the table."""
    options = parse(EvaluateOptions, "evaluate", args)
    check_least(options, 1, "sequences", "batch_size", "repeats", "num_slots", "threads")
    check_least(options, 0, "seed")
    _check_length(options.length)
    prepare(options.device, options.threads)
    folder = RunFolder(options.run)
    with folder.locked(shared=True):
        told = read_about(folder.path)
        config, task, model = load_run(options.run, options.device, "sequences")
        model.backend = options.backend
        rows = _tests(
            model,
            task,
            options.length or task.lengths_to_test(training_lengths(config)[1]),
            sequences=options.sequences,
            seed=options.seed,
            num_slots=options.num_slots,
            repeats=options.repeats,
            batch_size=options.batch_size,
        )
        print(backend_line(model), file=sys.stderr)
        print(_table(rows, told))
        folder.keep_tests(rows)
    return 0


@dataclasses.dataclass(frozen=True)
class ShowOptions(DrawingOptions):
    """Draw a run's figures again, from its files."""

    run: tyro.conf.Positional[str]
    """The run's folder."""
    length: tuple[int, ...] = ()
    """Lengths at which to show the memory; none for the usual ones."""
    num_slots: int | None = None
    """Memory rows of an NTM in these pictures; None for those it was trained with."""


def show(args: Sequence[str]) -> int:
    """Draw a run's figures and print where they are."""
    options = parse(ShowOptions, "show", args)
    _check_length(options.length)
    prepare("cpu", 1)
    folder = RunFolder(options.run)
    config, task, model = load_run(options.run, domain="sequences")
    try:
        if options.num_slots is not None:
            if not isinstance(model, HasSlots):
                raise UserError(f"--num-slots {options.num_slots}: this model has no memory")
            model.num_slots = options.num_slots
        with options.drawn():
            files = draw_run(folder, model, task, config, options.length or None)
    except ValueError as error:
        raise UserError(str(error)) from None
    print(*files, sep="\n")
    return 0


def _finish(trainer: Trainer[SequenceObjective], folder: RunFolder, notice: str) -> str:
    """Test and draw; returns what is told at the end."""
    config, task, model = trainer.objective.config, trainer.objective.task, trainer.model
    save_weights(folder.weights, model)
    failures = Failures(task)
    lengths = task.lengths_to_test(training_lengths(config)[1])
    rows = _tests(model, task, lengths, sequences=config.training.test_sequences, failures=failures)
    folder.keep_tests(rows)
    write_rows(folder.failures, failures.rows)
    # Before the pictures, for which every step is watched eagerly.
    backend_used = model.backend_used
    draw_run(folder, model, task, config)
    facts = {
        "backend_used": backend_used,
        "steps": trainer.step,
        "sequences": trainer.sequences,
        "sequences_to_solve": trainer.sequences_to_solve,
        "begun": len(trainer.begun),
        "perf/seconds": trainer.seconds,
        "perf/seconds_to_solve": trainer.seconds_to_solve,
    }
    folder.keep_result(config, facts)
    return _closing(trainer, folder, notice, rows)


def _tests(
    model: SequenceModule,
    task: Task,
    lengths: Sequence[int],
    *,
    sequences: int,
    seed: int = 0,
    failures: Failures | None = None,
    **options: int | None,
) -> list[TestRow]:
    """One row of the test table for each length, with a live display; options are those of test_at."""
    rows: list[TestRow] = []
    for length in lengths:
        with Progress(sequences, title=f"testing at {length} {task.length_unit}", shown={}) as progress:

            def tell(done: int, progress: Progress = progress) -> None:
                progress.update({}, done)

            see = None if failures is None else failures.at(length)
            rows.append(test_at(model, task, length, sequences=sequences, seed=seed, tell=tell, see=see, **options))
    return rows


def _table(rows: Sequence[TestRow], told: About) -> str:
    return table(rows, told["tests"], references=told["references"], more=[_OPTIMAL])


def _check_length(lengths: Sequence[int]) -> None:
    if lengths and min(lengths) < 1:
        raise UserError(f"--length must be at least 1, not {min(lengths)}")


def _closing(trainer: Trainer[SequenceObjective], folder: RunFolder, notice: str, rows: Sequence[TestRow]) -> str:
    """What train prints at its end: how it went, the table, where everything is, what to do next."""
    solved = trainer.sequences_to_solve
    if solved is not None:
        again = f", begun {len(trainer.begun)} times" if len(trainer.begun) > 1 else ""
        outcome = f"solved after {solved:,} sequences{again}, {trainer.seconds_to_solve:.0f} s"
    elif trainer.objective.training.solved_at is not None:
        outcome = f"not solved in {trainer.sequences:,} sequences"
    else:
        outcome = f"trained on {trainer.sequences:,} sequences"
    task, run = trainer.objective.task, folder.path
    commands = []
    if solved is None and trainer.objective.training.solved_at is not None:
        commands.append(resume_line(folder, *trainer.longer))
        commands.append(f"{command_line('recipes')}   # other settings, for --recipe")
    if isinstance(trainer.model, HasSlots):
        # A head walks a slot a step: long sequences want more slots than steps.
        length, slots = 5 * max(task.test_lengths) // 2, 16 * trainer.model.num_slots
        more = ("--length", length, "--num-slots", slots, "--sequences", 20)
        commands.append(command_line("evaluate", run, *more))
    commands.append(command_line("evaluate", run, "--sequences", 1000))
    commands.append(command_line("show", run, "--length", max(task.test_lengths)))
    told = [f"{trainer.objective.config.task_label}: {outcome}", "", _table(rows, read_about(folder.path))]
    return closing(folder, notice, told, commands, [_model_line(trainer)])


def _model_line(trainer: Trainer[SequenceObjective]) -> str:
    """What was trained: how an NTM finds its slots, or that there is no memory, and noise on the weights."""
    config = trainer.objective.config
    addressing = config.model.options.get("addressing")
    by = "" if addressing is None else f", addressing by {addressing.replace('-', ' ')}"
    by = by if isinstance(trainer.model, HasSlots) else ", no memory"
    noise = f", noise of {config.training.weight_noise} on the weights while training"
    return f"model    {config.model_label}{by}{noise if config.training.weight_noise else ''}"
