"""What the page needs to know about runs, whatever they learned."""

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from torch import nn

from experiments.base.files import UserError
from experiments.base.names import model_words
from experiments.config.form import Config
from experiments.inspector.watch import sequences_in
from experiments.runs.checkpoint import read_progress
from experiments.runs.folder import RunFolder
from memnet.abilities import HasSlots

AnyModel = TypeVar("AnyModel", bound=nn.Module)

# Where none were asked for.
SEEDS = (0, 1)


class Choice(NamedTuple):
    """What is shown to the models: None where there is nothing to choose, or, for slots, as trained."""

    length: int | None
    seed: int
    slots: int | None

    @property
    def key(self) -> str:
        """As the page calls it."""
        return "/".join("" if value is None else str(value) for value in self)


class Choices(NamedTuple):
    """Everything that can be chosen in a page without a server; the first of each is shown at first."""

    length: Sequence[int | None]
    seed: Sequence[int]
    slots: Sequence[int | None]

    def combined(self) -> list[Choice]:
        """Each with each."""
        return [Choice(*values) for values in itertools.product(self.length, self.seed, self.slots)]


class Inspector(ABC):
    """Runs of one task, the first of which says what is shown.

    kind: which part of the page shows them.
    """

    kind: str

    def __init__(self, folders: Sequence[RunFolder], configs: Sequence[Config[Any]]) -> None:
        self.folders, self.configs = folders, configs

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What stays the same whatever is chosen: title, unit of lengths, what can be chosen, names of channels."""

    @abstractmethod
    def choices(self, lengths: Sequence[int], seeds: Sequence[int], slots: Sequence[int]) -> Choices:
        """What was asked for, and the usual ones where nothing was; UserError for what the runs do not have."""

    @abstractmethod
    def view(self, choice: Choice) -> dict[str, Any]:
        """What the models did, arrays packed; UserError for what cannot be."""

    def page_data(self, choices: Choices, *, live: bool) -> dict[str, Any]:
        """Everything in the page; with a server behind it only the first view."""
        shown = choices.combined()[: 1 if live else None]
        return {
            "kind": self.kind,
            "live": live,
            "runs": [self._run(folder, config) for folder, config in zip(self.folders, self.configs, strict=True)],
            "choices": choices._asdict(),
            "views": {choice.key: self.view(choice) for choice in shown},
            **self.facts(),
        }

    def _run(self, folder: RunFolder, config: Config[Any]) -> dict[str, Any]:
        names = [one.name for one in self.folders]
        unfinished = not folder.weights.exists()
        return {
            "name": folder.name if names.count(folder.name) == 1 else str(folder.path),
            "path": str(folder.path),
            "model": model_words(config.model_label),
            "seed": config.run.seed,
            "step": read_progress(folder.checkpoint)["step"] if unfinished else None,
        }


def have_slots(model: nn.Module) -> list[HasSlots]:
    """The sequence models within a model whose slots may be set."""
    return [part for part in sequences_in(model) if isinstance(part, HasSlots)]


def with_slots(model: AnyModel, slots: int | None) -> AnyModel:
    """The model, or where the number is given and it can have so many slots a copy that has, so that several can be
    looked at at once; UserError where it cannot have them."""
    if slots is None or not have_slots(model):
        return model
    changed = copy.deepcopy(model)
    try:
        for part in have_slots(changed):
            part.num_slots = slots
    except ValueError as error:
        raise UserError(f"--num-slots {slots}: {error}") from None
    return changed
