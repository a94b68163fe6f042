"""What is timed: a model of some sizes, random data for it, and one step of training or inference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from experiments.base.files import UserError
from experiments.base.seeds import drawing_weights, generator_for
from memnet import GRU, LSTM, NTM, EntNet, MemN2N
from memnet.cells import ControllerName
from tasks import TASKS

ModelName: TypeAlias = Literal["ntm", "memn2n", "entnet", "lstm", "gru"]
Mode: TypeAlias = Literal["train", "infer"]
Number: TypeAlias = Literal["float32", "float64"]

# The sizes that may have several values, in words.
SIZES = {"batch_size": "batch size", "length": "length", "num_slots": "slots", "seeds": "seeds"}
# Steps or sentences, and slots, where the options name none: a copy of twenty vectors, and published sizes.
USUAL_LENGTHS: dict[ModelName, int] = {"ntm": 41, "memn2n": 50, "entnet": 70, "lstm": 41, "gru": 41}
USUAL_SLOTS: dict[ModelName, int] = {"ntm": 128, "memn2n": 50, "entnet": 20}
# Units of an LSTM or GRU, memory or not.
_HIDDEN_SIZE = 100
# Words of all stories and of a sentence, about those of bAbI.
_VOCABULARY, _WORDS = 160, 7


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing to time.

    batch_size: rows of each seed.
    length:     steps of a sequence, or sentences of a story.
    num_slots:  slots of an NTM or EntNet, sentences that a MemN2N keeps, None for a model without memory.
    seeds:      models of these sizes that are each given a batch of their own.
    """

    model: ModelName
    mode: Mode
    batch_size: int
    length: int
    num_slots: int | None
    seeds: int
    controller: ControllerName
    dtype: Number
    device: str

    def __str__(self) -> str:
        return ", ".join([self.name, *self.sizes().values()])

    @property
    def name(self) -> str:
        """What is timed, without the sizes."""
        return f"ntm-{self.controller} {self.mode}" if self.model == "ntm" else f"{self.model} {self.mode}"

    @property
    def unit(self) -> str:
        """What a length counts."""
        return "sentences" if self.model in ("memn2n", "entnet") else "steps"

    def sizes(self) -> dict[str, str]:
        """The sizes in words, by field, as far as there is something to say."""
        words = {"batch_size": f"batch {self.batch_size}", "length": f"{self.length:,} {self.unit}"}
        if self.num_slots is not None:
            words["num_slots"] = f"{self.num_slots:,} slots"
        if self.seeds > 1:
            words["seeds"] = f"{self.seeds} seeds"
        return words


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
        except (ValueError, RuntimeError) as error:
            raise UserError(f"no such model: {str(error).splitlines()[0]}") from None
    return model.to(case.device, getattr(torch, case.dtype))


def _make_model(case: Case) -> nn.Module:
    task = TASKS["copy"]()
    sizes = (task.input_size, task.output_size)
    if case.model == "lstm":
        return LSTM(*sizes, hidden_size=_HIDDEN_SIZE)
    if case.model == "gru":
        return GRU(*sizes, hidden_size=_HIDDEN_SIZE)
    assert case.num_slots is not None
    if case.model == "ntm":
        return NTM(*sizes, controller=case.controller, hidden_size=_HIDDEN_SIZE, num_slots=case.num_slots)
    model: MemN2N | EntNet
    if case.model == "memn2n":
        model = MemN2N(_VOCABULARY, max_words=_WORDS, max_sentences=case.num_slots)
    else:
        model = EntNet(_VOCABULARY, max_words=_WORDS, num_slots=case.num_slots, max_sentences=case.length)
    # As our training does: the stories come from here.
    model.validate = False
    return model


def make_example(case: Case) -> Example:
    """Random bits, or stories of random words, for the batches of all seeds."""
    generator = generator_for("train", 0)
    rows = case.seeds * case.batch_size
    if case.model in ("memn2n", "entnet"):
        shapes = ((rows, case.length, _WORDS), (rows, _WORDS), (rows,))
        parts = [torch.randint(1, _VOCABULARY, shape, generator=generator) for shape in shapes]
    else:
        task = TASKS["copy"]()
        widths = (task.input_size, task.output_size)
        parts = [torch.randint(2, (rows, case.length, width), generator=generator) for width in widths]
        parts = [part.to(getattr(torch, case.dtype)) for part in parts]
    *inputs, target = (part.to(case.device) for part in parts)
    return Example(tuple(inputs), target)


def train_step(model: nn.Module, example: Example) -> None:
    """Forward, summed cross-entropy, backward; no optimiser."""
    model.zero_grad()
    logits = _logits(model(*example.inputs))
    loss = functional.binary_cross_entropy_with_logits if logits.dim() == 3 else functional.cross_entropy
    loss(logits, example.target, reduction="sum").backward()


def inference(model: nn.Module, example: Example) -> None:
    """Forward alone."""
    with torch.no_grad():
        model(*example.inputs)


STEPS: dict[Mode, Callable[[nn.Module, Example], None]] = {"train": train_step, "infer": inference}


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
