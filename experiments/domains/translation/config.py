"""The configuration of a training run on translation: one flat dataclass, every field an option of the command line."""

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
from memnet.cells import RecurrentName
from memnet.decoding import Normalization
from memnet.models.encoder_decoder import Context, Scores
from tasks.translation import SHORTEST

TranslationModelName: TypeAlias = Literal["encoder-decoder", "attention"]
TranslationTask: TypeAlias = Literal["translate"]


@dataclasses.dataclass(frozen=True)
class TranslateConfig:
    """Train a model to translate, until it is solved or the steps are over, and test it on sentences it never saw."""

    task: tyro.conf.Positional[TranslationTask]
    """What to learn: translate, between two invented languages or those of your own files."""
    source: Changeable[str | None] = None
    """A text of your own, a sentence a line, beside --target; None for the invented languages."""
    target: Changeable[str | None] = None
    """Its translation, line by line."""
    parallel: Changeable[str | None] = None
    """Instead of both, one file: on every line a sentence, a tab and its translation."""
    most_words: int = 100
    """Own files: pairs with a sentence of more words than this are left out; how many is told."""
    sentences: int = 20_000
    """Invented languages: training sentences, all different."""
    valid_sentences: int = 500
    """Sentences for validation, never trained on; of own files at most a tenth."""
    test_sentences: Changeable[int] = 200
    """Test sentences of each length, neither trained on nor validated with; of own files in all, at most a tenth."""
    min_length: int = SHORTEST
    """Invented languages: words of the shortest sentences."""
    max_length: int = 12
    """Invented languages: words of the longest sentences."""
    data_seed: int = 0
    """Seed of the invented languages and their sentences, or of how own files are parted. It is not that of the run."""
    config: str | None = None
    """A config.yaml of another run to start from."""
    resume: str | None = None
    """A run folder to continue, bit for bit, with the configuration saved in it."""
    out: str | None = None
    """The run's folder, which must not hold a run yet; by default a free name under runs/."""
    seed: int = 0
    """Seed of the weights and of the order of the sentences."""
    seeds: int | None = None
    """Train so many seeds, from --seed on, a process for each, in its own folder within --out; None for one run."""

    model: TranslationModelName = "attention"
    """An encoder-decoder, or one that reads the source as a memory before every word (attention)."""
    controller: RecurrentName = "lstm"
    """The cell of encoder and decoder."""
    embedding_size: int = 64
    """Width of word vectors."""
    hidden_size: int = 128
    """Units of a layer of encoder and decoder."""
    num_layers: int = 1
    """Layers of encoder and decoder."""
    forget_bias: float = 1.0
    """Added to an LSTM's forget-gate bias at initialisation."""
    reverse: bool = False
    """Read the source from its last word to the first."""
    context: Context = "start"
    """Encoder-decoder: when the decoder sees what the encoder found, at its start or at every step too."""
    scores: Scores = "additive"
    """Attention: how a word of the source is compared with the decoder's state."""

    steps: Changeable[int] = 6000
    """Optimiser steps at the most."""
    batch_size: int = 64
    """Sentences a step."""
    learning_rate: float = 3e-3
    """Adam's step size before the cooldown."""
    clip_norm: float | None = 5.0
    """Largest norm of the gradient of a sentence's loss; None for no limit."""
    solved_at: float | None = 0.5
    """Validation sentences with a wrong word, in percent, under which it counts as solved; None never stops early."""
    cooldown_steps: int = 1000
    """The learning rate falls linearly to zero over so many last steps, which begin when it is solved."""
    beam: Changeable[int] = 4
    """Width of the beam search in the tests, beside greedy decoding."""
    beam_normalization: Changeable[Normalization] = "none"
    """Order of the sentences found by the beam search: by log-probability, or by that over their length."""

    log_every: int = 50
    """Steps between lines of metrics."""
    valid_every: int = 200
    """Steps between validations."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    picture_every: Changeable[int | None] = 1000
    """Steps between looks at the attention on a few sentences: numbers and a picture; None for none."""
    tracker: Changeable[Literal["wandb", "none"]] = "wandb"
    """Where metrics go beside the run's own file."""
    wandb: Changeable[tyro.conf.OmitArgPrefixes[WandbOptions]] = WANDB
    device: str = "cpu"
    """Where to compute: cpu or cuda."""
    threads: Changeable[int] = 1
    """CPU threads; on small matrices more than one is slower."""

    kind, examples = "translation", "sentences"
    """What it is about, and what one example of it is called; no options."""
    measured = "error_percent", "%", "error %"
    """In what learning is measured: the end of a metric's name, the unit, and that on an axis; no option."""
    recipe = "default"
    """There are no others; no option."""
    solved_by = "valid/error_percent"
    """The metric that --solved-at is a limit of; no option."""

    @property
    def may_end_early(self) -> bool:
        """Whether training may end before its last step."""
        return self.solved_at is not None

    @property
    def subject(self) -> str:
        """What exactly is learned, from which sentences."""
        return f"{self.task} {self.data_name}"

    @property
    def label(self) -> str:
        """What is learned by which model, for folders and groups: translate-attention."""
        return f"{self.task}-{model_label(self)}"

    @property
    def own_files(self) -> bool:
        """Whether the sentences are the user's."""
        return self.source is not None or self.parallel is not None

    @property
    def data_name(self) -> str:
        """Where the sentences are from: "invented languages", or the names of the user's files."""
        paths = [path for path in (self.source, self.target, self.parallel) if path is not None]
        return " and ".join(Path(path).name for path in paths) if paths else "invented languages"

    def settled(self) -> "TranslateConfig":
        """With the paths of files made absolute."""
        return absolute_paths(self, "source", "target", "parallel")

    def check(self) -> None:
        """UserError for a value that no run can have (sizes of models are checked where models are built)."""
        check_least(self, 1, "most_words", "sentences", "valid_sentences", "test_sentences", "seeds", "steps")
        check_least(
            self, 1, "batch_size", "beam", "log_every", "valid_every", "checkpoint_every", "picture_every", "threads"
        )
        check_least(self, 0, "seed", "data_seed", "cooldown_steps")
        check_positive(self, "learning_rate", "clip_norm", "solved_at")
        if self.learning_rate > 1000:
            raise UserError(f"--learning-rate must be at most 1000, not {self.learning_rate}")
        if not SHORTEST <= self.min_length <= self.max_length:
            raise UserError(
                f"--min-length and --max-length must be at least {SHORTEST} and in order, not {self.min_length} and "
                f"{self.max_length}"
            )
        if (self.source is None) != (self.target is None):
            given, missing = ("--source", "--target") if self.target is None else ("--target", "--source")
            raise UserError(f"{given} {self.source or self.target} needs a {missing} beside it")
        if self.parallel is not None and self.source is not None:
            raise UserError(f"--parallel {self.parallel} and --source {self.source}: give one of them")
        if self.model == "attention" and self.context != "start":
            raise UserError(f"--context {self.context} is for --model encoder-decoder; attention reads at every step")
        if self.model == "encoder-decoder" and self.scores != "additive":
            raise UserError(f"--scores {self.scores} is for --model attention, not for encoder-decoder")

    def saved(self) -> dict[str, Any]:
        """Plain data for config.yaml and the tracker: everything but where this run came from and went."""
        return saved_fields(self)
