"""From a configuration to a task and a model."""

from typing import Any, cast

import torch

from experiments.base.files import UserError
from experiments.base.memory import no_model
from experiments.base.names import nearest
from experiments.config.fields import gate_options
from experiments.config.parts import TrainConfig
from memnet import GRU, LSTM, NTM, RNN, SequenceModule
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
        return _make_ntm(config, task) if config.model == "ntm" else _make_recurrent(config, task)
    except (ValueError, RuntimeError) as error:
        raise UserError(no_model(error)) from None


def check_model(config: TrainConfig, task: Task) -> None:
    """UserError for a model that cannot be, or has not the backend that is asked for."""
    model = make_model(config, task)
    try:
        model.backend = config.backend
    except ValueError as error:
        raise UserError(str(error)) from None


def _make_ntm(config: TrainConfig, task: Task) -> NTM:
    return NTM(
        task.input_size,
        task.output_size,
        controller=config.controller,
        hidden_size=config.hidden_size,
        num_layers=config.num_layers,
        num_slots=config.num_slots,
        slot_size=config.slot_size,
        num_reads=config.num_reads,
        num_writes=config.num_writes,
        shift_range=config.shift_range,
        addressing=config.addressing,
        read_order=config.read_order,
        memory_init=config.memory_init,
        trainable_memory=config.trainable_memory,
        weights_init=config.weights_init,
        learned_initial_state=config.learned_initial_state,
        norm_floor=config.norm_floor,
        **gate_options(config, config.controller),
    )


def _make_recurrent(config: TrainConfig, task: Task) -> SequenceModule:
    common: dict[str, Any] = {
        "hidden_size": config.hidden_size,
        "num_layers": config.num_layers,
        "skip": config.skip,
        "recurrent_bias": config.recurrent_bias,
        "learned_initial_state": config.learned_initial_state,
    }
    sizes = (task.input_size, task.output_size)
    if config.model == "lstm":
        return LSTM(*sizes, forget_bias=config.forget_bias, **common)
    if config.model == "gru":
        return GRU(*sizes, **common)
    nonlinearity = cast(Any, config.model.removeprefix("rnn-"))
    return RNN(*sizes, nonlinearity=nonlinearity, recurrent_init=config.recurrent_init, **common)


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
