"""The configuration of a training run: one flat dataclass, every field an option of the command line."""

import dataclasses
import math
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict, get_args

import tyro
import yaml

from experiments.base.files import UserError
from experiments.base.names import model_label
from experiments.base.reading import expect, read_yaml
from experiments.config import registry
from experiments.config.fields import (
    TRACKING,
    WANDB,
    Changeable,
    WandbOptions,
    check_least,
    check_positive,
    from_fields,
    saved_fields,
)
from experiments.domains.captions.config import CaptionConfig
from experiments.domains.stories.config import StoryConfig, StoryTask
from experiments.domains.text.config import TextConfig
from experiments.domains.translation.config import TranslateConfig
from memnet.cells import ControllerName, RecurrentInit
from memnet.models.ntm import Addressing, MemoryInit, ReadOrder, WeightsInit
from memnet.sequence import Backend
from tasks import TASKS

ModelName = Literal["ntm", "rnn-tanh", "rnn-relu", "lstm", "gru"]
# What runs of one setting may differ in.
NOT_SETTING = (
    *("seed", "device", "threads", "backend", *TRACKING),
    *("log_every", "checkpoint_every", "picture_every", "gradient_flow_every"),
)
STORY_TASKS: tuple[str, ...] = get_args(StoryTask)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train a model on a task until it is solved, then test it beyond the lengths it was trained on.

    Others have options of their own: see `train babi --help`, and so for world-model, text, translate and captions.
    """

    task: tyro.conf.Positional[str]
    """What to learn: copy, repeat-copy, associative-recall, dynamic-ngrams, priority-sort, adding, copy-memory,
    temporal-order or agreement."""
    recipe: str = "default"
    """Named settings to start from: "default" is our own for the task (of copy, for the controller and the addressing,
    too), paper/TASK-MODEL those of the paper."""
    config: str | None = None
    """A config.yaml of another run to start from."""
    resume: str | None = None
    """A run folder to continue, bit for bit, with the configuration saved in it."""
    out: str | None = None
    """The run's folder, which must not hold a run yet; by default a free name under runs/."""
    seed: int = 0
    """Seed of the weights and of the data."""
    seeds: int | None = None
    """Train so many seeds at once, from --seed on, each in its own folder within --out; None for one run."""
    together: Literal["auto", "stacked", "processes"] = "auto"
    """With --seeds: one stacked computation, a process for each seed, or auto, the faster one, which is told."""

    model: ModelName = "ntm"
    """The network: an NTM, or a recurrent baseline without memory."""
    controller: ControllerName = "feedforward"
    """The NTM's controller."""
    hidden_size: int = 100
    """Units of a layer of the controller or baseline."""
    num_layers: int = 3
    """Layers of the controller or baseline."""
    skip: bool = False
    """Baselines: every layer sees the input and reaches the output."""
    recurrent_bias: bool = True
    """Baselines: a second bias on the recurrent part, as torch.nn has it."""
    forget_bias: float = 1.0
    """Added to an LSTM's forget-gate bias at initialisation."""
    recurrent_init: RecurrentInit = "default"
    """RNN baselines: recurrent weights begin uniform or as the identity; default: that for ReLU, uniform for tanh."""
    learned_initial_state: bool = False
    """Train the state before the first step."""
    num_slots: int = 128
    """NTM: memory rows."""
    slot_size: int = 20
    """NTM: memory columns."""
    num_reads: int = 1
    """NTM: read heads."""
    num_writes: int = 1
    """NTM: write heads."""
    shift_range: int = 1
    """NTM: furthest rotation of a head in one step, in slots."""
    addressing: Addressing = "content-and-location"
    """NTM: how heads find slots."""
    read_order: ReadOrder = "after-write"
    """NTM: whether reads see this step's writes."""
    memory_init: MemoryInit = "constant"
    """NTM: the memory before the first step."""
    trainable_memory: bool | None = None
    """NTM: train the initial memory; None trains a learned one only."""
    weights_init: WeightsInit = "first"
    """NTM: where heads look before the first step."""
    norm_floor: float = 1e-6
    """NTM: norms below it count as it in the cosine similarity."""

    steps: Changeable[int] = 6000
    """Optimiser steps at the most."""
    batch_size: int = 16
    """Sequences a step."""
    loss: Literal["sum", "mean"] = "sum"
    """What of a sequence is made small: the sum over its scored answers, or their mean, by which a long sequence weighs
    no more than a short one."""
    optimizer: Literal["adam", "rmsprop", "plain-rmsprop", "sgd"] = "adam"
    """Adam; RMSProp in the form of Graves 2013 as the NTM paper used it, or plain with decay 0.9; or SGD."""
    learning_rate: float = 1e-3
    """Step size before the cooldown."""
    momentum: float = 0.9
    """Adam's first decay rate; the momentum of the others."""
    clip_norm: float | None = 10.0
    """Largest norm of the whole gradient; None for no limit."""
    clip_value: float | None = None
    """Largest size of a gradient's element; None for no limit."""
    weight_noise: float = 0.0
    """Standard deviation of Gaussian noise on every weight, drawn anew for each step (Graves et al. 2013)."""
    truncate: int | None = None
    """Backpropagate through so many steps at most; the state is carried on. None for the whole sequence."""
    checkpoint_steps: int | None = None
    """Keep the state every so many steps and compute the others again, for less memory; None keeps everything."""
    curriculum: Literal["uniform", "fixed", "growing"] = "uniform"
    """Length of each batch: uniform over the range, always the longest, or uniform up to a limit that grows."""
    min_length: int | None = None
    """Shortest training length; None for the task's own."""
    max_length: int | None = None
    """Longest training length; None for the task's own."""
    growing_start: int = 5
    """Growing curriculum: the first limit on the length."""
    growing_threshold: float = 0.1
    """Growing curriculum: bits per scored bit (on other tasks nats or squared error), averaged over 20 steps, below
    which the limit grows by one."""

    solved_at: float | None = 0.01
    """The task's own validation score (wrong bits per sequence, squared error, nats, percent) under which it counts as
    solved; None never stops early."""
    cooldown_steps: int = 1500
    """The learning rate falls linearly to zero over so many last steps, which begin when the task is solved."""
    restart_after: int | None = None
    """Begin again with new weights at a validation after so many steps without being solved; None never does."""
    keep_best: bool = False
    """Test the weights of the validation with the lowest loss, and go back to them where the cooldown loses what was
    solved; else the last weights are tested, whatever they have become."""
    valid_every: int = 100
    """Steps between validations."""
    valid_sequences: int = 640
    """Sequences of a validation, spread evenly over its lengths, never trained on."""
    valid_length: int | None = None
    """Longest sequences of a validation; None for the training's. The shortest are the training's."""
    test_sequences: Changeable[int] = 200
    """Sequences at each test length after training."""

    log_every: int = 50
    """Steps between lines of metrics."""
    gradient_flow_every: Changeable[int | None] = None
    """Steps between looks at how far gradients reach back through time, in metrics under gradients/ and a figure."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    picture_every: Changeable[int | None] = 1000
    """Steps between looks at what the model does with one sequence: numbers and a picture; None for none."""
    tracker: Changeable[Literal["wandb", "none"]] = "wandb"
    """Where metrics go beside the run's own file."""
    wandb: Changeable[tyro.conf.OmitArgPrefixes[WandbOptions]] = WANDB
    device: str = "cpu"
    """Where to compute: cpu or cuda."""
    backend: Backend = "auto"
    """How steps run: eager, compile, native (NTMs on the CPU), or auto, the fastest that applies."""
    threads: Changeable[int] = 1
    """CPU threads; on small matrices more than one is slower."""

    kind, examples = "sequences", "sequences"
    """What it is about, and what one example of it is called; no options."""

    @property
    def measured(self) -> tuple[str, str, str]:
        """In what learning is measured: the end of a metric's name, the unit, and that on an axis."""
        curve = TASKS[self.task].curve
        return curve.name, curve.unit, curve.words.removeprefix("cross-entropy, ")

    @property
    def solved_by(self) -> str:
        """The metric that --solved-at is a limit of."""
        return f"valid/{TASKS[self.task].criterion.name}"

    @property
    def may_end_early(self) -> bool:
        """Whether training may end before its last step."""
        return self.solved_at is not None

    @property
    def subject(self) -> str:
        """What exactly is learned."""
        return self.task

    @property
    def label(self) -> str:
        """What is learned by which kind of model, for folders: copy-ntm-lstm, copy-gru."""
        return f"{self.task}-{model_label(self)}"

    def check(self) -> None:
        """UserError for a value that no run can have (sizes of models are checked where models are built)."""
        check_least(self, 1, "steps", "batch_size", "valid_every", "valid_sequences", "test_sequences", "log_every")
        check_least(self, 1, "checkpoint_every", "picture_every", "gradient_flow_every", "threads", "seeds")
        check_least(self, 1, "growing_start", "min_length", "max_length", "truncate", "checkpoint_steps")
        check_least(self, 1, "restart_after", "valid_length")
        if self.together != "auto" and self.seeds is None:
            raise UserError(f"--together {self.together} is for several --seeds")
        if self.min_length and self.max_length and self.min_length > self.max_length:
            raise UserError(f"--min-length {self.min_length} is above --max-length {self.max_length}")
        if self.recurrent_init != "default" and not self.model.startswith("rnn-"):
            raise UserError(f"--recurrent-init {self.recurrent_init} is for rnn-tanh and rnn-relu, not {self.model}")
        check_least(self, 0, "cooldown_steps", "seed")
        check_positive(self, "learning_rate", "clip_norm", "clip_value", "solved_at", "growing_threshold", "norm_floor")
        if self.learning_rate > 1000:
            raise UserError(f"--learning-rate must be at most 1000, not {self.learning_rate}")
        if not 0 <= self.weight_noise < math.inf:
            raise UserError(f"--weight-noise must be a finite number of at least 0, not {self.weight_noise}")
        if not 0 <= self.momentum < 1:
            raise UserError(f"--momentum must be in [0, 1), not {self.momentum}")

    def saved(self) -> dict[str, Any]:
        """Plain data for config.yaml and the tracker: everything but where this run came from and went."""
        return saved_fields(self)


Config: TypeAlias = TrainConfig | StoryConfig | TextConfig | TranslateConfig | CaptionConfig
# Those that say what solved is, and may end early.
JudgedConfig: TypeAlias = TrainConfig | TranslateConfig

# The configuration of every domain.
_KINDS: dict[str, type[Config]] = {kind.kind: kind for kind in get_args(Config)}


class _Content(TypedDict):
    task: str


def kind_of(task: str) -> type[Config]:
    """The kind of configuration that a task has."""
    return _KINDS[registry.TASKS.get(task, "sequences")]


def to_yaml(config: Config) -> str:
    """The text of config.yaml."""
    return yaml.safe_dump(config.saved(), sort_keys=False)


def from_yaml(path: Path) -> Config:
    """Read a config.yaml strictly: UserError for anything but known fields with values of their type."""
    return from_mapping(read_yaml(path, "a configuration"), str(path))


def from_mapping(content: Any, source: str) -> Config:
    """A configuration from plain data, of the kind that its task has; `source` names it in a UserError."""
    if not isinstance(content, dict) or "task" not in content:
        raise UserError(f"{source} is no configuration: expected fields with their values, task among them")
    expect(content, _Content, source)
    return from_fields(kind_of(content["task"]), content, source)
