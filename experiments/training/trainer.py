"""Every training: updates, rows of metrics and checkpoints; stopping and going on bit for bit."""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, NotRequired, TypeVar

from torch import Tensor, nn

from experiments.base.files import UserError, write_whole
from experiments.base.progress import Progress
from experiments.base.reading import expect
from experiments.base.seeds import generator_for
from experiments.base.stopping import STOPPING, Stopped, deferred_signals
from experiments.config.form import Config
from experiments.figures.snapshot import snapshot
from experiments.runs.about import About
from experiments.runs.checkpoint import Kept, read_checkpoint, save_checkpoint
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import MetricsFile, read_metrics
from experiments.runs.tracking import TRAINING_PICTURES, Tracker
from experiments.training.objective import Objective, Row, mean
from experiments.training.optimizers import Gradients
from experiments.training.ranks import ranks
from experiments.training.updates import Noise, go_on_from
from memnet import gradient_norms
from memnet.abilities import HoldsState

Work = TypeVar("Work", bound=Objective[Any, Any])
# Updates in a row whose gradients are no numbers, after which more of them are not waited for.
MOST_LEFT_OUT = 10


class NotFinite(Exception):
    """The loss, or one gradient after another, is no finite number; nothing after the last good checkpoint is kept.

    row: the metrics that tell of it.
    """

    def __init__(self, text: str, row: Row) -> None:
        super().__init__(text)
        self.row = row


class TrainerKept(Kept):
    """The form of a checkpoint's progress."""

    solved_step: int | None
    seconds_to_solve: float | None
    begun: list[int]
    left_out: NotRequired[list[int]]
    lowest_loss: float | None
    digest: str
    objective: dict[str, Any]


