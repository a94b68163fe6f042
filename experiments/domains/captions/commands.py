"""What `python -m experiments` does with a run on captions: train, evaluate, show."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from experiments.base.progress import Progress, working
from experiments.base.provenance import command_line
from experiments.config.fields import check_least
from experiments.domains.captions import models
from experiments.domains.captions.models import World, make_model
from experiments.domains.captions.options import CaptionConfig
from experiments.domains.captions.testing import FAULTS, Described, answer_rows, describe_scenes, judge_tests
from experiments.domains.captions.training import CaptionObjective
from experiments.figures.captions import Card, captions_figure
from experiments.figures.style import figure_name, save_figure
from experiments.runs.about import About
from experiments.runs.folder import RunFolder
from experiments.runs.tests import TestRow
from experiments.training.ending import DrawOptions, Finished, Tested, TestOptions
from experiments.training.loading import load_run
from experiments.training.pictures import draw_learning, run_title
from experiments.training.trainer import Trainer
from memnet import Captioner

# Test scenes that are drawn after training, films and others, and wrong ones of each.
PICTURES, FILMS, _WRONG = 16, 6, 4

# See experiments.training.domain.
OBJECTIVE = CaptionObjective
MORE = [(name, name, "d") for name in ("right", *FAULTS)]
# See experiments.training.loading.
load = models.load


def possible_data(config: CaptionConfig) -> World:
    """The world of which scenes are drawn while training; UserError for what cannot be, before there is a folder."""
    make_model(config)
    world: World = config.learned
    return world


@dataclasses.dataclass(frozen=True)
class EvaluateOptions(TestOptions):
    """Test a trained run on new scenes of the test part; the table is printed and kept in the run's evaluation.json."""

    scenes: int | None = None
    """How many; None for as many as the run was tested on."""
    seed: int = 0
    """Seed of the test scenes; 0 gives those that the run was tested on."""

    def check(self) -> None:
        super().check()
        check_least(self, 1, "scenes")
        check_least(self, 0, "seed")


def test(folder: RunFolder, options: EvaluateOptions) -> Tested:
    """Test a run again."""
    config, world, model = load_run(folder.path, options.device)
    return Tested(_tests(model, world, options.scenes or config.training.test_scenes, options.seed)[0])


class ShowOptions(DrawOptions):
    """Draw a run's errors over training, and test scenes with its captions; `describe` draws others."""


def draw(folder: RunFolder, about: About, options: ShowOptions) -> list[Path]:
    """Draw a run's figures again."""
    _, world, model = load_run(folder.path)
    scenes, batch = world.sample(PICTURES, part="test", seed="show")
    return _draw(folder, about, world, describe_scenes(model, world, scenes, batch))


def cards_of(described: Sequence[Described]) -> list[Card]:
    """Scenes and captions to be drawn."""
    return [Card(one.image, one.caption, one.verdict.right, one.verdict.reason) for one in described]


def _tests(model: Captioner, world: World, scenes: int, seed: int = 0) -> tuple[list[TestRow], list[Described]]:
    with Progress(scenes, title=f"testing on {world.name}", shown={}) as progress:
        return judge_tests(model, world, scenes, seed, lambda done: progress.update({}, done))


@working("drawing")
def _draw(folder: RunFolder, about: About, world: World, described: Sequence[Described]) -> list[Path]:
    """The learning curve, the first scenes, and the first wrong ones where there are any."""
    files = draw_learning(folder, about)
    first = described[: PICTURES if world.max_frames == 1 else FILMS]
    wrong = [one for one in described if not one.verdict.right][:_WRONG]
    for name, told, some in (("captions", "test scenes", first), ("wrong", "wrong captions of test scenes", wrong)):
        path = folder.figures / figure_name(name)
        path.unlink(missing_ok=True)
        if some:
            save_figure(captions_figure(cards_of(some), f"{run_title(about)}: {told}"), path)
            files.append(path)
    return files


def finish(trainer: Trainer[CaptionObjective], folder: RunFolder) -> Finished:
    """Describe test scenes."""
    config, world, model = trainer.objective.config, trainer.objective.data, trainer.model
    rows, described = _tests(model.eval(), world, config.training.test_scenes)
    return Finished(
        model,
        Tested(rows),
        lambda about: _draw(folder, about, world, described),
        f"{config.label}: trained on {trainer.sequences:,} scenes, {trainer.seconds:.0f} s; judged on scenes that no "
        "training has:",
        {"trained_on": world.name, "sequences": trainer.sequences},
        {folder.answers: answer_rows(world, described)},
        [command_line(what, folder.path) for what in ("describe", "evaluate")],
    )
