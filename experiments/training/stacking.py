"""The same training for several seeds, their gradients as one computation.

Every seed keeps a Trainer of its own: data, noise, clipping, optimiser, learning rate, validation, checkpoint. Only the
gradients are computed together, by torch.func over weights with a leading axis for the seed, of which each model's own
are views. So each seed is trained as if it were alone, within rounding.
"""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from experiments.base.progress import Progress, working
from experiments.base.stopping import Stopped, deferred_signals
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import MetricsFile
from experiments.runs.tracking import Tracker
from experiments.training.domain import domain_of
from experiments.training.objective import Objective, mean
from experiments.training.running import make_trainer, new_run_id, take_up
from experiments.training.trainer import NotFinite, Trainer


class Stack:
    """Models of one shape whose gradients are computed together.

    models:    from now on their weights are views of the stacked ones: who changes one changes both.
    objective: any of theirs: they have the same losses.
    """

    def __init__(self, models: Sequence[Any], objective: Objective[Any, Any]) -> None:
        self._models, self._objective = models, objective
        self._shared = copy.deepcopy(models[0])
        self._shared.backend = "eager"
        self._buffers = {
            name: torch.stack([model.get_buffer(name) for model in models]) for name, _ in self._shared.named_buffers()
        }
        self._weights: dict[str, Tensor] = {}
        for name, _ in self._shared.named_parameters():
            own = [model.get_parameter(name) for model in models]
            self._weights[name] = torch.stack([parameter.data for parameter in own]).requires_grad_()
            for parameter, view in zip(own, self._weights[name].detach(), strict=True):
                parameter.data = view

    def backpropagate(self, batches: Sequence[Any]) -> list[dict[str, Tensor]]:
        """Give every model's weights the gradient of its own batch; returns what each counted, see Piece."""
        losses, counts = torch.vmap(self._piece)(self._weights, self._buffers, *self._objective.alike(batches))
        losses.sum().backward()
        for name, weight in self._weights.items():
            if weight.grad is not None:
                for model, gradient in zip(self._models, weight.grad, strict=True):
                    model.get_parameter(name).grad = gradient
                weight.grad = None
        return [{name: count[place] for name, count in counts.items()} for place in range(len(batches))]

    def _piece(self, weights: dict[str, Tensor], buffers: dict[str, Tensor], *batch: Tensor) -> tuple[Tensor, Any]:
        piece = self._objective.piece(lambda *input: functional_call(self._shared, (weights, buffers), input), *batch)
        return piece.loss, piece.counts


def train_stacked(configs: Sequence[Any], title: str) -> set[int]:
    """Train a run of each configuration to its end, all but the tests; returns the seeds that failed.

    configs: equal but for seed, out and resume, which say where each run is kept.
    Raises   Stopped after Ctrl-C or SIGTERM, with every checkpoint written.
    """
    data = domain_of(configs[0]).possible_data(configs[0])
    with ExitStack() as stack:
        folders = [stack.enter_context(RunFolder.at_work(one)) for one in configs]
        pairs = zip(configs, folders, strict=True)
        every = [make_trainer(one, folder, new_run_id(folder), data) for one, folder in pairs]
        trainers = [trainer for trainer in every if take_up(trainer.folder, trainer) is not None]
        files = {trainer: stack.enter_context(MetricsFile(trainer.folder.metrics)) for trainer in trainers}
        seen = sum(trainer.sequences for trainer in trainers)
        progress = stack.enter_context(Progress(seen, title=title, start=seen))
        return _Together(trainers, files, progress).train()


@working("measuring what is faster")
def gain(objective: Objective[Any, Any], generator: torch.Generator, seeds: int) -> float:
    """How many times as fast the gradients of so many seeds are stacked as one after another, measured here."""
    models = [objective.new_model() for _ in range(seeds)]
    batches = [objective.draw(model, 0, generator) for model in models]

    def alone() -> None:
        for model, batch in zip(models, batches, strict=True):
            for piece in objective.pieces(model, batch):
                piece.backward()

    stack = Stack(models, objective)
    slow, fast = (min(_seconds(run) for _ in range(3)) for run in (alone, lambda: stack.backpropagate(batches)))
    return slow / fast


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


class _Told(Progress):
    """What one of several seeds tells: its messages, with its seed, above the bar of all."""

    def __init__(self, shared: Progress, seed: int) -> None:
        super().__init__(0)
        self._shared, self._seed = shared, seed

    def message(self, text: str) -> None:
        self._shared.message(f"seed {self._seed}: {text}")

    def update(self, row: Mapping[str, Any], sequences: int, *, state: str = "") -> None:
        """Nothing: the bar is that of all seeds."""


class _Together:
    """Trainers whose steps are taken together, until each has come to its own end."""

    def __init__(
        self, trainers: Sequence[Trainer[Any]], files: dict[Trainer[Any], MetricsFile], progress: Progress
    ) -> None:
        self._trainers, self._files, self._progress = trainers, files, progress
        self._told = {trainer: _Told(progress, trainer.config.run.seed) for trainer in trainers}
        self._failed: set[int] = set()

    def train(self) -> set[int]:
        """The seeds that failed; raises Stopped, with every checkpoint written."""
        left = [trainer for trainer in self._trainers if trainer.step < trainer.last_step]
        self._started = {trainer: time.monotonic() - trainer.seconds for trainer in left}
        with deferred_signals() as stop:
            while left:
                together, stack = left, Stack([trainer.model for trainer in left], left[0].objective)
                while left == together:
                    left = self._step(together, stack)
                    if stop.number is not None:
                        for trainer in left:
                            trainer.save()
                        raise Stopped(stop.number)
        return self._failed

    def _step(self, trainers: list[Trainer[Any]], stack: Stack) -> list[Trainer[Any]]:
        """One update of each; returns those that go on."""
        self._progress.begin(trainers[0].step + 1, sum(trainer.sequences for trainer in self._trainers))
        batches = [trainer.begin() for trainer in trainers]
        with ExitStack() as noise:
            for trainer in trainers:
                noise.enter_context(trainer.noisy())
            counted = stack.backpropagate(batches)
        left = []
        for trainer, counts in zip(trainers, counted, strict=True):
            try:
                trainer.end(counts, self._told[trainer])
            except NotFinite as trouble:
                self._files[trainer].append(trouble.row)
                self._told[trainer].message(f"error: {trouble}")
                self._failed.add(trainer.config.run.seed)
                continue
            trainer.seconds = time.monotonic() - self._started[trainer]
            trainer.record(self._files[trainer], Tracker(trainer.run_id), self._told[trainer])
            if trainer.step < trainer.last_step:
                left.append(trainer)
            if trainer.step % trainer.config.run.checkpoint_every == 0 or trainer.step == trainer.last_step:
                trainer.save()
        self._progress.total_sequences = sum(one.last_step * one.config.training.batch_size for one in self._trainers)
        row = {"step": trainers[0].step, "train/loss": mean([float(counts["loss"]) for counts in counted])}
        self._progress.update(row, sum(trainer.sequences for trainer in self._trainers))
        return left
