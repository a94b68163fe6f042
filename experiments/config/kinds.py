"""Runs that have a configuration and commands of their own: on stories, text, translation and captions.

What `python -m experiments` does with one is in the `commands` of its package, all of which have what a Kind has.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from torch import nn

from experiments.config.parts import Config
from experiments.domains.captions import commands as captions
from experiments.domains.captions.config import CaptionConfig
from experiments.domains.stories import commands as stories
from experiments.domains.stories.config import StoryConfig
from experiments.domains.text import commands as text
from experiments.domains.text.config import TextConfig
from experiments.domains.translation import commands as translation
from experiments.domains.translation.config import TranslateConfig
from experiments.runs.folder import RunFolder
from experiments.training.trainer import Trainer


class Kind(Protocol):
    """What a kind of runs must bring. UserError throughout for what cannot be."""

    def train(self, config: Any, /) -> int:
        """Train, test, draw; returns the exit code."""

    def possible_data(self, config: Any, /) -> object:
        """What to train on; refuses what no run can be, before there is a folder."""

    def trainer_of(self, config: Any, folder: RunFolder, /) -> Trainer[Any]:
        """A training that has not begun, to be measured."""

    def evaluate(self, args: Sequence[str], /) -> int:
        """The command evaluate; returns the exit code."""

    def show(self, args: Sequence[str], /) -> int:
        """The command show; returns the exit code."""

    def trained_on(self, folder: RunFolder, /) -> str:
        """What the data of a run is called."""

    def models_of(self, config: Any, folder: RunFolder, /) -> Iterable[nn.Module]:
        """The models of a run as they began; more than one where it has restarts."""


KINDS: dict[type[Config], Kind] = {
    StoryConfig: stories,
    TextConfig: text,
    TranslateConfig: translation,
    CaptionConfig: captions,
}
