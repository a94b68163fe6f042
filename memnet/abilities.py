"""What a model may be able to do beyond its forward: asked of the model itself, by isinstance, never by its class.

A model has an ability where it has the methods and properties named here; nothing need be registered or inherited.
"""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from memnet.sequence import Backend
from memnet.straight import Straight
from memnet.trace import AnyTrace


@runtime_checkable
class Traced(Protocol):
    """Tells what it did."""

    def trace(self, *inputs: Any, **lengths: Any) -> AnyTrace:
        """Run as forward does on the same arguments, and keep what was done; see memnet.trace."""


@runtime_checkable
class HasBackend(Protocol):
    """Runs in more ways than one, see memnet.sequence.BackendModule."""

    @property
    def backend(self) -> Backend:
        """How it is to run; may be set."""

    @backend.setter
    def backend(self, value: Backend) -> None: ...


@runtime_checkable
class TellsBackend(HasBackend, Protocol):
    """Tells how it ran."""

    @property
    def backend_used(self) -> Backend | None:
        """How the last forward ran."""

    @property
    def backend_refusal(self) -> str | None:
        """Why the last forward could not run natively; None where it did, or was not to."""


@runtime_checkable
class HoldsState(Protocol):
    """Carries a state of one size from step to step, however long the sequence is."""

    @property
    def state_floats(self) -> int:
        """Numbers that the state of one sequence holds."""


@runtime_checkable
class GoesByStep(Protocol):
    """Goes on step by step, and may keep its state every so many steps alone, see memnet.sequence.RecurrentModule."""

    @property
    def checkpoint_steps(self) -> int | None:
        """After how many steps a state is kept; None keeps everything; may be set."""

    @checkpoint_steps.setter
    def checkpoint_steps(self, value: int | None) -> None: ...


@runtime_checkable
class TrainsStraight(Protocol):
    """May have gradients without a graph."""

    def straight(self) -> Straight | None:
        """What computes them, to be kept while nothing but numbers of the model change; None where there is none."""


@runtime_checkable
class HasSlots(Protocol):
    """Has a memory of so many slots, which are no part of its weights: they may be set for a test."""

    @property
    def num_slots(self) -> int:
        """Slots of the next memory; ValueError where it is set to a number that cannot be."""

    @num_slots.setter
    def num_slots(self, value: int) -> None: ...


@runtime_checkable
class RoundsActions(Protocol):
    """Steers its memory by actions that may be rounded in evaluation mode, see memnet.structures."""

    @property
    def round_actions(self) -> bool:
        """Whether they are; may be set."""

    @round_actions.setter
    def round_actions(self, value: bool) -> None: ...


@runtime_checkable
class ReadsWords(Protocol):
    """Reads stories word by word."""

    def stream(self, story: Tensor, question: Tensor, story_lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What it reads, word ids (batch, time), and how many of each row, (batch,)."""


@runtime_checkable
class DrawsAges(Protocol):
    """Draws the ages of sentences while it trains, see MemN2N."""

    def draw_times(self, story_lengths: Tensor, num_sentences: int, generator: torch.Generator | None = None) -> Tensor:
        """Ages (batch, sentence), for a forward that takes them as `times`."""


@runtime_checkable
class StartsLinear(Protocol):
    """May begin its training without softmax in its memory, see MemN2N."""

    @property
    def linear_start(self) -> bool:
        """Whether it runs so; may be set."""

    @linear_start.setter
    def linear_start(self, value: bool) -> None: ...


@runtime_checkable
class AnswersCopies(Protocol):
    """May answer by several copies of itself at once without torch.func, see MemN2N."""

    def answer_copies(
        self, story: Tensor, story_lengths: Tensor, question: Tensor, times: Tensor | None = None
    ) -> Tensor | None:
        """Logits (copy, batch, word), parameters having an axis for the copy; None where this call is not covered."""


@runtime_checkable
class CountsWords(Protocol):
    """May read sentences as counts of words, with the same results, see MemN2N."""

    @property
    def counted(self) -> bool:
        """Whether it reads so; may be set."""

    @counted.setter
    def counted(self, value: bool) -> None: ...
