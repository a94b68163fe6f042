"""What `python -m experiments` does with a run on translation: train, evaluate, show."""

import dataclasses
from pathlib import Path
from typing import Any

from experiments.base.files import UserError
from experiments.base.progress import working
from experiments.base.provenance import command_line
from experiments.config.fields import check_least
from experiments.domains.translation import models
from experiments.domains.translation.data import Sentences, TranslationData, Words
from experiments.domains.translation.models import keep_words, make_model
from experiments.domains.translation.options import TranslationConfig
from experiments.domains.translation.showing import translation_view
from experiments.domains.translation.testing import Row, answer_rows, tell_missing_bleu, test_rows, translations
from experiments.domains.translation.training import TranslationObjective
from experiments.runs.about import About
from experiments.runs.folder import RunFolder
from experiments.runs.tests import Condition, TestRow
from experiments.training.ending import DrawOptions, Finished, More, Tested, TestOptions
from experiments.training.loading import load_run
from experiments.training.pictures import draw_learning, draw_views, run_title
from experiments.training.trainer import Trainer
from memnet import EncoderDecoder
from memnet.decoding import Normalization

# Test sentences that are drawn after training.
_PICTURES = 3

# See experiments.training.domain.
OBJECTIVE = TranslationObjective
MORE: More = ()
# See experiments.training.loading.
load = models.load


def possible_data(config: TranslationConfig) -> TranslationData:
    """The sentences to train on; UserError for what cannot be, before there is a folder."""
    data: TranslationData = config.learned.data()
    make_model(config, data.words)
    return data


@dataclasses.dataclass(frozen=True)
class EvaluateOptions(TestOptions):
    """Test a trained run on its test sentences; the table is printed and kept in the run's evaluation.json."""

    beam: int | None = None
    """Width of the beam search beside greedy decoding; None for that of the run."""
    beam_normalization: Normalization | None = None
    """Order of the sentences that the beam search finds; None for that of the run."""
    length: tuple[int, ...] = ()
    """Invented languages: words of new test sentences; none for the run's own test sentences."""
    sentences: int = 200
    """With --length: new test sentences of each length."""

    def check(self) -> None:
        super().check()
        check_least(self, 1, "beam", "sentences")


def test(folder: RunFolder, options: EvaluateOptions) -> Tested:
    """Test a run again."""
    config, words, model = load_run(folder.path, options.device)
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
    rows, _ = _tests(model, sentences, words, tested, name, own)
    tell_missing_bleu(rows)
    return Tested(rows)


@dataclasses.dataclass(frozen=True)
class ShowOptions(DrawOptions):
    """Draw a run's errors over training, and where it reads the words of test sentences from."""

    sentences: int = _PICTURES
    """How many test sentences."""

    def check(self) -> None:
        check_least(self, 1, "sentences")


def draw(folder: RunFolder, about: About, options: ShowOptions) -> list[Path]:
    """Draw a run's figures again."""
    config, words, model = load_run(folder.path)
    return _draw(folder, about, words, model, config.learned.data().test, options.sentences)


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
    about: About,
    words: Words,
    model: EncoderDecoder,
    sentences: Sentences,
    count: int = _PICTURES,
) -> list[Path]:
    """The learning curve, and with attention a figure for each of some test sentences, the longest."""
    files = draw_learning(folder, about)
    order = sorted(range(len(sentences)), key=lambda place: -len(sentences.pairs[place].source.split()))
    chosen = enumerate(order[:count], start=1)
    views = {str(number): translation_view(model, words, sentences.pairs[place]) for number, place in chosen}
    return [*files, *draw_views(folder.figures, views, run_title(about))]


def finish(trainer: Trainer[TranslationObjective], folder: RunFolder) -> Finished:
    """Translate the test sentences."""
    config, data, model = trainer.objective.config, trainer.objective.data, trainer.model
    model.eval()
    rows, answers = _tests(model, data.test, data.words, config, data.name)
    tell_missing_bleu(rows)
    facts = {
        "trained_on": data.name,
        "sequences": trainer.sequences,
        "sequences_to_solve": trainer.sequences_to_solve,
        "perf/seconds_to_solve": trainer.seconds_to_solve,
    }
    example = data.test.pairs[0].source
    return Finished(
        model,
        Tested(rows),
        lambda about: _draw(folder, about, data.words, model, data.test),
        f"{config.label}: {_outcome(trainer)}; {trainer.seconds:.0f} s in all, {data.name}",
        facts,
        {folder.answers: answers},
        [command_line("translate", folder.path, example), command_line("evaluate", folder.path, "--beam", 10)],
    )


def _outcome(trainer: Trainer[TranslationObjective]) -> str:
    if trainer.sequences_to_solve is not None:
        return f"solved after {trainer.sequences_to_solve:,} sentences, {trainer.seconds_to_solve:.0f} s"
    judged = trainer.objective.config.training.solved_at is not None
    return f"{'not solved in' if judged else 'trained on'} {trainer.sequences:,} sentences"
