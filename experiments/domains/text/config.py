"""The configuration of a training run on text: one flat dataclass, every field an option of the command line."""

import dataclasses
from pathlib import Path
from typing import Any, Literal, TypeAlias

import tyro

from experiments.base.files import UserError
from experiments.base.names import model_label
from experiments.config.fields import (
    WANDB,
    Changeable,
    WandbOptions,
    absolute_paths,
    check_least,
    check_positive,
    saved_fields,
)
from memnet.cells import ControllerName
from memnet.readers import Embedding
from memnet.sequence import Backend

TextTask: TypeAlias = Literal["text"]
TextModelName: TypeAlias = Literal["lstm", "gru", "rnn-tanh", "rnn-relu", "ntm"]
INVENTED, MARKOV = "invented", "markov"


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """Train a character-level language model on a text, and test it in bits per character.

    The text is cut by position into training, validation and test part. The training part is read in --batch-size
    streams side by side, chunk after chunk; the state is carried from each chunk to the next.
    """

    task: tyro.conf.Positional[TextTask]
    """Always text."""
    text: Changeable[str] = INVENTED
    """A text file (UTF-8); or "invented", of our own making; or "markov", whose true entropy is known."""
    characters: int = 400_000
    """Texts made here: how many characters."""
    most_symbols: int = 10_000
    """Of more different characters than this the rarest are all one, U+FFFD; how many is told."""
    data_seed: int = 0
    """Texts made here: their seed. It is not that of the run, so that seeds compare on the same text."""
    markov_order: int = 2
    """Markov text: how many letters each depends on."""
    markov_symbols: int = 8
    """Markov text: letters of the alphabet."""
    valid_share: float = 0.05
    """Share of the text, after the training part, that is validated on."""
    test_share: float = 0.05
    """Share of the text, its end, that is tested on."""
    config: str | None = None
    """A config.yaml of another run to start from."""
    resume: str | None = None
    """A run folder to continue, bit for bit, with the configuration saved in it."""
    out: str | None = None
    """The run's folder, which must not hold a run yet; by default a free name under runs/."""
    seed: int = 0
    """Seed of the weights."""
    seeds: int | None = None
    """Train so many seeds, from --seed on, a process for each, in its own folder within --out; None for one run."""

    model: TextModelName = "lstm"
    """The network."""
    embedding: Embedding = "learned"
    """Learned vectors for the characters, or one-hot ones, which begin to learn much later."""
    embedding_size: int = 32
    """Learned vectors: their width."""
    hidden_size: int = 128
    """Units of a layer of the network, or of the NTM's controller."""
    num_layers: int = 1
    """Layers of the network, or of the NTM's controller."""
    forget_bias: float = 1.0
    """Added to an LSTM's forget-gate bias at initialisation."""
    controller: ControllerName = "lstm"
    """NTM: the controller."""
    num_slots: int = 32
    """NTM: memory rows."""
    slot_size: int = 20
    """NTM: memory columns."""
    num_reads: int = 1
    """NTM: read heads."""
    num_writes: int = 1
    """NTM: write heads."""

    steps: Changeable[int] = 2000
    """Optimiser steps, of a chunk of every stream each."""
    batch_size: int = 32
    """Streams side by side."""
    chunk_length: int = 64
    """Characters of a chunk: so far back goes the gradient."""
    learning_rate: float = 3e-3
    """Step size of Adam before the cooldown, on the mean loss of a character."""
    cooldown_steps: int = 1000
    """The learning rate falls linearly to zero over so many last steps."""
    clip_norm: float | None = 1.0
    """Largest norm of the whole gradient; None for no limit."""

    valid_every: int = 100
    """Steps between validations."""
    valid_characters: int = 10_000
    """Characters of a validation at the most, from the beginning of the part."""
    test_characters: Changeable[int | None] = 200_000
    """Characters of the tests at the most, from the beginning of validation and test part each; None for all."""
    log_every: int = 20
    """Steps between lines of metrics."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    picture_every: Changeable[int | None] = 1000
    """Steps between looks at the predictions and at what the model does on one piece of text; None for none."""
    tracker: Changeable[Literal["wandb", "none"]] = "wandb"
    """Where metrics go beside the run's own file."""
    wandb: Changeable[tyro.conf.OmitArgPrefixes[WandbOptions]] = WANDB
    device: str = "cpu"
    """Where to compute: cpu or cuda."""
    backend: Backend = "auto"
    """How steps run: eager, compile, native (NTMs on the CPU), or auto, the fastest that applies."""
    threads: Changeable[int] = 1
    """CPU threads; on small matrices more than one is slower."""

    kind, examples = "text", "chunks"
    """What it is about, and what one example of it is called; no options."""
    measured = "bits_per_character", "bits/char", "bits a character"
    """In what learning is measured: the end of a metric's name, the unit, and that on an axis; no option."""
    recipe, may_end_early = "default", False
    """There are no others, and it ends with its last step; no options."""

    @property
    def made(self) -> bool:
        """Whether the text is made here."""
        return self.text in (INVENTED, MARKOV)

    @property
    def text_name(self) -> str:
        """What the text is called."""
        return f"{self.text} text" if self.made else Path(self.text).name

    @property
    def subject(self) -> str:
        """What exactly is learned: the text, and how it was made, since others are easier or harder."""
        if not self.made:
            return self.text_name
        order = f", order {self.markov_order} of {self.markov_symbols}" if self.text == MARKOV else ""
        return f"{self.text_name}{order}, {self.characters:,} characters, seed {self.data_seed}"

    @property
    def label(self) -> str:
        """What is learned by which model, for folders and groups: text-lstm, text-markov-gru."""
        return "-".join([self.task, *([MARKOV] if self.text == MARKOV else []), model_label(self)])

    def settled(self) -> "TextConfig":
        """With the path of a file made absolute."""
        return self if self.made else absolute_paths(self, "text")

    def check(self) -> None:
        """UserError for a value that no run can have (sizes of models are checked where models are built)."""
        check_least(self, 1, "characters", "markov_order", "steps", "batch_size", "chunk_length", "seeds", "threads")
        check_least(self, 1, "valid_every", "valid_characters", "log_every", "checkpoint_every", "picture_every")
        check_least(self, 2, "markov_symbols", "most_symbols", "test_characters")
        check_least(self, 0, "seed", "data_seed", "cooldown_steps")
        check_positive(self, "learning_rate", "clip_norm", "valid_share", "test_share")
        if self.learning_rate > 1000:
            raise UserError(f"--learning-rate must be at most 1000, not {self.learning_rate}")
        if self.valid_share + self.test_share >= 1:
            raise UserError(
                f"--valid-share {self.valid_share} and --test-share {self.test_share} leave nothing to train on"
            )

    def saved(self) -> dict[str, Any]:
        """Plain data for config.yaml and the tracker: everything but where this run came from and went."""
        return saved_fields(self)
