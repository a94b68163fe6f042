"""What `python -m experiments` does with a run on stories: train, evaluate, show."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from experiments.base.files import UserError
from experiments.base.progress import working
from experiments.base.provenance import command_line
from experiments.config.fields import check_least
from experiments.domains.stories import loading
from experiments.domains.stories.answers import answer_rows
from experiments.domains.stories.data import StoryData
from experiments.domains.stories.loading import load_stacked, read_vocabulary
from experiments.domains.stories.models import make_model
from experiments.domains.stories.options import StoryConfig
from experiments.domains.stories.pictures import story_view
from experiments.domains.stories.restarts import unstack
from experiments.domains.stories.testing import Row, score_restarts, test_rows
from experiments.domains.stories.training import StoryObjective
from experiments.runs.about import About
from experiments.runs.folder import RunFolder
from experiments.runs.outcomes import LEARNED_FROM, choose
from experiments.runs.tests import TestRow
from experiments.training.ending import DrawOptions, Finished, More, Tested, TestOptions
from experiments.training.loading import load_run, read_config
from experiments.training.pictures import draw_learning, draw_views, run_title
from experiments.training.trainer import Trainer
from memnet import StoryModel
from memnet.sequence import Backend
from tasks.babi import Vocabulary

# Questions that are drawn after training.
_PICTURES = 2

# See experiments.training.domain.
OBJECTIVE = StoryObjective
MORE: More = ()
# See experiments.training.loading.
load = loading.load


def possible_data(config: StoryConfig) -> StoryData:
    """The stories to train on; UserError for what cannot be, before there is a folder."""
    data: StoryData = config.learned.data()
    if config.training.select == "train" and data.train is None:
        raise UserError(f"--select train needs training questions; {data.name} has new ones in every batch")
    make_model(config, data.sizes)
    data.epoch_updates(config.training.batch_size)
    return data


@dataclasses.dataclass(frozen=True)
class EvaluateOptions(TestOptions):
    """Test a trained run on stories; the table is printed and kept in the run's evaluation.json."""

    babi_data: str | None = None
    """bAbI: folder or tar archive of the release, or "generated"; None for what the run was trained on."""
    size: Literal["1k", "10k"] | None = None
    """bAbI: which release; None for the one the run was trained on."""
    questions: int | None = None
    """Generated stories: questions of a task, or of each length of the world model; None for as many as in training."""
    length: tuple[int, ...] = ()
    """World model: sentences of the stories; none for the usual ones."""
    backend: Backend = "auto"
    """How a model runs: eager, compile (models that go by step), native, or auto, which chooses."""

    def check(self) -> None:
        super().check()
        check_least(self, 1, "questions")


def test(folder: RunFolder, options: EvaluateOptions) -> Tested:
    """Test every restart of a run again."""
    trained = read_config(folder).changed(device=options.device)
    if "backend" in trained.form.spelled:
        trained = trained.changed(backend=options.backend)
    vocabulary, sizes, trained_on = read_vocabulary(folder)
    if folder.kept:
        trained = trained.changed(restarts=1)  # the chosen one
    config = _tested(trained, options)
    tested_on, tests, unknown = config.learned.tests(vocabulary, options.length)
    stacked = load_stacked(folder, trained, sizes).to(options.device)
    selection = folder.read_result().get("selection")
    if selection is None:
        selection = _select(score_restarts(stacked, trained, trained.learned.data()), trained)
    chosen = 0 if folder.kept else selection["chosen"]
    rows = test_rows(stacked, config, trained_on, tested_on, tests, chosen, unknown.unasked)
    if missed := unknown.told():
        print(missed, file=sys.stderr)
    return Tested(rows, _head(rows, selection))


@dataclasses.dataclass(frozen=True)
class ShowOptions(DrawOptions):
    """Draw a run's errors over training, and what it looks at while it answers test questions."""

    questions: int = _PICTURES
    """How many questions."""

    def check(self) -> None:
        check_least(self, 1, "questions")


def draw(folder: RunFolder, about: About, options: ShowOptions) -> list[Path]:
    """Draw a run's figures again."""
    return _draw(folder, about, *load_run(folder.path), options.questions)


@working("drawing")
def _draw(
    folder: RunFolder,
    about: About,
    config: StoryConfig,
    vocabulary: Vocabulary,
    model: StoryModel,
    questions: int = _PICTURES,
) -> list[Path]:
    batch = config.learned.examples(vocabulary, questions)
    files = draw_learning(folder, about, restarts=config.training.restarts)
    asked = {str(row + 1): batch.rows(torch.tensor([row])) for row in range(len(batch.story))}
    views = {name: story_view(model.eval(), vocabulary, one) for name, one in asked.items()}
    return [*files, *draw_views(folder.figures, views, run_title(about))]


def _tested(config: StoryConfig, options: EvaluateOptions) -> StoryConfig:
    """The configuration with the test questions asked for."""
    if config.learned.tested_by == "task" and options.length:
        raise UserError(f"--length {options.length[0]} is for the world model, not for {config.task.short}")
    asked = {"babi_data": options.babi_data, "size": options.size, "test_questions": options.questions}
    changed: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    for name in changed.keys() - config.form.spelled.keys():
        raise UserError(f"{config.task.short} has no option --{name.replace('_', '-')}, which is one of babi")
    if options.babi_data is not None:
        changed["questions"] = None
    return config.changed(**changed)


def finish(trainer: Trainer[StoryObjective], folder: RunFolder) -> Finished:
    """Choose a restart, test all."""
    config, data, model = trainer.objective.config, trainer.objective.data, trainer.model
    selection = _select(score_restarts(model, config, data), config)
    chosen = selection["chosen"]
    kept = unstack(model, config.training.restarts, chosen)
    rows = test_rows(model, config, data.name, data.name, data.tests, chosen)
    answers = answer_rows(kept, data.vocabulary, data.tests, config.learned.tested_by)
    return Finished(
        kept,
        Tested(rows, _head(rows, selection)),
        lambda about: _draw(folder, about, config, data.vocabulary, kept),
        f"{config.label}: {trainer.sequences:,} questions of {data.name}, {trainer.seconds:.0f} s",
        {"trained_on": data.name, "questions_seen": trainer.sequences, "selection": selection},
        {folder.answers: answers},
        [command_line(what, folder.path) for what in ("ask", "show", "evaluate")],
    )


def _select(scores: list[Row], config: StoryConfig) -> dict[str, Any]:
    """What result.json keeps about the choice among the restarts."""
    return {"by": config.training.select, "chosen": choose(scores, config.training.select), "restarts": scores}


def _head(rows: Sequence[TestRow], selection: dict[str, Any]) -> str:
    """How the restart was chosen, and on what it was tested."""
    chosen = selection["chosen"]
    score = selection["restarts"][chosen]
    known = [
        f"{score[f'{part}_error']:.1f} % wrong on {words}"
        for part, words in LEARNED_FROM.items()
        if f"{part}_error" in score
    ]
    which = f"restart {chosen} of {len(selection['restarts'])}" if len(selection["restarts"]) > 1 else "model"
    how = f", chosen by {LEARNED_FROM[selection['by']]}" if len(selection["restarts"]) > 1 else ""
    return f"{which}{how}: {', '.join(known)} questions\n\ntested on {rows[0]['on']}:"
