"""From a configuration to a task and a model."""

import torch

from experiments.base.files import UserError
from experiments.base.memory import no_model
from experiments.base.names import nearest
from experiments.config.models import made
from experiments.config.parts import TrainConfig
from memnet import SequenceModule
from tasks import TASKS, Task


def make_task(name: str) -> Task:
    """A task by name; UserError with the nearest name for an unknown one."""
    if name not in TASKS:
        raise UserError(f"no task is called {name!r}{nearest(name, TASKS)}")
    return TASKS[name]()


def make_model(config: TrainConfig, task: Task) -> SequenceModule:
    """The untrained model of a configuration, drawn from torch's global generator.

    UserError for sizes that cannot be.
    """
    try:
        model: SequenceModule = made(config, input_size=task.input_size, output_size=task.output_size)
    except (ValueError, RuntimeError) as error:
        raise UserError(no_model(error)) from None
    return model


def check_model(config: TrainConfig, task: Task) -> None:
    """UserError for a model that cannot be, or has not the backend that is asked for."""
    model = make_model(config, task)
    try:
        model.backend = config.backend
    except ValueError as error:
        raise UserError(str(error)) from None


def training_lengths(config: TrainConfig, task: Task) -> tuple[int, int]:
    """Shortest and longest training length; UserError where they cross or the task has no such length."""
    low = task.length_range[0] if config.min_length is None else config.min_length
    high = task.length_range[1] if config.max_length is None else config.max_length
    if low > high:
        raise UserError(f"the shortest training length, {low}, is above the longest, {high}")
    try:
        task.sample(1, length=low, generator=torch.Generator())
    except ValueError as error:
        raise UserError(f"{task.name}: {error}") from None
    return low, high


def backend_line(model: SequenceModule) -> str:
    """Which backend the last call ran and, of "auto", why it was not the fastest."""
    refusal = model.backend_refusal
    return f"backend: {model.backend_used}" + (f" (not native: {refusal})" if refusal else "")
