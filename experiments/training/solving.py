"""A training that says when it has solved what it learns, and cools down from there."""

from typing import Any, ClassVar, TypeVar

import torch

from experiments.base.progress import Progress
from experiments.config.parts import JudgedConfig
from experiments.runs.checkpoint import Kept
from experiments.runs.folder import RunFolder
from experiments.training.loop import Model, TrainingLoop

Judged = TypeVar("Judged", bound=JudgedConfig)


class SolvingKept(Kept):
    """When it was solved."""

    solved_step: int | None
    seconds_to_solve: float | None


class SolvingLoop(TrainingLoop[Judged, Model]):
    """A training whose learning rate falls to zero from the step at which a validation is under config.solved_at."""

    kept: ClassVar[type[SolvingKept]] = SolvingKept

    def __init__(
        self, config: Judged, folder: RunFolder, run_id: str, model: Model, optimizer: torch.optim.Optimizer
    ) -> None:
        super().__init__(config, folder, run_id, model, optimizer)
        self.solved_step: int | None = None
        self.seconds_to_solve: float | None = None

    @property
    def sequences_to_solve(self) -> int | None:
        """Training sequences seen when it was solved."""
        return None if self.solved_step is None else self.solved_step * self.config.batch_size

    @property
    def cooldown_start(self) -> int:
        """The step from which the learning rate falls: when solved, but early enough to end at config.steps."""
        latest = max(self.config.steps - self.config.cooldown_steps, 0)
        return latest if self.solved_step is None else min(self.solved_step, latest)

    @property
    def last_step(self) -> int:
        """The step after which training ends."""
        return min(self.cooldown_start + self.config.cooldown_steps, self.config.steps)

    @property
    def longer(self) -> tuple[str, ...]:
        cooled_down = (
            self.solved_step is not None and self.solved_step + self.config.cooldown_steps <= self.config.steps
        )
        return () if cooled_down else super().longer

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        into = self.step - self.cooldown_start
        share = 1.0 if into < 0 else 1 - into / max(self.last_step - self.cooldown_start, 1)
        return self.config.learning_rate * max(share, 0.0)

    def changing(self) -> dict[str, Any]:
        return {"solved_step": self.solved_step, "seconds_to_solve": self.seconds_to_solve}

    def put_back(self, progress: dict[str, Any]) -> None:
        self.solved_step, self.seconds_to_solve = progress["solved_step"], progress["seconds_to_solve"]

    def _solves(self, reached: float) -> bool:
        """Whether a validation is under the limit."""
        return self.config.solved_at is not None and reached < self.config.solved_at

    def _note_solved(self, reached: float, told: str, progress: Progress) -> None:
        """Begin the cooldown where a validation is the first under the limit; told: it in words."""
        if self.solved_step is None and self._solves(reached):
            self.solved_step, self.seconds_to_solve = self.step, self.seconds
            progress.message(
                f"solved after {self.sequences} {self.config.examples} ({self.step} steps, {self.seconds:.0f} s): "
                f"{told}; cooling down to step {self.last_step}"
            )

    def _state_word(self) -> str:
        return "" if self.solved_step is None else f"solved at {self.sequences_to_solve} {self.config.examples}"
