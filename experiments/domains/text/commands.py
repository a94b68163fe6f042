"""What `python -m experiments` does with a run on text: train, evaluate, show."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from experiments.base.files import UserError
from experiments.base.progress import Progress, working
from experiments.base.provenance import command_line
from experiments.config.fields import check_least
from experiments.domains.text import models
from experiments.domains.text.data import TextData, read_text
from experiments.domains.text.models import Known, make_model, own_text
from experiments.domains.text.options import TextConfig
from experiments.domains.text.testing import CHUNK, known_bits, test_row
from experiments.domains.text.training import TextObjective
from experiments.domains.text.units import activations, choose_units, named_units
from experiments.figures.style import figure_name, save_figure
from experiments.figures.text import coloured_text_figure
from experiments.runs.about import About
from experiments.runs.folder import RunFolder
from experiments.runs.tests import TestRow
from experiments.training.ending import DrawOptions, Finished, Tested, TestOptions
from experiments.training.loading import load_run
from experiments.training.pictures import draw_learning, run_title
from experiments.training.trainer import Trainer
from memnet import LanguageModel
from memnet.sequence import Backend

# Characters along which units are chosen, and of them those that are drawn.
_READ, _DRAWN = 3000, 540
# See experiments.training.domain.
OBJECTIVE = TextObjective
MORE = [
    ("perplexity", "perplexity", ".3f"),
    ("true entropy", "entropy_rate", ".4f"),
    ("source's bits/char", "source_bits_per_character", ".4f"),
]

# See experiments.training.loading.
load = models.load


def possible_data(config: TextConfig) -> TextData:
    """The text to train on; UserError for what cannot be, before there is a folder."""
    data: TextData = config.learned.data()
    data.check_parts(config.training.batch_size, config.training.chunk_length)
    make_model(config, len(data.alphabet))
    return data


@dataclasses.dataclass(frozen=True)
class EvaluateOptions(TestOptions):
    """Test a trained model of text in bits per character; the table is printed and kept in evaluation.json."""

    text: str | None = None
    """A text file, all of which is tested on; None for the validation and test part of the run's own text."""
    characters: int | None = None
    """Characters of a test at the most; None for all of --text, of the run's own parts as many as in training."""
    backend: Backend = "auto"
    """How steps run: eager, compile, native (recurrent networks and memories), or auto, which chooses."""

    def check(self) -> None:
        super().check()
        check_least(self, 2, "characters")


def test(folder: RunFolder, options: EvaluateOptions) -> Tested:
    """Test a run again."""
    config, known, model = load_run(folder.path, options.device)
    try:
        model.backend = options.backend
    except ValueError as error:
        raise UserError(f"--backend {options.backend}: {error}") from None
    if options.text is None:
        most = options.characters or config.training.test_characters
        return Tested(_tests(model, own_text(folder, config, known), most))
    text = read_text(options.text)
    if len(text) < 2:
        raise UserError(f"{options.text} holds one character; a test needs at least two")
    numbers = known.alphabet.encode(text[: options.characters], options.text)
    return Tested([_test(model, numbers, options.text, "all", len(text))])


@dataclasses.dataclass(frozen=True)
class ShowOptions(DrawOptions):
    """Draw a run's bits per character over training, and what single units do along a text."""

    text: str | None = None
    """A text file to read; None for the test part of the run's own text."""
    cells: tuple[str, ...] = ()
    """Units to draw, each as LAYER.UNIT counted from 1; none for those that go best with brackets, lines, words."""


def draw(folder: RunFolder, about: About, options: ShowOptions) -> list[Path]:
    """Draw a run's figures again."""
    config, known, model = load_run(folder.path)
    if options.text is None:
        numbers = own_text(folder, config, known).test
    else:
        numbers = known.alphabet.encode(read_text(options.text)[:_READ], options.text)
    return _draw(folder, about, known, model, numbers, options.cells)


@working("drawing")
def _draw(
    folder: RunFolder,
    about: About,
    known: Known,
    model: LanguageModel,
    numbers: Tensor,
    cells: Sequence[str] = (),
) -> list[Path]:
    """The learning curve and the units along a text (character,)."""
    files = draw_learning(folder, about, optimum=known.entropy_rate)
    layers = activations(model, numbers[:_READ])
    text = known.alphabet.decode(numbers[:_READ])
    units, without = (named_units(layers, cells), []) if cells else choose_units(layers, text)
    if not units:
        return files
    named = [
        (f"layer {unit.layer}, unit {unit.number}{f': {unit.why}' if unit.why else ''}", unit.values[:_DRAWN])
        for unit in units
    ]
    title = f"{run_title(about)}: units below (blue) and above (red) their mean"
    files.append(folder.figures / figure_name("units"))
    save_figure(coloured_text_figure(text[:_DRAWN], named, title, without), files[-1])
    return files


def _tests(model: LanguageModel, data: TextData, most: int | None) -> list[TestRow]:
    """The rows of validation and test part, of each at most so many characters."""
    rows: list[TestRow] = []
    # What a source knows begins after the letters that each depends on.
    least = 2 if data.source is None else data.source.order + 1
    for part, whole in (("validation", data.valid), ("test", data.test)):
        numbers = whole if most is None else whole[: max(most, least)]
        row = _test(model, numbers, data.name, part, len(whole))
        if data.source is not None:
            text = data.alphabet.decode(numbers)
            row["scores"] |= known_bits(data.source, text, row["scores"]["bits_per_character"])
        rows.append(row)
    return rows


def _test(model: LanguageModel, numbers: Tensor, name: str, part: str, whole: int) -> TestRow:
    """The row of the beginning of a part; whole: characters of the part."""
    # The first character is not scored.
    with Progress(-(-(len(numbers) - 1) // CHUNK), title=f"testing on {name}", shown={}) as progress:
        row = test_row(model, numbers, name, part, lambda done: progress.update({}, -(-done // CHUNK)))
    if whole > len(numbers):
        row["of"] = whole - 1
    return row


def finish(trainer: Trainer[TextObjective], folder: RunFolder) -> Finished:
    """Test on the validation and the test part."""
    objective, model = trainer.objective, trainer.model
    config, data, seen = objective.config, objective.data, objective.characters(trainer.step)
    rows = _tests(model, data, config.training.test_characters)
    known = Known(data.name, data.digest, data.alphabet, data.entropy_rate)
    facts = {
        "trained_on": data.name,
        "backend_used": model.sequence.backend_used,
        "characters_seen": seen,
        "entropy_rate": data.entropy_rate,
    }
    passes = seen / len(data.train)
    return Finished(
        model,
        Tested(rows, after=_above_entropy(rows[-1])),
        lambda about: _draw(folder, about, known, model, data.test),
        f"{config.label}: {seen:,} characters of {data.name}, {passes:.1f} times the training part, "
        f"{trainer.seconds:.0f} s",
        facts,
        {},
        [command_line(what, folder.path) for what in ("sample", "show", "evaluate")],
    )


def _above_entropy(row: TestRow) -> list[str]:
    """Of a text whose source is known, how far the model is from the best there can be."""
    scores = row["scores"]
    if "entropy_rate" not in scores:
        return []
    above, source = scores["bits_per_character"] - scores["entropy_rate"], scores["bits_above_source"]
    return [
        "",
        f"test part: {above:+.4f} bits per character from the true entropy, {source:+.4f} from what these very "
        "characters cost who knows the source",
    ]
