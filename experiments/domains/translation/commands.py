"""What `python -m experiments` does with a run on translation: train, evaluate, show."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

from experiments.base.files import UserError
from experiments.base.progress import working
from experiments.base.provenance import command_line
from experiments.config.command_line import parse
from experiments.config.fields import check_least
from experiments.domains.translation import loading
from experiments.domains.translation.data import Sentences, TranslationData, Words
from experiments.domains.translation.loading import keep_words, read_words
from experiments.domains.translation.models import make_model
from experiments.domains.translation.options import TranslationConfig
from experiments.domains.translation.pictures import translation_view
from experiments.domains.translation.testing import (
    Row,
    answer_rows,
    tell_missing_bleu,
    test_rows,
    translations,
)
from experiments.domains.translation.training import SHOWN, TranslationObjective, make_trainer
from experiments.figures.drawing import DrawingOptions
from experiments.runs.about import read_about
from experiments.runs.checkpoint import save_weights
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import write_rows
from experiments.runs.tests import Condition, TestRow, table
from experiments.training.loading import load_run
from experiments.training.pictures import draw_learning, draw_views, run_title
from experiments.training.running import closing, prepare, run_training
from experiments.training.trainer import Trainer
from memnet import EncoderDecoder
from memnet.decoding import Normalization

# Test sentences that are drawn after training.
_PICTURES = 3

# See experiments.training.loading.
load = loading.load


def train(config: TranslationConfig) -> int:
    """Train, test, draw. Returns the exit code: 0, 1 where the loss was no number, 128 + signal where stopped."""
    data = possible_data(config)

    return run_training(
        config,
        lambda folder, run_id: make_trainer(config, data, folder, run_id),
        _finish,
        title=f"{config.label}, {data.name}",
        shown=SHOWN,
    )


def possible_data(config: TranslationConfig) -> TranslationData:
    """The sentences to train on; UserError for what cannot be, before there is a folder."""
    data: TranslationData = config.learned.data()
    make_model(config, data.words)
    return data


def trainer_of(config: TranslationConfig, folder: RunFolder) -> Trainer[TranslationObjective]:
    """A training that has not begun, to be measured."""
    return make_trainer(config, config.learned.data(), folder, "measured")


def not_stacked(config: TranslationConfig) -> str | None:
    """Sentences are computed in groups of like length."""
    return "runs on translation are not stacked"


def trained_on(folder: RunFolder) -> str:
    """What the sentences of a run are called."""
    return read_words(folder)[1]


def models_of(config: TranslationConfig, folder: RunFolder) -> list[EncoderDecoder]:
    """The model of a run as it began."""
    return [make_model(config, read_words(folder)[0])]


@dataclasses.dataclass(frozen=True)
class EvaluateTranslationOptions:
    """Test a trained run on its test sentences; the table is printed and kept in the run's evaluation.json."""

    run: tyro.conf.Positional[str]
    """The run's folder."""
    beam: int | None = None
    """Width of the beam search beside greedy decoding; None for that of the run."""
    beam_normalization: Normalization | None = None
    """Order of the sentences that the beam search finds; None for that of the run."""
    length: tuple[int, ...] = ()
    """Invented languages: words of new test sentences; none for the run's own test sentences."""
    sentences: int = 200
    """With --length: new test sentences of each length."""
    device: str = "cpu"
    """Where to compute: cpu or cuda."""
    threads: int = 1
    """CPU threads."""


def evaluate(args: Sequence[str]) -> int:
    """Test a run and print the table."""
    options = parse(EvaluateTranslationOptions, "evaluate", args)
    check_least(options, 1, "beam", "sentences", "threads")
    prepare(options.device, options.threads)
    folder = RunFolder(options.run)
    with folder.locked(shared=True):
        told = read_about(folder.path)
        config, words, model = load_run(options.run, domain="translation")
        if options.length and config.learned.own_files:
            raise UserError(f"--length {options.length[0]} is for the invented languages, not for your own files")
        data = config.learned.data()
        keep_words(folder, data)
        sentences, name = data.test, data.name
        if options.length:
            sentences, name = config.learned.more_tests(data, options.length, options.sentences), f"{name}, more"
        given: dict[str, Any] = {"beam": options.beam, "beam_normalization": options.beam_normalization}
        tested = config.changed(**{key: value for key, value in given.items() if value is not None})
        own = not options.length and tested.training == config.training
        rows, _ = _tests(model.to(options.device), sentences, words, tested, name, own)
        print(table(rows, told["tests"]))
        tell_missing_bleu(rows)
        folder.keep_tests(rows)
    return 0