class Trainer(Generic[Work]):
    """One run's training. Everything that changes is in the checkpoint, so that stopping changes nothing.

    config, folder, run_id: how to train, where the run is kept, and what the tracker calls it.
    objective, model:       on what is trained, and what; the generator draws whatever training draws.
    begun:                  the steps at which training began, with new weights each time.
    left_out:               the steps that left the weights as they were, since the gradient was no number.
    """

    def __init__(self, config: Config[Any], objective: Work, folder: RunFolder, run_id: str) -> None:
        """UserError for a model that cannot be, and where the processes cannot share a batch."""
        self.config, self.objective = config, objective
        self.folder, self.run_id = folder, run_id
        self.ranks = ranks()
        self._rows = self.ranks.share(config.training.batch_size)
        self.model: Any = objective.new_model()
        self._weights: list[nn.Parameter] = list(self.model.parameters())
        self.optimizer = objective.updates.make_optimizer(self.model)
        self._noise: Noise | None = None
        self.generator = generator_for("train", config.run.seed)
        self.step, self.seconds = 0, 0.0
        self.solved_step: int | None = None
        self.seconds_to_solve: float | None = None
        self.begun = [0]
        self.left_out: list[int] = []
        self._lowest_loss: float | None = None
        self._best: list[Tensor] = []
        self._gradients: dict[str, float] = {}
        self._lost = set[int]()
        self._computed = ""

    @property
    def sequences(self) -> int:
        """Training sequences, questions, ... seen so far (of several restarts: by each)."""
        return self.step * int(self.config.training.batch_size)

    @property
    def sequences_to_solve(self) -> int | None:
        """Those seen when it was solved."""
        return None if self.solved_step is None else self.solved_step * self.config.training.batch_size

    @property
    def parameters(self) -> int:
        """Numbers that are trained."""
        return sum(weight.numel() for weight in self._weights)

    @property
    def last_step(self) -> int:
        """The step after which training ends."""
        return self.objective.schedule.last_step(self.solved_step)

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return self.objective.updates.learning_rate * self.objective.schedule.rate(self.step, self.solved_step)

    @property
    def longer(self) -> tuple[str, ...]:
        """Options that train a finished run for as long again; none where it would not go on."""
        return self.objective.schedule.longer(self.step, self.solved_step)

    @property
    def about(self) -> About:
        """What is to be told of the run."""
        about = self.objective.about(parameters=self.parameters, last_step=self.last_step)
        # Stacked restarts are no models that could begin.
        parts = self.model.modules() if self.objective.copies == 1 else ()
        held = [part.state_floats for part in parts if isinstance(part, HoldsState)]
        return {**about, "state_floats": sum(held)} if held else about

    # ---------------------------------------------------------------------------------------------- checkpoints

    def save(self) -> None:
        """Write the checkpoint, in place of the one before."""
        self.objective.give_back(self.generator)
        progress = {
            "step": self.step,
            "seconds": self.seconds,
            "run_id": self.run_id,
            "config": self.config.mapping(),
            "solved_step": self.solved_step,
            "seconds_to_solve": self.seconds_to_solve,
            "begun": self.begun,
            "left_out": self.left_out,
            "lowest_loss": self._lowest_loss,
            "digest": self.objective.digest,
            "objective": self.objective.state(),
        }
        parts = (self.model, self.optimizer, self.generator)
        save_checkpoint(self.folder.checkpoint, *parts, progress, [*self._best, *self.objective.carried()])

    def restore(self) -> None:
        """Continue from the folder's checkpoint. UserError where it cannot be used, and then nothing has changed."""
        saved, objective = read_checkpoint(self.folder.checkpoint), self.objective
        progress = saved.progress
        if saved.version < 2:
            raise UserError(
                f"{saved.path} is of version {saved.version} of checkpoints, and this memnet goes on with version 2 "
                "alone: evaluate the run as it is, or train it again"
            )
        if (other := self.config.other_than(progress["config"])) is not None:
            name, there, here = other
            raise UserError(f"{saved.path} is of another model: its {name} is {there!r}, not {here!r}")
        expect(progress, TrainerKept, saved.path)
        state = progress["objective"]
        if progress["digest"] != objective.digest:
            raise UserError(f"{saved.path} was trained on {objective.others}")
        expect(state, objective.form, saved.path)
        if trouble := objective.refusal(state):
            raise UserError(f"{saved.path} {trouble}")
        best = [] if progress["lowest_loss"] is None else self._weights
        # What a step hands to the next may not be there.
        handed = objective.carried_forms(self.model) if len(saved.carried) > len(best) else ()
        saved.check(self.model, self.optimizer, [*best, *handed], objective.copies)
        saved.put_back(self.model, self.optimizer, self.generator)
        self.step, self.seconds, self.run_id = progress["step"], progress["seconds"], progress["run_id"]
        self.solved_step, self.seconds_to_solve = progress["solved_step"], progress["seconds_to_solve"]
        self.begun, self._lowest_loss = progress["begun"], progress["lowest_loss"]
        self.left_out = progress.get("left_out", [])
        self._best = [tensor.to(objective.device) for tensor in saved.carried[: len(best)]]
        objective.restore(state)
        objective.carry_on(self.model, saved.carried[len(best) :])

    # -------------------------------------------------------------------------------------------------- updates

    def update(self, progress: Progress) -> None:
        """One step: the gradient of every piece of a batch, and with it the weights; NotFinite where it cannot be."""
        batch, counts = self.begin(), dict[str, Tensor]()
        with self.noisy():
            for piece in self.objective.pieces(self.model, batch):
                piece.backward()
                counts = {name: counts[name] + count if counts else count for name, count in piece.counts.items()}
        if (computed := self.objective.computed(self.model)) != self._computed:
            self._computed = computed
            progress.message(computed)
        self.end(counts, progress)

    def begin(self) -> Any:
        """Make ready for the gradient of the next batch, and return this process's share of it."""
        batch = self.objective.draw(self.model, self.step, self.generator)
        if self.ranks.count > 1:
            batch = self.objective.share(batch, self._rows)
        self.optimizer.lr = self.learning_rate
        self.optimizer.zero_grad()
        return batch

    def noisy(self) -> AbstractContextManager[None]:
        """The weights with whatever noise they have in this step, between `begin` and `end`."""
        cooling = self.objective.schedule.rate(self.step, self.solved_step) < 1
        if not (scale := self.objective.updates.noise(cooling=cooling)):
            return nullcontext()
        if self._noise is None:
            self._noise = Noise(self._weights, self.config.run.seed)
        return self._noise.added(scale, self.step)

    def end(self, counts: Mapping[str, Tensor], progress: Progress) -> None:
        """Update the weights by their gradients, once they have those of this process's share.

        counts: see Piece. Where no copy has a finite gradient, they stay as they are, but not more than MOST_LEFT_OUT
        times in a row. NotFinite after that, and where no copy has a finite loss.
        """
        gradients = self.optimizer.gather()
        counts = self._together(gradients, counts)
        self._note_gradients()
        norm = self.objective.updates.clip(gradients)
        told: Row = {name: count.tolist() for name, count in counts.items()} | {"norm": norm.tolist()}
        losses, norms = (value if isinstance(value, list) else [value] for value in (told["loss"], told["norm"]))
        self._note_lost(losses, norms, progress)
        if any(math.isfinite(loss) and math.isfinite(own) for loss, own in zip(losses, norms, strict=True)):
            self.objective.noted(told)
            self.optimizer.step()
        elif any(map(math.isfinite, losses)) and self.left_out[-MOST_LEFT_OUT:] != self._latest_steps():
            self.left_out.append(self.step + 1)
            progress.message(f"step {self.step + 1}: the gradient's norm is {norms[0]}; the weights stay as they are")
        else:
            raise self._not_finite(losses[0], norms[0])
        self.step += 1

    def _latest_steps(self) -> list[int]:
        """The steps that may be left out in a row, up to the last."""
        return list(range(self.step - MOST_LEFT_OUT + 1, self.step + 1))

    def _together(self, gradients: Gradients, counts: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What all processes counted; makes the gradients those of the whole batch, too."""
        if self.ranks.count == 1:
            return counts
        self.ranks.add_up([*gradients.vectors, *counts.values()])
        if self.objective.mean_of_rows:
            for vector in gradients.vectors:
                vector.div_(self.ranks.count)
            return {**counts, "loss": counts["loss"] / self.ranks.count}
        return counts

    def _note_gradients(self) -> None:
        """Keep the norm of the gradient by part where the update under way is known to end with training scores.

        Of several copies the mean over those that have a finite one.
        """
        after = self.step + 1
        due = after % self.config.run.log_every == 0 or after == self.last_step
        norms = gradient_norms(self.model, self.objective.copies) if due else {}
        finite = {part: list(filter(math.isfinite, own.tolist())) for part, own in norms.items()}
        self._gradients = {f"gradient/{part}": mean(own) for part, own in finite.items() if own}

    def _note_lost(self, losses: Sequence[float], norms: Sequence[float], progress: Progress) -> None:
        """Tell of every copy whose loss is no number while others go on, once, or whose gradient is left out."""
        for copy, (loss, norm) in enumerate(zip(losses, norms, strict=True)):
            if len(losses) == 1 or copy in self._lost:
                continue
            if not math.isfinite(loss):
                self._lost.add(copy)
                progress.message(f"step {self.step + 1}: the loss of restart {copy} is {loss}; it is lost")
            elif not math.isfinite(norm):
                progress.message(
                    f"step {self.step + 1}: the gradient's norm of restart {copy} is {norm}; it is left out"
                )

    def _not_finite(self, loss: float, norm: float) -> NotFinite:
        """What is raised where the loss or the gradient's norm of the next step is no number."""
        return NotFinite(
            f"step {self.step + 1}: the loss is {loss} and the gradient's norm {norm}. "
            f"The last good checkpoint is {self.folder.checkpoint}. "
            "Try a smaller --learning-rate, a --clip-norm that bites, or another --seed",
            {
                "step": self.step + 1,
                "sequences": self.sequences + self.config.training.batch_size,
                "train/loss": loss,
                "train/gradient_norm": norm,
            },
        )

    # ------------------------------------------------------------------------------------------------- training

    def train(self, metrics: MetricsFile, tracker: Tracker, progress: Progress) -> None:
        """Run to the end. Raises Stopped after Ctrl-C, SIGTERM or SIGHUP, NotFinite for a loss that is no number."""
        # torchrun passes on what its processes have heard already, and ends those that do not stop.
        with deferred_signals(always=self.ranks.count > 1) as stop:
            started = time.monotonic() - self.seconds
            while self.step < self.last_step:
                progress.begin(self.step + 1, self.sequences)
                try:
                    self.update(progress)
                except NotFinite as trouble:
                    metrics.append(trouble.row)
                    tracker.log(trouble.row)
                    raise
                self.seconds = time.monotonic() - started
                progress.update({"step": self.step}, self.sequences)
                self.record(metrics, tracker, progress)
                number = self._stop(stop.number)
                if number is not None or self.step % self.config.run.checkpoint_every == 0:
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
        heard = self.ranks.sums([float(number == one) for one in STOPPING], self.objective.device)
        return next((one for one, count in zip(STOPPING, heard, strict=True) if count), None)

    def measure(self, seconds: float, progress: Progress) -> float:
        """Seconds that all steps and validations would take, found by some steps, of about so many seconds, and one
        validation. Nothing is saved."""
        last_step = self.last_step  # which comes sooner where that validation is solved
        self.update(progress)  # which builds and warms up
        started, steps = time.monotonic(), 0
        while steps < 2 or time.monotonic() - started < seconds:
            self.update(progress)
            steps += 1
        trained = time.monotonic()
        self._validate(progress)
        validation = (time.monotonic() - trained) / int(self.config.training.valid_every)
        return last_step * ((trained - started) / steps + validation)

    # ------------------------------------------------------------------------------------------ rows of metrics

    def record(self, metrics: MetricsFile, tracker: Tracker, progress: Progress) -> None:
        """Write this step's row of metrics, and draw its picture, if one is due, everywhere."""
        row = self._row(progress)
        every = self.config.run.picture_every
        looks = self.ranks.first and every is not None and self._due(every)
        look = self.objective.look(self.model) if looks else None
        if look is not None:
            row |= look.numbers
        if row:
            row = {"step": self.step, "sequences": self.sequences} | row | self._clock()
            metrics.append(row)
            tracker.log(row)
            progress.total_sequences = self.last_step * self.config.training.batch_size
            progress.update(row, self.sequences, state=self._state_word())
        if look is not None and look.panels:
            path = self.folder.training_picture(self.step)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, snapshot(f"{self.folder.path.name} after step {self.step:,}", look.panels))
            tracker.image(TRAINING_PICTURES, path, self.sequences)

    def _row(self, progress: Progress) -> Row:
        """The row of metrics for this step, empty when none is due."""
        # First, since it may find that this step is the last.
        valid = self._validate(progress) if self._due(self.config.training.valid_every) else {}
        row = self._scores() if self._due(self.config.run.log_every) and self.objective.kept else {}
        if valid:
            self._heed(valid, progress)
        row |= {f"valid/{name}": value for name, value in valid.items()}
        return row | self.objective.beside(self.model, self.step, row, self._due)

    def _scores(self) -> Row:
        """Means since the last ones, and what drove the last step."""
        scores = {f"train/{name}": value for name, value in self.objective.scores().items()}
        self.objective.kept = []
        left_out = {"train/left_out": len(self.left_out)} if self.left_out else {}
        return {**scores, **left_out, "train/learning_rate": self.optimizer.lr, **self._gradients}

    def _validate(self, progress: Progress) -> Row:
        """Scores on what is never trained on; notes the first by which the task is solved."""
        with self.objective.updates.averaged(self.optimizer):
            scores = self.ranks.agree(lambda: self.objective.validate(self.model))
        if self.solved_step is None and self.objective.solves(scores):
            self.solved_step, self.seconds_to_solve = self.step, self.seconds
            left = f"cooling down to step {self.last_step}" if self.last_step > self.step else "training ends"
            seen = f"{self.sequences} {self.config.training.examples}"
            how = f"({self.step} steps, {self.seconds:.0f} s): {self.objective.told(scores)}; {left}"
            progress.message(f"solved after {seen} {how}")
        return scores

    # -------------------------------------------------------------------------- weights that validation calls for

    def settle(self) -> int:
        """Give the model the weights that are to be tested; returns the step that they are of."""
        if self._best or self.objective.updates.weight_average is not None:
            go_on_from(self._best or self.optimizer.averages(), self.optimizer)
        if not self._best:
            return self.step
        judged = f"valid/{self.objective.judged_by}"
        rows = read_metrics(self.folder.metrics)
        return next((row["step"] for row in reversed(rows) if row.get(judged) == self._lowest_loss), self.step)

    def _heed(self, scores: Row, progress: Progress) -> None:
        """Keep the best weights, go back to them, or begin with new ones, as a validation calls for it."""
        objective, solves = self.objective, self.objective.solves(scores)
        if objective.keep_best and (self.solved_step is None or solves):
            self._keep_if_best(scores[objective.judged_by])
        if self._best and self.solved_step is not None and not solves:
            progress.message(f"no longer solved, {objective.told(scores)}: back to the best weights")
            go_on_from(self._best, self.optimizer)
        if self._is_stuck():
            progress.message(f"not solved after {self.step - self.begun[-1]:,} steps: begins again with new weights")
            go_on_from(objective.new_model(len(self.begun)).parameters(), self.optimizer)
            objective.give_back(self.generator)
            objective.begin_anew()
            self.begun.append(self.step)
            self._lowest_loss, self._best = None, []

    def _keep_if_best(self, loss: float) -> None:
        """Keep the weights if none were better; the first that solve the task are better than all that do not."""
        lowest = None if self.solved_step == self.step else self._lowest_loss
        if not math.isnan(loss) and (lowest is None or loss < lowest):
            self._lowest_loss, self._best = loss, self.optimizer.averages()

    def _is_stuck(self) -> bool:
        """Whether these weights had their time and were not solved, and as much time is left."""
        after = self.objective.restart_after
        if after is None or self.solved_step is not None:
            return False
        cooling = self.objective.schedule.rate(self.step, None) < 1
        return self.step >= self.begun[-1] + after and self.step + after <= self.last_step and not cooling

    def _state_word(self) -> str:
        """A few words on where the training stands."""
        return (
            "" if self.solved_step is None else f"solved at {self.sequences_to_solve} {self.config.training.examples}"
        )

    def _due(self, every: int) -> bool:
        """Whether something that is done every so many steps, and at the end, is due."""
        return self.step % every == 0 or self.step == self.last_step

    def _clock(self) -> dict[str, float]:
        return {"perf/seconds": self.seconds, "perf/sequences_per_second": self.sequences / max(self.seconds, 1e-9)}
