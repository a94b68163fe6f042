"""Which length each training batch has."""

from typing import TypedDict

import torch

from experiments.domains.sequences.options import SequenceTraining

_WINDOW = 20


class CurriculumState(TypedDict):
    """Plain data for a checkpoint."""

    limit: int
    recent: list[float]


class Curriculum:
    """Draws the length that all sequences of a batch share, so that no step is spent on padding.

    uniform: every length of the range alike. fixed: the longest. growing: uniform up to a limit, which rises by
    one whenever the mean loss of the last 20 batches is below training.growing_threshold (see
    `Task.curriculum_score`; bits per scored bit where answers are bits).

    lengths: the range, both ends included.
    """

    def __init__(self, training: SequenceTraining, lengths: tuple[int, int]) -> None:
        self._kind = training.curriculum
        self._threshold = training.growing_threshold
        self._low, self._high = lengths
        growing = self._kind == "growing"
        self.limit = min(max(training.growing_start, self._low), self._high) if growing else self._high
        self._recent: list[float] = []

    @property
    def complete(self) -> bool:
        """Whether batches are drawn from the whole range."""
        return self.limit == self._high

    def draw(self, generator: torch.Generator) -> int:
        """The next batch's length."""
        low = self._high if self._kind == "fixed" else self._low
        return int(torch.randint(low, self.limit + 1, (), generator=generator))

    def report(self, score: float) -> None:
        """Tell how the last batch went."""
        if self.complete:
            return
        self._recent = [*self._recent[-_WINDOW + 1 :], score]
        if len(self._recent) == _WINDOW and sum(self._recent) / _WINDOW < self._threshold:
            self.limit += 1
            self._recent = []

    def state(self) -> CurriculumState:
        """Plain data for a checkpoint."""
        return {"limit": self.limit, "recent": self._recent}

    def fits(self, state: CurriculumState) -> bool:
        """Whether `state` is one that this curriculum comes to."""
        return self._low <= state["limit"] <= self._high and len(state["recent"]) <= _WINDOW

    def restore(self, state: CurriculumState) -> None:
        """Continue from `state`."""
        self.limit, self._recent = state["limit"], list(state["recent"])
