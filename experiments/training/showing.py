"""Runs to be looked into: which examples there are for a model, and what it does with one."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from torch import nn

from experiments.base.files import UserError
from experiments.config.form import Config
from experiments.figures.view import View
from memnet import SequenceModule
from memnet.abilities import HasSlots


class Shown(ABC):
    """A run that is loaded, where training has not ended from its latest checkpoint.

    config, model: of the run. title: what its examples are of. unit: what their lengths count.
    lengths:       the usual ones; none where examples have the length that they have.
    more_slots:    whether it is worth looking with more slots than in training.
    """

    config: Config[Any]
    model: nn.Module
    title: str
    unit: str = ""
    lengths: Sequence[int] = ()
    more_slots: ClassVar[bool] = False

    def beside(self, others: Sequence[Shown]) -> None:
        """Have no examples that the other runs cannot have; UserError where there are no others."""
        return

    @abstractmethod
    def examples(self, length: int | None, seed: int) -> Mapping[str, Sequence[Any]]:
        """Examples by what they are about; UserError for a length that there cannot be."""

    def steps(self, example: Any) -> int:
        """How many steps a model that goes step by step takes for an example."""
        return 0

    @abstractmethod
    def right(self, examples: Sequence[Any]) -> list[bool]:
        """Whether each is answered right."""

    @abstractmethod
    def view(self, example: Any) -> View:
        """What the model does with an example; UserError for one that it cannot read."""

    def memories(self) -> list[HasSlots]:
        """What of the model has slots that may be set."""
        return [part for part in sequences_in(self.model) if isinstance(part, HasSlots)]

    def with_slots(self, slots: int | None) -> Self:
        """The run, or where the number is given and it can have so many slots a copy that has, so that several can be
        looked at at once; UserError where it cannot have them."""
        if slots is None or not self.memories():
            return self
        changed = copy.copy(self)
        changed.model = copy.deepcopy(self.model)
        try:
            for part in changed.memories():
                part.num_slots = slots
        except ValueError as error:
            raise UserError(f"--num-slots {slots}: {error}") from None
        return changed


def sequences_in(model: nn.Module) -> list[SequenceModule]:
    """The sequence models of which a model is made: itself, or what reads for it."""
    return [part for part in model.modules() if isinstance(part, SequenceModule)]
