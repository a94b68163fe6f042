"""What is timed: a model of some sizes, random data for it, and one step of training or inference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache, partial
from inspect import formatannotation
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from experiments.base.files import UserError
from experiments.base.memory import no_model
from experiments.base.names import nearest
from experiments.base.seeds import drawing_weights, generator_for
from experiments.config.fields import fitted, option
from experiments.config.options import options_of, sizes_of
from experiments.config.registry import DOMAINS, Model, at
from experiments.training.updates import Updates
from memnet.abilities import TrainsStraight
from memnet.straight import Straight
from tasks import TASKS

Mode: TypeAlias = Literal["train", "infer", "whole-step"]
Number: TypeAlias = Literal["float32", "float64"]

# The sizes that may have several values, in words.
SIZES = {"batch_size": "batch size", "length": "length", "num_slots": "slots", "seeds": "seeds"}
# Steps where the options name none: a copy of twenty vectors. Units of a model that has some.
_STEPS, _HIDDEN_SIZE = 41, 100
# Words of all stories and of a sentence, about those of bAbI.
_VOCABULARY, _WORDS = 160, 7
# What is told a constructor that asks for it.
_COPY = TASKS["copy"]()
_TOLD = {
    "input_size": _COPY.input_size,
    "output_size": _COPY.output_size,
    "vocab_size": _VOCABULARY,
    "max_words": _WORDS,
}


@cache
def known_models() -> dict[str, Model]:
    """The models of sequences and of stories, by name: all whose constructors ask for no more than can be told here."""
    own = {**DOMAINS["stories"].models, **DOMAINS["sequences"].models}
    return {name: model for name, model in own.items() if sizes_of(at(model.place)) <= set(_TOLD)}


class Sizes(NamedTuple):
    """What a model's constructor says of it.

    length:      sentences of the stories that it reads, or steps of the sequences, where nobody says how many.
    num_slots:   of its memory, or sentences that it keeps; None where it has neither.
    slots:       the option that num_slots is.
    unit:        what a length counts.
    by_step:     whether it goes step by step, so that its memory grows with the length.
    options:     what there is to choose: a controller, num_reads, slot_size and so on.
    """

    length: int
    num_slots: int | None
    slots: str
    unit: Literal["steps", "sentences"]
    by_step: bool
    options: frozenset[str]


@cache
def sizes_of_model(name: str) -> Sizes:
    """What the constructor of a known model says; UserError for a model that there is not."""
    if name not in known_models():
        raise UserError(f"benchmark: models cannot be {name!r}{nearest(name, known_models())}")
    model = known_models()[name]
    make, reads = at(model.place), "vocab_size" in sizes_of(at(model.place))
    options = {name: one.default for name, one in options_of(make).items() if name not in model.fixed}
    slots = next((one for one in ("num_slots", "max_sentences") if one in options and one not in model.sizes), "")
    count = options.get(slots)
    if slots and count is None:
        # The constructor chooses.
        parts = make(**{size: _TOLD[size] for size in sizes_of(make)}).modules()
        count = next(getattr(part, slots) for part in parts if hasattr(part, slots))
    length = options.get("max_sentences", _STEPS) if reads else _STEPS
    unit: Literal["steps", "sentences"] = "sentences" if reads else "steps"
    # See memnet.abilities.GoesByStep.
    by_step = hasattr(make, "checkpoint_steps")
    return Sizes(length, count, slots, unit, by_step, frozenset(options))


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing to time.

    batch_size: rows of each seed.
    length:     steps of a sequence, or sentences of a story.
    num_slots:  of its memory, or sentences that it keeps, None for a model with neither.
    seeds:      models of these sizes that are each given a batch of their own.
    num_reads:  read heads, None for the constructor's own.
    slot_size:  columns of the memory, None for the constructor's own.
    options:    further options of the constructor, or sizes that it asks for, by name.
    """

    model: str
    mode: Mode
    batch_size: int
    length: int
    num_slots: int | None
    seeds: int
    num_reads: int | None
    slot_size: int | None
    controller: str
    dtype: Number
    device: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return ", ".join([self.name, *self.sizes().values()])

    @property
    def name(self) -> str:
        """What is timed, without the sizes."""
        controller = f"-{self.controller}" if "controller" in sizes_of_model(self.model).options else ""
        return f"{self.model}{controller} {self.mode}"

    @property
    def unit(self) -> str:
        """What a length counts."""
        return sizes_of_model(self.model).unit

    def sizes(self) -> dict[str, str]:
        """The sizes in words, by field, as far as there is something to say."""
        words = {"batch_size": f"batch {self.batch_size}", "length": f"{self.length:,} {self.unit}"}
        memory = {"num_slots": "slots", "num_reads": "read heads", "slot_size": "columns"}
        words |= {name: f"{size:,} {of}" for name, of in memory.items() if (size := getattr(self, name)) is not None}
        if self.seeds > 1:
            words["seeds"] = f"{self.seeds} seeds"
        return words | {name: f"{name.replace('_', ' ')} {value}" for name, value in self.options}

    def check(self) -> None:
        """UserError for options that the constructor has not, or of another type, or which its name decides."""
        known = known_models()[self.model]
        make = at(known.place)
        kinds = {name: one.kind for name, one in options_of(make).items()} | dict.fromkeys(sizes_of(make), int)
        own = sizes_of_model(self.model)
        taken = {*known.fixed, *known.sizes, own.slots, "controller", "num_reads", "slot_size"}
        free = sorted({*kinds} - taken)
        for name, value in self.options:
            if name in {own.slots, "controller", "num_reads", "slot_size"}:
                raise UserError(f"--set {name}: that is {option('num_slots' if name == own.slots else name)} here")
            if name not in free:
                raise UserError(
                    f"--set {name}: {self.model} has no such option{nearest(name, free)}: there are {', '.join(free)}"
                )
            try:
                fitted(kinds[name], value)
            except ValueError:
                expected = formatannotation(kinds[name])
                raise UserError(f"--set {name}={value}: expected {expected} for {self.model}") from None


