"""From a configuration to a model."""

from collections.abc import Callable
from inspect import formatannotation
from typing import Any, TypeAlias

import torch

from experiments.base.files import UserError
from experiments.config.fields import fitted
from experiments.config.models import made
from experiments.config.plugins import is_place, told
from experiments.domains.sequences.options import SequenceConfig
from experiments.training.showing import sequences_in
from memnet import SequenceModule, TokenReader
from memnet.readers import Embedding
from tasks import Batch

# A model of sequences, fed with channels or with tokens.
SequenceModel: TypeAlias = SequenceModule | TokenReader
# What a task says of itself and nobody else could, and its form.
_TO_BRING: dict[str, Any] = {
    "name": str,
    "length_unit": str,
    "length_range": tuple[int, int],
    "test_lengths": tuple[int, ...],
    "input_channels": tuple[str, ...],
    "output_channels": tuple[str, ...],
}


def make_model(config: SequenceConfig) -> SequenceModel:
    """The untrained model of a configuration, drawn from torch's global generator.

    UserError for sizes that cannot be.
    """
    model: SequenceModel = made(config, **config.learned.sizes)
    return model


def core(model: SequenceModel) -> SequenceModule:
    """What goes step by step: the model itself, or what it feeds with tokens."""
    return sequences_in(model)[0]


def read_tokens(
    make: Callable[[int, int], SequenceModule],
    vocab_size: int,
    num_classes: int,
    *,
    embedding: Embedding = "learned",
    embedding_size: int = 32,
) -> TokenReader:
    """A model of sequences reads tokens.

    make: makes it of the sizes of its input and output.
    embedding: learned vectors for the tokens, one-hot ones, or tied ones, by which they are answered, too.
    embedding_size: learned and tied vectors: their width; of tied ones that of the model's last layer.
    """
    width = vocab_size if embedding == "one-hot" else embedding_size
    return TokenReader(make(width, num_classes), vocab_size, embedding=embedding)


def training_lengths(config: SequenceConfig) -> tuple[int, int]:
    """Shortest and longest training length; UserError where they cross."""
    low, high = config.learned.lengths_to_train
    low = low if config.training.min_length is None else config.training.min_length
    high = high if config.training.max_length is None else config.training.max_length
    if low > high:
        raise UserError(f"the shortest training length, {low}, is above the longest, {high}")
    return low, high


def check_task(config: SequenceConfig) -> None:
    """UserError for a task that cannot be trained on: what it tells of itself, its lengths, a batch of it."""
    _check_brought(config)
    low, high = training_lengths(config)
    for length in (low, high, config.training.valid_length):
        if length is not None:
            _check_sample(config, length)
    # No training is to be lost by its test.
    for length in {*config.learned.lengths_to_test(high), config.learned.longest_test}:
        _check_sample(config, length)


def _check_brought(config: SequenceConfig) -> None:
    """UserError for a task that lacks what only it can tell, or tells it in another form."""
    for name, kind in _TO_BRING.items():
        try:
            value = getattr(config.learned, name)
        except AttributeError:
            raise UserError(f"{config.task.name} has no {name}: expected all that tasks.Task names") from None
        except ValueError as error:  # of data that is read, or made, once it is asked for
            raise UserError(f"{config.task.short}: {error}") from None
        try:
            empty = not fitted(kind, value)
        except ValueError:
            empty = True
        if empty:
            expected = f"{formatannotation(kind)} that is not empty"
            raise UserError(f"{config.task.name}: {name} is {value!r}, expected {expected}")


def _check_sample(config: SequenceConfig, length: int) -> None:
    """UserError for a length that the task has not, or a batch that is none."""
    task, name = config.learned, config.task.short
    try:
        batch = task.sample(2, length=length, generator=torch.Generator())
    except (Exception, SystemExit) as error:
        if isinstance(error, ValueError) or not is_place(config.task.name):
            raise UserError(f"{name}: {error}") from None
        raise UserError(f"{config.task.name}: {told(error)}") from None
    if not all(isinstance(getattr(batch, field, None), torch.Tensor) for field in Batch._fields):
        raise UserError(f"{name}: sample gives {batch!r}, expected a tasks.Batch of tensors")
    try:
        batch = task.channels(batch)
    except ValueError as error:
        raise UserError(f"{name}: sample gives what is no batch of it: {error}") from None
    shapes = {field: tuple(getattr(batch, field).shape) for field in Batch._fields}
    time = shapes["input"][1] if len(shapes["input"]) > 1 else 0
    expected = {"input": (2, time, task.input_size), "target": (2, time, task.output_size), "mask": (2, time)}
    for field, shape in (expected | {"lengths": (2,)}).items():
        if shapes[field] != shape:
            raise UserError(f"{name}: sample gives {field} of shape {shapes[field]}, expected {shape} of two sequences")
    if batch.mask.dtype != torch.bool:
        raise UserError(f"{name}: sample gives a mask of {batch.mask.dtype}, expected torch.bool")


def backend_line(model: Any) -> str:
    """Which backend the last call ran and, of "auto", why it was not the fastest; empty of a model without any."""
    used, refusal = getattr(model, "backend_used", None), getattr(model, "backend_refusal", None)
    if used is None:
        return ""
    return f"backend: {used}" + (f" (not native: {refusal})" if refusal else "")
