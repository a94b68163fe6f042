"""When a training ends, and how large its steps are on the way."""

import dataclasses
from typing import Protocol


class Schedule(Protocol):
    """solved: the step at which a validation said that the task is solved, None before."""

    def last_step(self, solved: int | None) -> int:
        """The step after which training ends."""

    def rate(self, step: int, solved: int | None) -> float:
        """What the learning rate is multiplied with, after so many steps."""

    def longer(self, step: int, solved: int | None) -> tuple[str, ...]:
        """Options that train a finished run for as long again; none where it would not go on."""


@dataclasses.dataclass(frozen=True)
class CoolDown:
    """Constant, then falling linearly to zero: from when the task is solved, but early enough to end in time.

    steps: at the most. cooldown: over how many of them it falls.
    """

    steps: int
    cooldown: int

    def start(self, solved: int | None) -> int:
        """The step from which it falls."""
        latest = max(self.steps - self.cooldown, 0)
        return latest if solved is None else min(solved, latest)

    def last_step(self, solved: int | None) -> int:
        return min(self.start(solved) + self.cooldown, self.steps)

    def rate(self, step: int, solved: int | None) -> float:
        start = self.start(solved)
        into = step - start
        share = 1.0 if into < 0 else 1 - into / max(self.last_step(solved) - start, 1)
        return max(share, 0.0)

    def longer(self, step: int, solved: int | None) -> tuple[str, ...]:
        cooled_down = solved is not None and solved + self.cooldown <= self.steps
        return () if cooled_down else ("--steps", str(2 * step))


@dataclasses.dataclass(frozen=True)
class WarmUpAndDown:
    """Rising linearly over the first steps, falling linearly to zero over the last."""

    steps: int
    warmup: int
    cooldown: int

    def last_step(self, solved: int | None) -> int:
        return self.steps

    def rate(self, step: int, solved: int | None) -> float:
        # Not as CoolDown has it, 1 - a / c: that differs in the last bit.
        left = (self.steps - step) / max(min(self.cooldown, self.steps), 1)
        risen = (step + 1) / max(self.warmup, 1)
        return min(left, risen, 1.0)

    def longer(self, step: int, solved: int | None) -> tuple[str, ...]:
        return "--steps", str(2 * step)


@dataclasses.dataclass(frozen=True)
class Halving:
    """Halved at the beginning of epochs every, 2 every, ..., from 1; ends where the task is solved.

    epoch: steps of one. first: epochs before those, in which nothing is halved. every: None for never.
    """

    epoch: int
    first: int
    epochs: int
    every: int | None

    @property
    def first_steps(self) -> int:
        """Steps of the first epochs."""
        return self.first * self.epoch

    def last_step(self, solved: int | None) -> int:
        return (self.first + self.epochs) * self.epoch if solved is None else solved

    def rate(self, step: int, solved: int | None) -> float:
        if step < self.first_steps or self.every is None:
            return 1.0
        return float(0.5 ** ((step // self.epoch - self.first + 1) // self.every))

    def longer(self, step: int, solved: int | None) -> tuple[str, ...]:
        return () if solved is not None else ("--epochs", str(2 * (step // self.epoch - self.first)))