class Example(NamedTuple):
    """Arguments of a model and what it should answer, every tensor with the batch in front."""

    inputs: tuple[Tensor, ...]
    target: Tensor

    def split(self, parts: int) -> list[Example]:
        """Equal parts of the batch."""
        columns = [tensor.chunk(parts) for tensor in self.inputs]
        return [Example(inputs, target) for *inputs, target in zip(*columns, self.target.chunk(parts), strict=True)]  # type: ignore[arg-type]


def make_model(case: Case, seed: int) -> nn.Module:
    """An untrained model; UserError for sizes that cannot be."""
    with drawing_weights(seed):
        try:
            model = _make_model(case)
        except (ValueError, RuntimeError, MemoryError, OverflowError) as error:
            raise UserError(no_model(error)) from None
    return model.to(case.device, getattr(torch, case.dtype))


def _make_model(case: Case) -> nn.Module:
    known, own = known_models()[case.model], sizes_of_model(case.model)
    make = at(known.place)
    chosen: dict[str, Any] = {own.slots: case.num_slots, "hidden_size": _HIDDEN_SIZE, "controller": case.controller}
    # A story may be longer than those of the training where the constructor has no use for their length.
    chosen |= dict.fromkeys(known.sizes, case.length)
    chosen |= {size: getattr(case, size) for size in ("num_reads", "slot_size") if getattr(case, size) is not None}
    chosen |= dict(case.options)
    options = {name: value for name, value in chosen.items() if name in options_of(make) and name not in known.fixed}
    told = {size: chosen.get(size, _TOLD[size]) for size in sizes_of(make)}
    model: Any = make(**told, **known.fixed, **options)
    if hasattr(model, "validate"):
        # As our training does: the stories come from here.
        model.validate = False
    return cast(nn.Module, model)


