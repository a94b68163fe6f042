"""The parts of a run's configuration, each defined once: a task, a model, how it is trained, and how it is run."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from experiments.base.files import UserError
from experiments.config.fields import Changeable, Needs, check_least, check_positive
from memnet.sequence import Backend


@dataclasses.dataclass(frozen=True)
class Choice:
    """A task or a model.

    name:    of the registry, or a place, MODULE:NAME or FILE.py:NAME.
    options: what its constructor is given beside what the data tell, and nobody else reads.
    """

    name: str
    options: Mapping[str, Any]

    @property
    def short(self) -> str:
        """Its name without its place."""
        return self.name.rpartition(":")[2]


@dataclasses.dataclass(frozen=True)
class Training:
    """How to train; every domain has more.

    Class attribute examples: what one example is called.
    """

    batch_size: int = 16
    """Examples a step."""
    learning_rate: float = 1e-3
    """Step size."""
    clip_norm: float | None = 10.0
    """Largest norm of the gradient; None for no limit."""
    valid_every: int = 100
    """Steps between validations."""

    examples: ClassVar[str] = "examples"

    @property
    def may_end_early(self) -> bool:
        """Whether training may end before its last step."""
        return False

    def check(self) -> None:
        """UserError for a value that no training can have."""
        check_least(self, 1, "batch_size", "valid_every")
        check_positive(self, "learning_rate", "clip_norm")
        if self.learning_rate > 1000:
            raise UserError(f"--learning-rate must be at most 1000, not {self.learning_rate}")


@dataclasses.dataclass(frozen=True)
class Run:
    """Where it is computed and what is written down: runs of one setting may differ in all of it.

    With --tracker wandb W&B's own variables, WANDB_PROJECT and so on, win over all but --wandb-mode.
    """

    seed: int = 0
    """Seed of the weights, and of what training draws."""
    log_every: int = 50
    """Steps between lines of metrics."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    picture_every: Changeable[int | None] = 1000
    """Steps between looks at what the model does with a few examples: numbers and a picture; None for none."""
    device: str = "cpu"
    """Where to compute: cpu or cuda."""
    backend: Annotated[Backend, Needs("backend")] = "auto"
    """How steps run: eager, compile, native (on the CPU), or auto, the fastest that applies."""
    threads: Changeable[int] = 1
    """CPU threads, which tell in last bits; more than one is slower on small matrices and beside busy processes."""
    tracker: Changeable[Literal["wandb", "none"]] = "wandb"
    """Where metrics go beside the run's own file."""
    wandb_mode: Changeable[Literal["offline", "online", "disabled"] | None] = None
    """Offline, online or disabled; None for WANDB_MODE, else offline, or online for an agent of a sweep."""
    wandb_project: Changeable[str | None] = None
    """Project; None for memnet."""
    wandb_entity: Changeable[str | None] = None
    """User or team; None for the key's own."""
    wandb_group: Changeable[str | None] = None
    """Group; None for one of all runs with this setting, seeds alone apart."""
    wandb_tags: Changeable[str | None] = None
    """Tags, separated by commas, besides task and model."""
    wandb_notes: Changeable[str | None] = None
    """What is to be noted of the run."""
    wandb_name: Changeable[str | None] = None
    """What the run is called; None for the name of its folder."""

    def check(self) -> None:
        """UserError for a value that no run can have."""
        check_least(self, 0, "seed")
        check_least(self, 1, "log_every", "checkpoint_every", "picture_every", "threads")


# How a run is followed, which changes nothing of it.
TRACKING = ("tracker", *(field.name for field in dataclasses.fields(Run) if field.name.startswith("wandb_")))


@dataclasses.dataclass(frozen=True)
class Where:
    """Where a training begins and where it goes: never saved."""

    config: str | None = None
    """A config.yaml of another run to start from."""
    resume: str | None = None
    """A run folder to continue, bit for bit, with the configuration saved in it."""
    out: str | None = None
    """The run's folder, which must not hold a run yet; by default a free name under runs/."""
    seeds: int | None = None
    """Train so many seeds at once, from --seed on, each in its own folder within --out; None for one run."""
    together: Literal["auto", "stacked", "processes"] = "auto"
    """With --seeds: one stacked computation, a process for each seed, or auto, the faster one, which is told."""
    wandb_prefix: str | None = None
    """In a script with a W&B run open: log into it, as PREFIX/train/loss and so on; None for a run of its own."""

    def check(self) -> None:
        """UserError for what does not go together."""
        check_least(self, 1, "seeds")
        if self.together != "auto" and self.seeds is None:
            raise UserError(f"--together {self.together} is for several --seeds")
