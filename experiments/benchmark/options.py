"""What `benchmark` can be asked, and the cases that it then has."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, Literal

import tyro

from experiments.base.files import UserError
from experiments.benchmark.cases import SIZES, Case, Mode, Number, known_models, sizes_of_model
from experiments.benchmark.variants import Way
from experiments.config.fields import check_least, check_positive, option
from experiments.figures.style import is_figure
from memnet.cells import ControllerName

# Ways to run whose memory is that of something else.
NO_MEMORY = {"stacked", "graph", "torch"}

MOST_SECONDS = 3600


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions:
    """Time one step of models: forward and backward in training, with or without the update, or forward alone.

    All ways to run a model are timed side by side in rounds, and so is a plain matrix product, the machine's peak.
    The floor is the time that the model's floating-point operations would take at that peak: those of its matrix
    products, and one for each number that any other arithmetic goes through.

    The sizes take several values. The first of each is the base; each further value is one more case, with the other
    sizes at their base.
    """

    models: tyro.conf.Positional[tuple[str, ...]] = ()
    """Models of sequences or stories, by the names that train has for them; none for all."""
    train: bool = False
    """Time a training step without its update (what is timed if nothing is asked for)."""
    infer: bool = False
    """Time inference."""
    whole_step: bool = False
    """Time a training step with its update: the limit on the gradient's norm, and Adam."""
    batch_size: tuple[int, ...] = (32,)
    """Sequences or stories at a time."""
    length: tuple[int, ...] = ()
    """Steps of the sequences (a copy of n vectors has 2n + 1) or sentences of the stories; none for 41, or as many as
    the model reads."""
    num_slots: tuple[int, ...] = ()
    """Slots of a memory, or sentences that a model keeps; none for the constructor's own."""
    num_reads: int | None = None
    """Read heads of a memory that has some; none for the constructor's own."""
    slot_size: int | None = None
    """Columns of a memory of slots; none for the constructor's own."""
    seeds: tuple[int, ...] = (1,)
    """Models trained with a batch each, one after the other, or stacked into one computation."""
    controller: ControllerName = "lstm"
    """Of a model that has one."""
    backend: tuple[Way, ...] = ()
    """Ways to run beside eager: compile, native (an operator for the CPU), chunked (linear memories), auto, stacked
    (the seeds as one computation by torch.func), graph (a step captured on a CUDA device), torch (torch.nn's own of the
    same equations); none for all that apply but the last."""
    set: tuple[str, ...] = ()
    """Further options of the models, as train has them: hidden_size=512 num_layers=3 skip=true."""
    seconds: float = 5.0
    """How long to time each case; at most an hour."""
    memory: bool = False
    """Measure the memory of a training step instead, its peak and what each step of the sequence has the backward pass
    keep, each in a process of its own."""
    json: bool = False
    """Print JSON instead of a table."""
    plot: str | None = None
    """A PNG, PDF or SVG file for a picture of how time, or memory, grows with the sizes that have several values."""
    slots_plot: str | None = None
    """A PNG, PDF or SVG file for one picture of all models over the values of --num-slots: time, and memory kept for
    the backward pass, of one step of the sequence in training. One table tells them. A model goes no further than slots
    with which a training step should take 10 s, or keep 8 GiB."""
    threads: int = 1
    """CPU threads."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to compute."""
    dtype: Number = "float32"
    """Type of all numbers."""

    @property
    def modes(self) -> list[Mode]:
        """What is timed."""
        asked: dict[Mode, bool] = {"train": self.train, "infer": self.infer, "whole-step": self.whole_step}
        return [mode for mode, wanted in asked.items() if wanted] or ["train"]

    def check(self) -> None:
        """UserError for what cannot be."""
        for name in ("batch_size", "seeds"):
            if not getattr(self, name):
                raise UserError(f"{option(name)} needs at least one value")
        check_least(self, 1, *SIZES, "num_reads", "slot_size", "threads")
        check_positive(self, "seconds")
        if self.seconds > MOST_SECONDS:
            raise UserError(f"--seconds must be at most {MOST_SECONDS}, not {self.seconds:g}")
        self.settings()
        if self.num_slots and self.models and all(sizes_of_model(name).num_slots is None for name in self.models):
            raise UserError(f"--num-slots {self.num_slots[0]}: {' and '.join(self.models)} has no memory")
        if self.memory:
            self._check_memory()
        if self.slots_plot is not None:
            self._check_over_slots(Path(self.slots_plot))
        if self.plot is not None:
            self._check_plot(Path(self.plot))

    def settings(self) -> tuple[tuple[str, Any], ...]:
        """The options that --set names, with their values; UserError for what is none."""
        found: dict[str, Any] = {}
        for one in self.set:
            name, equals, text = one.partition("=")
            if not (name.isidentifier() and equals and text):
                raise UserError(f"--set {one}: expected NAME=VALUE, such as hidden_size=512")
            if name in found:
                raise UserError(f"--set {one}: {name} is set twice")
            try:
                found[name] = json.loads(text if text.lower() not in ("true", "false") else text.lower())
            except ValueError:
                found[name] = text
            if isinstance(found[name], float) and not math.isfinite(found[name]):
                raise UserError(f"--set {one}: expected a finite number")
        return tuple(found.items())

    def _check_memory(self) -> None:
        if self.infer or self.whole_step or self.seeds != (1,):
            raise UserError("--memory is of a training step of one model: without --infer, --whole-step and --seeds")
        if whole := [name for name in self.models if not sizes_of_model(name).by_step]:
            raise UserError(f"--memory is for models that go step by step, not for {whole[0]}")
        if unfit := set(self.backend) & NO_MEMORY:
            raise UserError(f"--memory is not measured for --backend {min(unfit)}")

    def _check_over_slots(self, path: Path) -> None:
        _check_figure("--slots-plot", path)
        if self.memory or self.plot is not None or self.modes != ["train"] or self.seeds != (1,):
            raise UserError(
                "--slots-plot is of training one model: without --memory, --plot, --infer, --whole-step, --seeds"
            )
        if len(self.batch_size) > 1 or len(self.length) > 1 or len(set(self.num_slots)) < 2:
            raise UserError("--slots-plot needs several --num-slots, and one --batch-size and --length")
        known = {name: sizes_of_model(name) for name in self.models}
        if other := [name for name, own in known.items() if not own.by_step or "slot_size" not in own.options]:
            raise UserError(
                f"--slots-plot is for models with a memory of slots that go step by step, not for {other[0]}"
            )
        if not self.models:
            raise UserError("--slots-plot needs models, such as sam ntm")
        if unfit := set(self.backend) & NO_MEMORY:
            raise UserError(f"--slots-plot is not measured for --backend {min(unfit)}")

    def _check_plot(self, path: Path) -> None:
        _check_figure("--plot", path)
        if all(len(set(getattr(self, name))) < 2 for name in SIZES):
            raise UserError("--plot needs a size with several values, such as --length 10 20 40 80")

    def cases(self) -> list[Case]:
        """What is to be measured, no case twice; for every model and mode the base first."""
        models = self.models or [name for name in known_models() if not self.memory or sizes_of_model(name).by_step]
        return list(dict.fromkeys(case for model in models for mode in self.modes for case in self._star(model, mode)))

    def _star(self, model: str, mode: Mode) -> list[Case]:
        own = sizes_of_model(model)
        values: dict[str, tuple[int, ...]] = {
            "batch_size": self.batch_size,
            "length": self.length or (own.length,),
            "num_slots": () if own.num_slots is None else self.num_slots or (own.num_slots,),
            "seeds": self.seeds,
        }
        base = Case(
            model=model,
            mode=mode,
            batch_size=values["batch_size"][0],
            length=values["length"][0],
            num_slots=next(iter(values["num_slots"]), None),
            seeds=values["seeds"][0],
            num_reads=self.num_reads if "num_reads" in own.options else None,
            slot_size=self.slot_size if "slot_size" in own.options else None,
            controller=self.controller,
            dtype=self.dtype,
            device=self.device,
            options=self.settings(),
        )
        base.check()
        grown = (dataclasses.replace(base, **{name: value}) for name in SIZES for value in values[name][1:])  # type: ignore[arg-type]
        return [base, *grown]


def _check_figure(name: str, path: Path) -> None:
    """UserError where no picture can be written to a path."""
    if not is_figure(path):
        raise UserError(f"{name} must name a .png, .pdf or .svg file, not {path.name!r}")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{name} {path}: there is no folder {path.parent}")