@dataclasses.dataclass(frozen=True)
class ShowTranslationOptions(DrawingOptions):
    """Draw a run's errors over training, and where it reads the words of test sentences from."""

    run: tyro.conf.Positional[str]
    """The run's folder."""
    sentences: int = _PICTURES
    """How many test sentences."""


def show(args: Sequence[str]) -> int:
    """Draw a run's figures and print where they are."""
    options = parse(ShowTranslationOptions, "show", args)
    check_least(options, 1, "sentences")
    prepare("cpu", 1)
    config, words, model = load_run(options.run, domain="translation")
    data = config.learned.data()
    with options.drawn():
        files = _draw(RunFolder(options.run), config, words, model, data.test, options.sentences)
    print(*files, sep="\n")
    return 0


@working("translating the test sentences")
def _tests(
    model: EncoderDecoder, sentences: Sentences, words: Words, config: TranslationConfig, name: str, own: bool = True
) -> tuple[list[TestRow], list[Row]]:
    """The rows of the test table, and translations with what is wrong in them. own: whether all is as in training."""
    given = translations(model, sentences.source, words)
    beamed = translations(
        model, sentences.source, words, beam=config.training.beam, normalization=config.training.beam_normalization
    )
    at: dict[str, Condition] = {"beam": config.training.beam, "normalization": config.training.beam_normalization}
    return test_rows(sentences.pairs, given, beamed, name, at, own), answer_rows(sentences.pairs, given, beamed)


@working("drawing")
def _draw(
    folder: RunFolder,
    config: TranslationConfig,
    words: Words,
    model: EncoderDecoder,
    sentences: Sentences,
    count: int = _PICTURES,
) -> list[Path]:
    """The learning curve, and with attention a figure for each of some test sentences, the longest."""
    about = read_about(folder.path)
    files = draw_learning(folder, about)
    order = sorted(range(len(sentences)), key=lambda place: -len(sentences.pairs[place].source.split()))
    chosen = enumerate(order[:count], start=1)
    views = {str(number): translation_view(model, words, sentences.pairs[place]) for number, place in chosen}
    return [*files, *draw_views(folder.figures, views, run_title(about))]


def _finish(trainer: Trainer[TranslationObjective], folder: RunFolder, notice: str) -> str:
    """Test and draw; returns what is told at the end."""
    config, data, model = trainer.objective.config, trainer.objective.data, trainer.model
    save_weights(folder.weights, model)
    model.eval()
    rows, answers = _tests(model, data.test, data.words, config, data.name)
    folder.keep_tests(rows)
    write_rows(folder.answers, answers)
    _draw(folder, config, data.words, model, data.test)
    tell_missing_bleu(rows)
    facts = {
        "trained_on": data.name,
        "steps": trainer.step,
        "sequences": trainer.sequences,
        "sequences_to_solve": trainer.sequences_to_solve,
        "perf/seconds": trainer.seconds,
        "perf/seconds_to_solve": trainer.seconds_to_solve,
    }
    folder.keep_result(config, facts)
    return _closing(trainer, folder, notice, rows)


def _closing(trainer: Trainer[TranslationObjective], folder: RunFolder, notice: str, rows: Sequence[TestRow]) -> str:
    """What train prints at its end: how it went, the table, where everything is, what to do next."""
    solved = trainer.sequences_to_solve
    if solved is not None:
        outcome = f"solved after {solved:,} sentences, {trainer.seconds_to_solve:.0f} s"
    elif trainer.objective.config.training.solved_at is not None:
        outcome = f"not solved in {trainer.sequences:,} sentences"
    else:
        outcome = f"trained on {trainer.sequences:,} sentences"
    told = [
        f"{trainer.config.label}: {outcome}; {trainer.seconds:.0f} s in all, {trainer.objective.data.name}",
        "",
        table(rows, read_about(folder.path)["tests"]),
    ]
    example = trainer.objective.data.test.pairs[0].source
    commands = [command_line("translate", folder.path, example), command_line("evaluate", folder.path, "--beam", 10)]
    return closing(folder, notice, told, commands)
