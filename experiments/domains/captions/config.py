"""The configuration of a training run on captions: one flat dataclass, every field an option of the command line."""

import dataclasses
from typing import Any, Literal, TypeAlias

import tyro

from experiments.base.files import UserError
from experiments.base.names import model_label
from experiments.config.fields import WANDB, Changeable, WandbOptions, check_least, check_positive, saved_fields
from memnet.cells import RecurrentName

CaptionTask: TypeAlias = Literal["captions", "moving-captions", "caption-story"]
CaptionModelName: TypeAlias = Literal["lstm", "gru", "rnn-tanh", "rnn-relu", "attention"]

# What is not the same for all tasks.
_OWN: dict[CaptionTask, dict[str, Any]] = {
    "captions": {},
    "moving-captions": {"things": 1, "halvings": 3, "batch_size": 32, "steps": 5000, "cooldown_steps": 2500},
    "caption-story": {"batch_size": 32, "steps": 4000, "cooldown_steps": 2000},
}


@dataclasses.dataclass(frozen=True)
class CaptionConfig:
    """Train a model to put pictures into words, and let a judge who knows the scenes read what it says of new ones.

    Scenes are drawn anew at every step. Which are for tests is told by a hash of what is in them, so that no model has
    ever seen one.
    """

    task: tyro.conf.Positional[CaptionTask]
    """What to learn: a sentence on a picture (captions), on a film (moving-captions), or a story (caption-story)."""
    config: str | None = None
    """A config.yaml of another run to start from."""
    resume: str | None = None
    """A run folder to continue, bit for bit, with the configuration saved in it."""
    out: str | None = None
    """The run's folder, which must not hold a run yet; by default a free name under runs/."""
    seed: int = 0
    """Seed of the weights and of the training scenes."""
    seeds: int | None = None
    """Train so many seeds, from --seed on, a process for each, in its own folder within --out; None for one run."""

    things: int | None = 2
    """The most things of a scene, in training and tests; None for as many as the task has."""
    model: CaptionModelName = "attention"
    """What writes: a recurrent network that begins in what the picture is, or one that also reads the places of the
    picture, or film, as a memory for every word (attention)."""
    controller: RecurrentName = "lstm"
    """Attention: the cell that writes."""
    filters: int = 32
    """Filters of the first of three convolutions; the others have twice as many."""
    halvings: int = 2
    """How many of the convolutions halve the picture; the more, the fewer places there are to read."""
    feature_size: int = 256
    """Width of what is seen of a whole picture."""
    embedding_size: int = 64
    """Width of word vectors."""
    hidden_size: int = 128
    """Units of a layer that writes, or reads frames."""
    num_layers: int = 1
    """Layers that write, and that read frames."""
    forget_bias: float = 1.0
    """Added to an LSTM's forget-gate bias at initialisation."""

    steps: Changeable[int] = 8000
    """Optimiser steps."""
    batch_size: int = 64
    """Scenes a step."""
    learning_rate: float = 3e-3
    """Step size of Adam between warm-up and cooldown, on the mean loss of a word."""
    warmup_steps: int = 200
    """The learning rate rises linearly over so many first steps."""
    curriculum_steps: int = 0
    """Scenes have one thing at first; the most that they have grows evenly to all over so many steps."""
    cooldown_steps: int = 4000
    """The learning rate falls linearly to zero over so many last steps."""
    clip_norm: float | None = 1.0
    """Largest norm of the whole gradient; None for no limit."""

    valid_every: int = 500
    """Steps between validations."""
    valid_scenes: int = 200
    """Scenes of a validation, always the same."""
    test_scenes: Changeable[int] = 1000
    """Scenes of the tests."""
    log_every: int = 50
    """Steps between lines of metrics."""
    checkpoint_every: int = 250
    """Steps between checkpoints."""
    picture_every: Changeable[int | None] = 1000
    """Steps between looks at where captions of a few scenes are read from, with attention; None for none."""
    tracker: Changeable[Literal["wandb", "none"]] = "wandb"
    """Where metrics go beside the run's own file."""
    wandb: Changeable[tyro.conf.OmitArgPrefixes[WandbOptions]] = WANDB
    device: str = "cpu"
    """Where to compute: cpu or cuda."""
    threads: Changeable[int] = 1
    """CPU threads; on small matrices more than one is slower."""

    kind, examples = "captions", "scenes"
    """What it is about, and what one example of it is called; no options."""
    measured = "error_percent", "%", "error %"
    """In what learning is measured: the end of a metric's name, the unit, and that on an axis; no option."""
    recipe, may_end_early = "default", False
    """There are no others, and it ends with its last step; no options."""

    @classmethod
    def of(cls, task: CaptionTask) -> "CaptionConfig":
        """Our own settings for a task."""
        return cls(task, **_OWN[task])

    @property
    def subject(self) -> str:
        """What exactly is learned."""
        return self.task

    @property
    def label(self) -> str:
        """What is learned by which model, for folders and groups: captions-lstm, caption-story-attention."""
        return f"{self.task}-{model_label(self)}"

    @property
    def writer(self) -> RecurrentName:
        """The cell that writes."""
        return self.controller if self.model == "attention" else self.model

    def check(self) -> None:
        """UserError for a value that no run can have (sizes of models are checked where models are built)."""
        check_least(
            self, 1, "things", "seeds", "steps", "batch_size", "valid_every", "valid_scenes", "test_scenes", "threads"
        )
        check_least(self, 1, "filters", "log_every", "checkpoint_every", "picture_every")
        check_least(self, 0, "halvings", "seed", "curriculum_steps", "warmup_steps", "cooldown_steps")
        check_positive(self, "learning_rate", "clip_norm")
        if self.learning_rate > 1000:
            raise UserError(f"--learning-rate must be at most 1000, not {self.learning_rate}")

    def saved(self) -> dict[str, Any]:
        """Plain data for config.yaml and the tracker: everything but where this run came from and went."""
        return saved_fields(self)
