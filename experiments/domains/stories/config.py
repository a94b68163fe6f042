"""The configuration of a training run on stories: one flat dataclass, every field an option of the command line."""

import argparse
import dataclasses
from typing import Annotated, Any, Literal, TypeAlias

import tyro

from experiments.base.files import UserError
from experiments.base.names import model_label
from experiments.config.fields import WANDB, Changeable, WandbOptions, check_least, check_positive, saved_fields
from memnet.cells import ControllerName
from memnet.encoding import Encoding
from memnet.models.entnet import MaskInit, Normalization
from memnet.models.key_value import Memories, Tables
from memnet.models.memn2n import Tying
from memnet.readers import Embedding
from memnet.sequence import Backend
from tasks.babi import TASK_NAMES
from tasks.babi.command_line import task_numbers

StoryTask: TypeAlias = Literal["babi", "world-model"]
StoryModelName: TypeAlias = Literal["memn2n", "kv", "entnet", "ntm", "lstm", "gru", "rnn-tanh"]
READERS = ("ntm", "lstm", "gru", "rnn-tanh")
GENERATED = "generated"


@dataclasses.dataclass(frozen=True)
class StoryConfig:
    """Train a model on stories until its schedule ends, choose among its restarts, and test it."""

    task: tyro.conf.Positional[StoryTask]
    """What to learn: babi, the twenty question-answering tasks, or world-model, agents on a grid."""
    numbers: Annotated[str, tyro.conf.arg(name="task", aliases=["--numbers"])] = "1"
    """bAbI: which tasks, as 1 or 1-20 or 1,6,16. Several numbers are one model, trained on all of them jointly."""
    babi_data: Changeable[str | None] = None
    """bAbI: folder or tar archive of the release, or "generated"; None for MEMNET_BABI if set, else generated."""
    size: Literal["1k", "10k"] = "1k"
    """bAbI: training questions of a task."""
    questions: int | None = None
    """Generated stories: training questions of a task, if not as many as --size says."""
    test_questions: Changeable[int] = 1000
    """Generated stories: test questions of a task, or of each length of the world model."""
    data_seed: int = 0
    """Generated stories: their seed. It is not that of the run, so that seeds compare on the same stories."""
    most_words: int = 100
    """bAbI from files: longer sentences are cut after so many words; how many is told."""
    min_length: int = 5
    """World model: fewest sentences of a training story."""
    max_length: int = 20
    """World model: most sentences of a training story."""
    recipe: str = "default"
    """Named settings to start from: "default" is our own for the model, paper/... those of a paper."""
    config: str | None = None
    """A config.yaml of another run to start from."""
    resume: str | None = None
    """A run folder to continue, bit for bit, with the configuration saved in it."""
    out: str | None = None
    """The run's folder, which must not hold a run yet; by default a free name under runs/."""
    seed: int = 0
    """Seed of the weights and of the order of the questions."""
    seeds: int | None = None
    """Train so many seeds, from --seed on, a process for each, in its own folder within --out; None for one run."""

    model: StoryModelName = "memn2n"
    """End-to-end, key-value or entity memory; NTM and recurrent baselines read word by word."""
    embedding_size: int = 20
    """Width of words and memories; baselines and NTM: of learned word vectors."""
    max_sentences: int | None = 50
    """Of a longer story the last so many sentences are read; None for all. The memory has at most so many slots."""
    num_hops: int = 3
    """MemN2N, key-value: looks at the memory."""
    encoding: Encoding = "position-facebook"
    """MemN2N, key-value: how words make a sentence; position-facebook gave the published numbers."""
    tying: Tying = "adjacent"
    """MemN2N: which word tables the hops share."""
    time_noise: float = 0.1
    """MemN2N: share of random gaps among the sentences' ages while training."""
    nonlinearity: Literal["relu"] | None = None
    """MemN2N: after every hop."""
    mask_empty: bool = False
    """MemN2N: leave empty slots out of the softmax (the original counts them)."""
    score_times: bool = False
    """MemN2N: the answer's softmax runs over the time words too, as in the original code."""
    memories: Memories = "sentence"
    """Key-value: what a slot holds."""
    window: int = 7
    """Key-value: words in a window."""
    tables: Tables = "separate"
    """Key-value: whether keys, values and answers share one word table."""
    num_slots: int = 20
    """EntNet: entities. NTM: memory rows."""
    gate_bias: bool = True
    """EntNet: a bias on every entity's gate, as the original code has it."""
    normalization: Normalization = "unit"
    """EntNet: of the memories after every sentence."""
    mask_init: MaskInit = "facebook"
    """EntNet: where the trained word masks start."""
    embedding: Embedding = "learned"
    """NTM and baselines: learned word vectors, or one-hot words."""
    hidden_size: int = 100
    """NTM and baselines: units of a layer of the controller or baseline."""
    num_layers: int = 1
    """NTM and baselines: layers of the controller or baseline."""
    controller: ControllerName = "lstm"
    """NTM: the controller."""
    slot_size: int = 20
    """NTM: memory columns."""
    num_reads: int = 1
    """NTM: read heads."""
    num_writes: int = 1
    """NTM: write heads."""

    restarts: int = 1
    """Independent initialisations, trained side by side; one of them is chosen. Not for NTM and baselines."""
    select: Literal["train", "valid"] = "train"
    """Choose the restart with the lowest error on the training or on the validation questions (ties: loss)."""
    batch_size: int = 32
    """Questions an update."""
    length_groups: int = 1
    """Compute a batch in so many groups, short stories apart from long ones: the same but for rounding, and faster
    where lengths differ much."""
    optimizer: Literal["sgd", "adam", "rmsprop"] = "sgd"
    """Plain SGD, Adam, or RMSProp in the form of Graves 2013."""
    learning_rate: float = 0.005
    """Step size on the loss summed over the batch, before it is halved."""
    linear_start_epochs: int = 20
    """MemN2N: epochs without the softmax of the hops, at a constant rate, before the others."""
    epochs: Changeable[int] = 100
    """Epochs of floor(training questions / batch size) updates, drawn with replacement."""
    halve_every: int | None = 25
    """Epochs after which the learning rate is halved, not counting the linear start; None for never."""
    epoch_updates: int = 1000
    """World model: updates that count as an epoch."""
    stop_when_solved: bool = False
    """Stop as soon as a restart answers every validation question (the original EntNet does)."""
    clip: Literal["matrix", "model"] = "matrix"
    """Clip the gradient of each weight matrix (the original MemN2N) or of the whole model."""
    clip_norm: float | None = 40.0
    """Largest norm of a gradient; None for no limit."""

    log_every: int = 100
    """Updates between lines of metrics."""
    valid_every: int = 500
    """Updates between validations."""
    checkpoint_every: int = 500
    """Updates between checkpoints."""
    picture_every: Changeable[int | None] = 1000
    """Updates between looks at what the model does with a few questions: numbers and a picture; None for none."""
    tracker: Changeable[Literal["wandb", "none"]] = "wandb"
    """Where metrics go beside the run's own file."""
    wandb: Changeable[tyro.conf.OmitArgPrefixes[WandbOptions]] = WANDB
    device: str = "cpu"
    """Where to compute: cpu or cuda."""
    backend: Backend = "auto"
    """How a model runs: eager, compile (EntNet, NTM and baselines), native (no baselines), or auto, which chooses."""
    threads: Changeable[int] = 1
    """CPU threads; on small matrices more than one is slower."""

    kind, examples = "stories", "questions"
    """What it is about, and what one example of it is called; no options."""
    measured = "error_percent", "%", "error %"
    """In what learning is measured: the end of a metric's name, the unit, and that on an axis; no option."""

    @property
    def task_numbers(self) -> list[int]:
        """The bAbI tasks, in order; UserError for what is no list of them."""
        try:
            return task_numbers(self.numbers)
        except argparse.ArgumentTypeError as error:
            raise UserError(f"--task {error}") from None

    @property
    def may_end_early(self) -> bool:
        """Whether training may end before its last step."""
        return self.stop_when_solved

    @property
    def subject(self) -> str:
        """What exactly is learned, of bAbI with the numbers of its tasks."""
        if self.task != "babi":
            return self.task
        numbers = self.task_numbers
        return f"bAbI {numbers[0]}, {TASK_NAMES[numbers[0]]}" if len(numbers) == 1 else f"bAbI {self.numbers}, jointly"

    @property
    def label(self) -> str:
        """What is learned by which model, for folders and groups: babi-q1-memn2n, world-model-entnet."""
        if self.task == "world-model":
            return f"{self.task}-{model_label(self)}"
        return f"{self.task}-q{self.numbers.replace(',', '_')}-{model_label(self)}"

    def check(self) -> None:
        """UserError for a value that no run can have (sizes of models are checked where models are built)."""
        check_least(
            self, 1, "questions", "test_questions", "most_words", "max_sentences", "restarts", "batch_size", "epochs"
        )
        check_least(self, 1, "length_groups", "seeds", "halve_every", "epoch_updates", "threads")
        check_least(self, 1, "log_every", "valid_every", "checkpoint_every", "picture_every")
        check_least(self, 0, "seed", "data_seed", "linear_start_epochs")
        check_positive(self, "learning_rate", "clip_norm")
        if self.learning_rate > 1000:
            raise UserError(f"--learning-rate must be at most 1000, not {self.learning_rate}")
        if self.task == "babi":
            assert self.task_numbers
        else:
            self._check_world_model()
        self._check_combination()

    def _check_world_model(self) -> None:
        for name, value, unused in (("--task", self.numbers, "1"), ("--babi-data", self.babi_data, None)):
            if value != unused:
                raise UserError(f"{name} {value} is for babi: the world model's stories are made as they are needed")
        if not 4 <= self.min_length <= self.max_length:
            raise UserError(
                f"--min-length and --max-length must be at least 4 and in order, not {self.min_length} and "
                f"{self.max_length}"
            )
        if self.select == "train":
            raise UserError("--select train needs training questions; the world model has new ones in every batch")

    def _check_combination(self) -> None:
        if self.length_groups > self.batch_size:
            raise UserError(f"--length-groups {self.length_groups} is above --batch-size {self.batch_size}")
        if self.model in READERS and self.restarts > 1:
            raise UserError(
                f"--restarts {self.restarts} cannot be combined with --model {self.model}, which reads word by word: "
                "train it with several --seed instead"
            )
        if self.model != "memn2n" and self.linear_start_epochs:
            raise UserError(
                f"--linear-start-epochs {self.linear_start_epochs} is for --model memn2n; {self.model} takes 0"
            )
        if self.restarts > 1 and self.backend == "compile":
            raise UserError("--backend compile takes one restart at a time, not several: train several --seed instead")

    def saved(self) -> dict[str, Any]:
        """Plain data for config.yaml and the tracker: everything but where this run came from and went."""
        return saved_fields(self)
