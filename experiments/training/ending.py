"""What `evaluate`, `show` and the end of `train` do with a run, whatever its domain: test, keep, draw and tell."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tyro
from torch import nn

from experiments.config.fields import check_least
from experiments.figures.style import DrawingOptions
from experiments.runs.about import About
from experiments.runs.checkpoint import save_weights
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import write_rows
from experiments.runs.tests import TestRow, table
from experiments.training.trainer import Trainer

# Scores of a table beside those that stand for the model: heading, name, format.
More = Sequence[tuple[str, str, str]]


@dataclasses.dataclass(frozen=True)
class TestOptions:
    """What every test of a trained run may be asked."""

    run: tyro.conf.Positional[str]
    """The run's folder."""
    device: str = "cpu"
    """Where to compute: cpu or cuda."""
    threads: int = 1
    """CPU threads."""

    def check(self) -> None:
        """UserError for what no test can be."""
        check_least(self, 1, "threads")


@dataclasses.dataclass(frozen=True)
class DrawOptions(DrawingOptions):
    """What every drawing of a run may be asked."""

    run: tyro.conf.Positional[str]
    """The run's folder."""

    def check(self) -> None:
        """UserError for what cannot be drawn."""
        return


class Tested(NamedTuple):
    """rows: of the tests. head: what is told before their table, after: lines behind it."""

    rows: Sequence[TestRow]
    head: str = ""
    after: Sequence[str] = ()

    def told(self, about: About, more: More) -> str:
        """What is printed."""
        head = [self.head, ""] if self.head else []
        shown = table(self.rows, about["tests"], references=about["references"], more=more)
        return "\n".join([*head, shown, *self.after])


class Finished(NamedTuple):
    """What a domain knows of a run whose training has ended.

    model:    to be kept. tested: by the usual tests.
    draw:     draws its figures, once the tests are kept, from what is told of the run.
    outcome:  how it went, in a line.
    facts:    of result.json beside those of all runs. kept: rows for files of the run's folder.
    commands: what to do next. about_model: lines on what was trained.
    """

    model: nn.Module
    tested: Tested
    draw: Callable[[About], object]
    outcome: str
    facts: Mapping[str, Any]
    kept: Mapping[Path, Sequence[Mapping[str, Any]]]
    commands: Sequence[str]
    about_model: Sequence[str] = ()


def keep_all(trainer: Trainer[Any], step: int, folder: RunFolder, notice: str, found: Finished, more: More) -> str:
    """Leave everything in the run's folder; returns what `train` prints at its end.

    step: that of the weights. notice: where the tracker keeps the run, empty for nowhere.
    """
    save_weights(folder.weights, found.model)
    folder.keep_tests(found.tested.rows)
    for path, rows in found.kept.items():
        write_rows(path, rows)
    found.draw(trainer.about)
    left_out = {"left_out": len(trainer.left_out)} if trainer.left_out else {}
    facts = {"steps": trainer.step, "weights_of_step": step, **left_out, **found.facts}
    folder.keep_result(trainer.config, {**facts, "perf/seconds": trainer.seconds})
    figures = [f"figure   {path}" for path in sorted(folder.figures.glob("*.png"))]
    tracker = [f"tracker  {notice}"] if notice else []
    lost = [f"{len(trainer.left_out)} of {trainer.step:,} updates left out: their gradients were no numbers"]
    told = [found.outcome, *(lost if left_out else []), "", found.tested.told(trainer.about, more)]
    where = [f"run      {folder.path}", *found.about_model, *figures, *tracker]
    return "\n".join([*told, "", *where, "", "next", *(f"  {command}" for command in found.commands)])
