"""The training loop: steps, validation, checkpoints; stopping and going on bit for bit."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch

from experiments.checkpoint import load_checkpoint, read_progress, save_checkpoint
from experiments.config import CHANGEABLE, TrainConfig
from experiments.curriculum import Curriculum
from experiments.evaluation import evaluate, validation_batches
from experiments.files import UserError
from experiments.metrics import MetricsFile
from experiments.models import backend_line, make_model, training_lengths
from experiments.optimizers import GravesRMSProp
from experiments.progress import Progress
from experiments.run_folder import RunFolder
from experiments.seeds import generator_for
from experiments.tracking import Tracker
from tasks import Task


@contextmanager
def handling_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Give Ctrl-C and SIGTERM to a handler, and back to the one before."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


class Stopped(BaseException):
    """Ctrl-C or SIGTERM. Like KeyboardInterrupt no Exception, so that no library swallows it.

    exit_code: as a shell would give it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class NotFinite(Exception):
    """The loss or gradient is not a finite number; nothing after the last good checkpoint is kept."""


class Trainer:
    """One run's training. Everything that changes is in the checkpoint, so that stopping changes nothing.

    config, task, folder: what to train, and where it is kept.
    """

    def __init__(self, config: TrainConfig, task: Task, folder: RunFolder, run_id: str) -> None:
        """UserError for sizes that cannot be, or a device that is not there."""
        self.config, self.task, self.folder = config, task, folder
        self.device = torch.device(config.device)
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(generator_for("weights", config.seed).get_state())
            self.model = make_model(config, task).to(self.device)
        self.model.backend = config.backend
        self.optimizer = _make_optimizer(config, self.model)
        self.generator = generator_for("train", config.seed)
        self.curriculum = Curriculum(config, training_lengths(config, task))
        self.validation = validation_batches(task, training_lengths(config, task), config.valid_sequences, config.seed)
        self.run_id = run_id
        self.step = 0
        self.solved_step: int | None = None
        self.seconds = 0.0
        self.seconds_to_solve: float | None = None
        self._losses: list[float] = []
        self._norms: list[float] = []
        self._stop: int | None = None

    @property
    def sequences(self) -> int:
        """Training sequences seen so far."""
        return self.step * self.config.batch_size

    @property
    def sequences_to_solve(self) -> int | None:
        """Training sequences seen when the task was solved."""
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
    def learning_rate(self) -> float:
        """The rate of the next step."""
        into = self.step - self.cooldown_start
        share = 1.0 if into < 0 else 1 - into / max(self.last_step - self.cooldown_start, 1)
        return self.config.learning_rate * max(share, 0.0)

    def save(self) -> None:
        """Write the checkpoint, in place of the one before."""
        progress = {
            "step": self.step,
            "solved_step": self.solved_step,
            "seconds": self.seconds,
            "seconds_to_solve": self.seconds_to_solve,
            "curriculum": self.curriculum.state(),
            "losses": self._losses,
            "norms": self._norms,
            "run_id": self.run_id,
            "config": self.config.saved(),
        }
        save_checkpoint(self.folder.checkpoint, self.model, self.optimizer, self.generator, progress)

    def restore(self) -> None:
        """Continue from the folder's checkpoint. UserError where it cannot be used."""
        expected = self.config.saved()
        for name, value in read_progress(self.folder.checkpoint)["config"].items():
            if name not in CHANGEABLE and value != expected.get(name):
                raise UserError(
                    f"{self.folder.checkpoint} is of another model: its {name} is {value!r}, not {expected.get(name)!r}"
                )
        progress = load_checkpoint(self.folder.checkpoint, self.model, self.optimizer, self.generator)
        self.step, self.solved_step = progress["step"], progress["solved_step"]
        self.seconds, self.seconds_to_solve = progress["seconds"], progress["seconds_to_solve"]
        self.curriculum.restore(progress["curriculum"])
        self._losses, self._norms = progress["losses"], progress["norms"]
        self.run_id = progress["run_id"]

    def train(self, metrics: MetricsFile, tracker: Tracker, progress: Progress) -> None:
        """Run to the end. Raises Stopped after Ctrl-C or SIGTERM, NotFinite for a loss that is no number."""
        with self._deferred_signals():
            started, told = time.monotonic() - self.seconds, None
            while self.step < self.last_step:
                self._train_step()
                if told != self.model.backend_used:
                    told = self.model.backend_used
                    progress.message(backend_line(self.model))
                self.seconds = time.monotonic() - started
                if row := self._due_row(progress):
                    metrics.append(row)
                    tracker.log(row)
                    progress.total_sequences = self.last_step * self.config.batch_size
                    progress.update(row, self.sequences, state=self._state_word())
                if self._stop is not None or self.step % self.config.checkpoint_every == 0:
                    self.save()
                if self._stop is not None:
                    raise Stopped(self._stop)
        self.save()

    def _train_step(self) -> None:
        config = self.config
        length = self.curriculum.draw(self.generator)
        batch = self.task.sample(config.batch_size, length=length, generator=self.generator).to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        with self._weight_noise():
            logits, _ = self.model(batch.input)
            loss = self.task.loss(logits, batch)
            loss.backward()
        norm = self._clip()
        self._losses.append(loss.item())
        self._norms.append(norm)
        if not (math.isfinite(self._losses[-1]) and math.isfinite(norm)):
            raise NotFinite(
                f"step {self.step + 1}: the loss is {self._losses[-1]} and the gradient's norm {norm}. "
                f"The last good checkpoint is {self.folder.checkpoint}. "
                "Try a smaller --learning-rate, a --clip-norm that bites, or another --seed"
            )
        self.optimizer.step()
        self.step += 1
        scored = float(batch.mask.sum()) * self.task.output_size / config.batch_size
        self.curriculum.report(self._losses[-1] / math.log(2) / scored)

    @contextmanager
    def _weight_noise(self) -> Iterator[None]:
        """Move every weight by Gaussian noise; afterwards each is as before, with the gradient of the moved one."""
        if not self.config.weight_noise:
            yield
            return
        parameters = list(self.model.parameters())
        clean = [parameter.detach().clone() for parameter in parameters]
        with torch.no_grad():
            for parameter in parameters:
                noise = torch.randn(parameter.shape, generator=self.generator).to(parameter.device)
                parameter.add_(noise, alpha=self.config.weight_noise)
        yield
        with torch.no_grad():
            for parameter, before in zip(parameters, clean, strict=True):
                parameter.copy_(before)

    def _clip(self) -> float:
        """Clip the gradient as configured; returns its norm before."""
        parameters = [parameter for parameter in self.model.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        if self.config.clip_value is not None:
            torch.nn.utils.clip_grad_value_(parameters, self.config.clip_value)
        if self.config.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)
        return float(norm)

    def _due_row(self, progress: Progress) -> dict[str, Any]:
        """The row of metrics for this step, empty when none is due."""
        config, row = self.config, dict[str, Any]()
        last = self.step == self.last_step
        if last or self.step % config.log_every == 0:
            row |= self._training_scores()
        if last or self.step % config.valid_every == 0:
            row |= self._validate(progress)
        if not row:
            return row
        speed = self.sequences / max(self.seconds, 1e-9)
        clock = {"perf/seconds": self.seconds, "perf/sequences_per_second": speed}
        return {"step": self.step, "sequences": self.sequences} | row | clock

    def _training_scores(self) -> dict[str, Any]:
        """Means since the last row, and what drove the last step."""
        losses, norms = self._losses, self._norms
        self._losses, self._norms = [], []
        loss = sum(losses) / len(losses)
        return {
            "train/loss": loss,
            "train/bits_per_sequence": loss / math.log(2),
            "train/largest_bits_per_sequence": max(losses) / math.log(2),
            "train/gradient_norm": sum(norms) / len(norms),
            "train/largest_gradient_norm": max(norms),
            "train/learning_rate": self.optimizer.param_groups[0]["lr"],
            "train/longest_length": self.curriculum.limit,
        }

    def _validate(self, progress: Progress) -> dict[str, Any]:
        scores = evaluate(self.model, ((self.task, batch) for batch in self.validation))
        wrong, solved_at = scores["wrong_bits_per_sequence"], self.config.solved_at
        if self.solved_step is None and solved_at is not None and wrong < solved_at:
            self.solved_step, self.seconds_to_solve = self.step, self.seconds
            progress.message(
                f"solved after {self.sequences} sequences ({self.step} steps, {self.seconds:.0f} s): "
                f"{wrong:.4f} wrong bits a sequence; cooling down to step {self.last_step}"
            )
        return {f"valid/{name}": value for name, value in scores.items() if name != "sequences"}

    def _state_word(self) -> str:
        return "" if self.solved_step is None else f"solved at {self.sequences_to_solve} sequences"

    @contextmanager
    def _deferred_signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM wait for the end of a step; a second one does not wait."""

        def note(number: int, frame: FrameType | None) -> None:
            if self._stop is not None:
                raise Stopped(number)
            self._stop = number

        with handling_signals(note):
            yield


def _make_optimizer(config: TrainConfig, model: torch.nn.Module) -> torch.optim.Optimizer:
    if config.optimizer == "rmsprop":
        return GravesRMSProp(model.parameters(), lr=config.learning_rate, momentum=config.momentum)
    return torch.optim.Adam(model.parameters(), lr=config.learning_rate, betas=(config.momentum, 0.999))
