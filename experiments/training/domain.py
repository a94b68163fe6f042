"""What a domain brings: how its runs are trained, tested and shown."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from torch import nn

from experiments.config.form import Config, from_yaml
from experiments.config.registry import DOMAINS
from experiments.runs.about import About
from experiments.runs.folder import RunFolder
from experiments.runs.kept import where
from experiments.training.ending import DrawOptions, Finished, More, Tested, TestOptions
from experiments.training.objective import Objective
from experiments.training.trainer import Trainer


class Domain(Protocol):
    """What the module of a domain's commands must have. UserError throughout for what cannot be.

    OBJECTIVE: what one is to its trainer, made of a configuration and `possible_data`.
    MORE:      scores of its tables beside those that stand for a model.
    """

    OBJECTIVE: type[Objective[Any, Any]]
    MORE: More
    EvaluateOptions: type[TestOptions]
    ShowOptions: type[DrawOptions]

    def possible_data(self, config: Any, /) -> Any:
        """What to train on; refuses what no run can be, before there is a folder."""

    def finish(self, trainer: Trainer[Any], folder: RunFolder, /) -> Finished:
        """Test what was trained."""

    def test(self, folder: RunFolder, options: Any, /) -> Tested:
        """Test a run again, as EvaluateOptions say."""

    def draw(self, folder: RunFolder, about: About, options: Any, /) -> list[Path]:
        """Draw a run's figures again, as ShowOptions say; returns the files."""

    def load(self, config: Any, folder: RunFolder, /) -> tuple[Any, nn.Module]:
        """What a run knows of its data, and its model with the latest weights; see experiments.training.loading."""


def domain_of(config: Config[Any]) -> Domain:
    """What is done with runs of a configuration."""
    return _named(config.domain)


def domain_of_run(args: Sequence[str]) -> Domain:
    """What is done with the run that the arguments of a command name; with sequences where they name none."""
    files = (where(arg) / "config.yaml" for arg in args)
    return _named(next((from_yaml(file).domain for file in files if file.is_file()), "sequences"))


def _named(name: str) -> Domain:
    return cast(Domain, import_module(DOMAINS[name].commands))