class Peer(nn.Module):
    """torch's own module of the same equations and sizes, with a linear readout."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        known = known_models()[case.model]
        sizes: dict[str, Any] = {**_TOLD, "hidden_size": _HIDDEN_SIZE, **known.fixed, **dict(case.options)}
        options = {name: sizes[name] for name in (*known.fixed, "input_size", "hidden_size", *dict(case.options))}
        self.network = at(known.peer)(**options | {"batch_first": True})
        self.readout = nn.Linear(sizes["hidden_size"], sizes["output_size"])

    def forward(self, input: Tensor) -> tuple[Tensor, Any]:
        output, state = self.network(input)
        return self.readout(output), state


def make_peer(case: Case) -> nn.Module | None:
    """torch's own; None where it has none with these options."""
    if not known_models()[case.model].peer:
        return None
    try:
        peer = Peer(case)
    except TypeError:
        return None
    return peer.to(case.device, getattr(torch, case.dtype))


def make_example(case: Case) -> Example:
    """Random bits, or stories of random words, for the batches of all seeds."""
    sizes = _TOLD | dict(case.options)
    generator = generator_for("train", 0)
    rows = case.seeds * case.batch_size
    if case.unit == "sentences":
        shapes = ((rows, case.length, _WORDS), (rows, _WORDS), (rows,))
        parts = [torch.randint(1, sizes["vocab_size"], shape, generator=generator) for shape in shapes]
    else:
        widths = (sizes["input_size"], sizes["output_size"])
        parts = [torch.randint(2, (rows, case.length, width), generator=generator) for width in widths]
        parts = [part.to(getattr(torch, case.dtype)) for part in parts]
    *inputs, target = (part.to(case.device) for part in parts)
    return Example(tuple(inputs), target)


def train_step(model: nn.Module, example: Example) -> None:
    """Forward, summed cross-entropy, backward; no optimiser."""
    model.zero_grad()
    _backpropagate(model, example)


def _backpropagate(model: nn.Module, example: Example, straight: Straight | None = None) -> None:
    """straight: what has gradients without a graph, as in training; there losses are the mean over rows."""
    if straight is not None:
        (input,) = example.inputs
        every = torch.ones(example.target.shape[:2], dtype=torch.bool)
        if straight.lose(input, example.target, every) is not None:
            straight.backward()
            return
    logits = _logits(model(*example.inputs))
    loss = functional.binary_cross_entropy_with_logits if logits.dim() == 3 else functional.cross_entropy
    loss(logits, example.target, reduction="sum").backward()


def inference(model: nn.Module, example: Example) -> None:
    """Forward alone."""
    with torch.no_grad():
        model(*example.inputs)


def whole_step(model: nn.Module) -> Callable[[Example], None]:
    """A step of training as the trainer takes it: the gradient, a limit on its norm, the update of the weights."""
    updates = Updates(learning_rate=1e-4, clip_norm=10.0)
    optimizer = updates.make_optimizer(model)
    straight = model.straight() if isinstance(model, TrainsStraight) else None

    def step(example: Example) -> None:
        optimizer.zero_grad()
        _backpropagate(model, example, straight)
        updates.clip(optimizer.gather())
        optimizer.step()

    return step


# Of a model a function that takes its step on an example.
STEPS: dict[Mode, Callable[[nn.Module], Callable[[Example], None]]] = {
    "train": lambda model: partial(train_step, model),
    "infer": lambda model: partial(inference, model),
    "whole-step": whole_step,
}


class Stacked(nn.Module):
    """Several models of one shape as one computation by torch.func, rows of one model after those of another."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        # In a tuple, so that its parameters are not this module's.
        self.one, self.count = (models[0],), len(models)
        self.names = [name for name, _ in models[0].named_parameters()]
        self.parts = nn.ParameterList(
            torch.stack([model.get_parameter(name).detach() for model in models]) for name in self.names
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        own = [tensor.unflatten(0, (self.count, -1)) for tensor in inputs]
        parameters = dict(zip(self.names, self.parts, strict=True))
        # Noise of time differs from model to model.
        logits: Tensor = torch.vmap(self._call, randomness="different")(parameters, *own)
        return logits.flatten(0, 1)

    def _call(self, parameters: dict[str, Tensor], *inputs: Tensor) -> Tensor:
        return _logits(functional_call(self.one[0], parameters, inputs))


def _logits(result: Any) -> Tensor:
    """Without the state that sequence models return beside them."""
    logits: Tensor = result[0] if isinstance(result, tuple) else result
    return logits
