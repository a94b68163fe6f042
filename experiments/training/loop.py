"""What every training is: updates, rows of metrics and checkpoints; stopping and going on bit for bit."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from experiments.base.files import UserError, write_whole
from experiments.base.progress import Progress
from experiments.base.reading import expect
from experiments.base.seeds import generator_for
from experiments.base.stopping import STOPPING, Stopped, deferred_signals
from experiments.config.parts import CHANGEABLE, Config
from experiments.figures.snapshot import snapshot
from experiments.runs.checkpoint import Kept, read_checkpoint, save_checkpoint
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import MetricsFile
from experiments.runs.tracking import TRAINING_PICTURES, Tracker
from experiments.training.looks import Look
from experiments.training.ranks import ranks
from memnet import gradient_norms

Settings = TypeVar("Settings", bound=Config)
Model = TypeVar("Model", bound=nn.Module)


class NotFinite(Exception):
    """The loss or gradient is not a finite number; nothing after the last good checkpoint is kept.

    row: the metrics that tell of it.
    """

    def __init__(self, text: str, row: dict[str, Any]) -> None:
        super().__init__(text)
        self.row = row


class TrainingLoop(ABC, Generic[Settings, Model]):
    """One run's training. Everything that changes is in the checkpoint, so that stopping changes nothing.

    config, folder, run_id: what to train, where it is kept, and what the tracker calls it.
    model, optimizer:       what an update changes; the generator draws whatever training draws.
    kept:                   the form of a checkpoint's progress.
    """

    kept: ClassVar[type[Kept]] = Kept

    def __init__(
        self, config: Settings, folder: RunFolder, run_id: str, model: Model, optimizer: torch.optim.Optimizer
    ) -> None:
        self.config, self.model = config, model
        self.folder, self.run_id, self.optimizer = folder, run_id, optimizer
        self.device = torch.device(config.device)
        self.generator = generator_for("train", config.seed)
        self.ranks = ranks()
        self.step = 0
        self.seconds = 0.0
        self._gradients: dict[str, float] = {}

    @property
    def sequences(self) -> int:
        """Training sequences, or questions, seen so far (of several restarts: by each)."""
        return self.step * self.config.batch_size

    @property
    def restarts(self) -> int:
        """Models of which the model is a stack; 1 for a plain one."""
        return 1

    @property
    def parameters(self) -> int:
        """Numbers that are trained."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    @abstractmethod
    def last_step(self) -> int:
        """The step after which training ends."""

    @property
    def longer(self) -> tuple[str, ...]:
        """Options that train a finished run for as long again; none where it would not go on."""
        return "--steps", str(2 * self.step)

    def keep_data(self) -> None:
        """Keep in the folder what is to be known of the data besides the configuration; here nothing."""

    @abstractmethod
    def changing(self) -> dict[str, Any]:
        """Plain data for the checkpoint: whatever else changes in training."""

    def refusal(self, progress: dict[str, Any]) -> str | None:
        """Why progress of the right form is none of this training, None where it is. Nothing is changed."""
        return None

    @abstractmethod
    def put_back(self, progress: dict[str, Any]) -> None:
        """The inverse of `changing`."""

    def carried(self) -> Sequence[Tensor]:
        """Tensors for the checkpoint: the state that a step hands to the next."""
        return ()

    def carried_forms(self) -> Sequence[Tensor]:
        """Tensors of the shapes and types of those carried after any step."""
        return ()

    def carry_on(self, carried: Sequence[Tensor]) -> None:
        """The inverse of `carried`; nothing where there are none."""

    @abstractmethod
    def _train_step(self, progress: Progress) -> None:
        """One update; NotFinite where it cannot be."""

    def _due_row(self, progress: Progress) -> dict[str, Any]:
        """The row of metrics for this step, empty when none is due."""
        row: dict[str, Any] = {}
        if self._due(self.config.log_every):
            row |= self._training_scores()
        if self._due(self.config.valid_every):
            row |= self._validate(progress)
        return row

    @abstractmethod
    def _training_scores(self) -> dict[str, Any]:
        """Means since the last row, and what drove the last step."""

    @abstractmethod
    def _look(self) -> Look:
        """What the model does on the sequence or the questions that it is always looked at with."""

    @abstractmethod
    def _validate(self, progress: Progress) -> dict[str, Any]:
        """Scores on questions or sequences that are never trained on."""

    def _state_word(self) -> str:
        """A few words on where the training stands."""
        return ""

    def save(self) -> None:
        """Write the checkpoint, in place of the one before."""
        progress = {
            "step": self.step,
            "seconds": self.seconds,
            "run_id": self.run_id,
            "config": self.config.saved(),
        }
        progress |= self.changing()
        parts = (self.model, self.optimizer, self.generator)
        save_checkpoint(self.folder.checkpoint, *parts, progress, self.carried())

    def restore(self) -> None:
        """Continue from the folder's checkpoint. UserError where it cannot be used, and then nothing has changed."""
        saved, expected = read_checkpoint(self.folder.checkpoint), self.config.saved()
        progress = saved.progress
        for name, value in progress["config"].items():
            if name not in CHANGEABLE and value != expected.get(name):
                raise UserError(
                    f"{self.folder.checkpoint} is of another model: its {name} is {value!r}, not {expected.get(name)!r}"
                )
        expect(progress, self.kept, saved.path)
        if trouble := self.refusal(progress):
            raise UserError(f"{saved.path} {trouble}")
        saved.check(self.model, self.optimizer, self.carried_forms(), self.restarts)
        saved.put_back(self.model, self.optimizer, self.generator)
        self.step, self.seconds, self.run_id = progress["step"], progress["seconds"], progress["run_id"]
        self.put_back(progress)
        self.carry_on(saved.carried)

    def train(self, metrics: MetricsFile, tracker: Tracker, progress: Progress) -> None:
        """Run to the end. Raises Stopped after Ctrl-C, SIGTERM or SIGHUP, NotFinite for a loss that is no number."""
        # torchrun passes on what its processes have heard already, and ends those that do not stop.
        with deferred_signals(always=self.ranks.count > 1) as stop:
            started = time.monotonic() - self.seconds
            while self.step < self.last_step:
                progress.begin(self.step + 1, self.sequences)
                try:
                    self._train_step(progress)
                except NotFinite as trouble:
                    metrics.append(trouble.row)
                    tracker.log(trouble.row)
                    raise
                self.seconds = time.monotonic() - started
                self.record(metrics, tracker, progress)
                number = self._stop(stop.number)
                if number is not None or self.step % self.config.checkpoint_every == 0:
                    self.save()
                if number is not None:
                    raise Stopped(number)
            self.save()
            # What was heard while the last step was written.
            if (number := self._stop(stop.number)) is not None:
                raise Stopped(number)

    def _stop(self, number: int | None) -> int | None:
        """The signal to stop after, which all processes of a training do after the same step."""
        if self.ranks.count == 1:
            return number
        heard = self.ranks.sums([float(number == one) for one in STOPPING], self.device)
        return next((one for one, count in zip(STOPPING, heard, strict=True) if count), None)

    def measure(self, seconds: float, progress: Progress) -> float:
        """Seconds that all steps and validations would take, found by some steps, of about so many seconds, and one
        validation. Nothing is saved."""
        self._train_step(progress)  # which builds and warms up
        started, steps = time.monotonic(), 0
        while steps < 2 or time.monotonic() - started < seconds:
            self._train_step(progress)
            steps += 1
        trained = time.monotonic()
        self._validate(progress)
        validation = (time.monotonic() - trained) / self.config.valid_every
        return self.last_step * ((trained - started) / steps + validation)

    def record(self, metrics: MetricsFile, tracker: Tracker, progress: Progress) -> None:
        """Write this step's row of metrics, and draw its picture, if one is due, everywhere."""
        row = self._due_row(progress)
        every = self.config.picture_every
        looks = self.ranks.first and every is not None and self._due(every)
        look = self._look() if looks else None
        if look is not None:
            row |= look.numbers
        if row:
            row = {"step": self.step, "sequences": self.sequences} | row | self._clock()
            metrics.append(row)
            tracker.log(row)
            progress.total_sequences = self.last_step * self.config.batch_size
            progress.update(row, self.sequences, state=self._state_word())
        if look is not None and look.panels:
            path = self.folder.training_picture(self.step)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, snapshot(f"{self.folder.path.name} after step {self.step:,}", look.panels))
            tracker.image(TRAINING_PICTURES, path, self.sequences)

    def _note_gradients(self, copies: int = 1) -> None:
        """Keep the norm of the gradient by part where the update under way is known to end with training scores.

        copies: restarts, over which the mean is taken as far as they are finite.
        """
        after = self.step + 1
        due = after % self.config.log_every == 0 or after == self.last_step
        norms = gradient_norms(self.model, copies) if due else {}
        finite = {part: list(filter(math.isfinite, own.tolist())) for part, own in norms.items()}
        self._gradients = {f"gradient/{part}": sum(own) / len(own) for part, own in finite.items() if own}

    def _not_finite(self, loss: float, norm: float) -> NotFinite:
        """What is raised where the loss or the gradient's norm of the next step is no number."""
        return NotFinite(
            f"step {self.step + 1}: the loss is {loss} and the gradient's norm {norm}. "
            f"The last good checkpoint is {self.folder.checkpoint}. "
            "Try a smaller --learning-rate, a --clip-norm that bites, or another --seed",
            {"step": self.step + 1, "sequences": self.sequences, "train/loss": loss, "train/gradient_norm": norm},
        )

    def _due(self, every: int) -> bool:
        """Whether something that is done every so many steps, and at the end, is due."""
        return self.step % every == 0 or self.step == self.last_step

    def _clock(self) -> dict[str, float]:
        return {"perf/seconds": self.seconds, "perf/sequences_per_second": self.sequences / max(self.seconds, 1e-9)}
