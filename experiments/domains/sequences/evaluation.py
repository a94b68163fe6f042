"""Testing a trained model at any length and any number of slots."""

import inspect
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from experiments.base.files import UserError
from experiments.base.seeds import generator_for
from experiments.config.fields import option
from experiments.domains.sequences.models import SequenceModel, core
from experiments.runs.tests import TestRow
from experiments.training.looks import as_in_tests
from memnet import SequenceModule
from memnet.abilities import HasSlots, RoundsActions
from memnet.state import state_tensors
from tasks import Batch, Task

# Numbers of memory that a batch should not exceed, so that it stays in a processor's cache.
_CACHE = 1 << 17
_LARGEST_BATCH = 100
# Long sequences are drawn few at a time, and read in chunks: what a model keeps does not grow with their length.
_STEPS_AT_ONCE = 1 << 22
_CHUNK = 1 << 12
_BASELINE = "baseline_"

# What a model must be able to do to be tested under a condition, and what it has who is not.
_CONDITIONS: dict[str, tuple[type[Any], str]] = {
    "num_slots": (HasSlots, "no memory"),
    "round_actions": (RoundsActions, "no actions that could be rounded"),
}

Scores = dict[str, float]


def evaluate(
    model: SequenceModel,
    task: Task,
    batches: Iterable[Batch],
    see: Callable[[Batch, Tensor], None] | None = None,
) -> Scores:
    """Scores over batches of a task: sequences (their count), and what the task makes of its metrics.

    see: called with every batch and its logits, where the model is.
    """
    device = core(model).readout.weight.device
    collected: dict[str, list[Tensor]] = {}
    with as_in_tests(model), torch.inference_mode():
        for batch in batches:
            moved = task.played(batch.to(device), model)
            logits = _answered(model, task, moved)
            if see is not None:
                see(moved, logits)
            for name, values in task.metrics(logits, moved).items():
                collected.setdefault(name, []).append(values.double().cpu())
    whole = {name: torch.cat(values) for name, values in collected.items()}
    return {"sequences": whole["exact"].numel()} | task.summarize(whole)


def _answered(model: SequenceModel, task: Task, batch: Batch) -> Tensor:
    """What the model answers, chunk by chunk with its state carried on."""
    state, answers, places = None, list[Tensor](), list[Tensor]()
    numbers = torch.arange(batch.mask.numel(), device=batch.mask.device).view_as(batch.mask)
    for first, chunk in zip(range(0, batch.mask.size(1), _CHUNK), chunks_of(batch, _CHUNK), strict=True):
        logits, state = model(chunk.input, state, **task.asked(chunk))
        answers.append(logits)
        places.append(numbers[:, first : first + _CHUNK][chunk.mask])
    if len(answers) == 1 or answers[0].dim() > 2:
        return torch.cat(answers, 1) if len(answers) > 1 else answers[0]
    # Of scored steps alone, row by row again.
    return torch.cat(answers)[torch.cat(places).argsort()]


def chunks_of(batch: Batch, steps: int | None) -> Iterator[Batch]:
    """The batch cut in time; the losses of the chunks sum to the loss of the whole."""
    time = batch.input.size(1)
    if steps is None or steps >= time:
        yield batch
        return
    for first in range(0, time, steps):
        end = min(first + steps, time)
        input, target, mask = (tensor[:, first:end] for tensor in (batch.input, batch.target, batch.mask))
        yield Batch(input, target, mask, (batch.lengths - first).clamp(0, end - first))


def spread(lengths: Sequence[int], most: int) -> list[int]:
    """The lengths, or of more than `most` so many, from the first to the last."""
    count = min(len(lengths), most)
    return [lengths[(len(lengths) - 1) * place // max(count - 1, 1)] for place in range(count)]


def validation_batches(task: Task, lengths: tuple[int, int], sequences: int, seed: int) -> list[Batch]:
    """Batches spread evenly over the training lengths, one sequence each at least; the same for the same seed.

    Of more lengths than sequences some, from the shortest to the longest.
    """
    generator = generator_for("valid", seed)
    chosen, draw = spread(range(lengths[0], lengths[1] + 1), sequences), task.validation_batch
    return [draw(-(-sequences // len(chosen)), length=length, generator=generator) for length in chosen]


def test_over(
    model: SequenceModel,
    task: Task,
    lengths: tuple[int, int],
    *,
    sequences: int,
    tell: Callable[[int], None] | None = None,
    **options: Any,
) -> TestRow:
    """One row of the test table for a whole range of lengths: the mean of the tests at each, of as many sequences each.

    lengths: the shortest and the longest; of more lengths than sequences some, evenly. Else as for test_at. Scores that
    count in all sequences together are summed.
    """
    try:
        chosen = spread(task.lengths_between(*lengths), sequences)
    except ValueError as error:
        raise UserError(str(error)) from None
    rows: list[TestRow] = []
    for length in chosen:
        rows.append(test_at(model, task, length, sequences=-(-sequences // len(chosen)), **options))
        if tell is not None:
            tell(sum(row["count"] for row in rows))
    first = rows[0]
    return {
        **first,
        "at": {**first["at"], "length": "{}-{}".format(*lengths)},
        "count": sum(row["count"] for row in rows),
        "scores": _together([row["scores"] for row in rows], task),
        "baselines": _together([row["baselines"] for row in rows], task),
    }


def _together(every: Sequence[Scores], task: Task) -> Scores:
    """The means of the scores that all have, or their sums."""
    shared = [name for name in every[0] if all(name in one for one in every)]
    summed = {score.name for score in task.scores if score.summed}
    return {name: (math.fsum if name in summed else statistics.fmean)(one[name] for one in every) for name in shared}


def test_at(
    model: SequenceModel,
    task: Task,
    length: int,
    *,
    sequences: int,
    seed: int,
    num_slots: int | None = None,
    round_actions: bool = False,
    repeats: int | None = None,
    variant: str | None = None,
    batch_size: int | None = None,
    tell: Callable[[int], None] | None = None,
    see: Callable[[Batch, Tensor], None] | None = None,
) -> TestRow:
    """One row of the test table: new sequences of one length, drawn from a stream that training never sees.

    num_slots:  rows of the memory in this test; None for those it was trained with.
    round_actions: round the actions on its memory in this test; else as it was trained.
    repeats:    of a task that has such: the number of copies; None draws it from the task's range.
    variant:    which of the task's other tests, see Task.variants; None for data like those of the training.
    batch_size: None chooses one that keeps the memory in cache.
    tell:       called with the number of sequences done, as they are.
    see:        called with every batch and its logits, see `evaluate`.
    Returns     the scores of `evaluate` and the task's baselines; also optimal_bits_per_sequence, those of the best
                possible predictor on the same sequences, where the task knows it.
    UserError   for a length, slots or repeats that cannot be.
    """
    if repeats is not None and "repeats" not in inspect.signature(task.sample).parameters:
        raise UserError(f"--repeats {repeats}: {task.name} has no repeats")
    if variant is not None and variant not in task.variants:
        names = f"has {', '.join(task.variants)}" if task.variants else "has no variants"
        raise UserError(f"--variant {variant}: {task.name} {names}")
    drawn = {**({} if repeats is None else {"repeats": repeats}), **(task.variants[variant] if variant else {})}
    network, largest = core(model), max(1, min(_LARGEST_BATCH, _STEPS_AT_ONCE // length))
    chosen_batch = batch_size or _fitting_batch(network, num_slots, largest)
    generator = generator_for("test", seed, length, repeats or 0)
    optimal: list[Tensor] = []

    def batches() -> Iterable[Batch]:
        # Drawn in blocks of one size, so that the sequences do not depend on the batch size.
        for done in range(0, sequences, largest):
            size = min(largest, sequences - done)
            block = task.test_batch(done, size, length=length, generator=generator, **drawn)
            if block is None:
                return
            if (best := task.best_logits(block)) is not None:
                optimal.append(task.metrics(best, block)["bits"])
            for first in range(0, len(block.lengths), chosen_batch):
                yield Batch(*(tensor[first : first + chosen_batch] for tensor in block))
                if tell is not None:
                    tell(done + min(first + chosen_batch, size))

    trained_slots = network.num_slots if isinstance(network, HasSlots) else None
    slots = num_slots or trained_slots
    try:
        with _under(network, num_slots=num_slots, round_actions=round_actions or None):
            scores = evaluate(model, task, batches(), see)
    except ValueError as error:
        raise UserError(str(error)) from None
    if optimal:
        scores["optimal_bits_per_sequence"] = float(torch.cat(optimal).double().mean())
    rounded = {"actions": "rounded"} if round_actions else {}
    count, known = int(scores.pop("sequences")), task.baselines(length)
    # What is known of other scores than the model's stands among those.
    scores |= {name: score for name, score in known.items() if not name.startswith(_BASELINE)}
    return {
        "on": task.name,
        "at": {
            **({} if variant is None else {"variant": variant}),
            "num_slots": slots,
            "repeats": repeats,
            "length": length,
            "seed": seed,
            **rounded,
        },
        "as_trained": slots == trained_slots and not (repeats or rounded or variant or seed),
        "count": count,
        "scores": scores,
        "baselines": {
            name.removeprefix(_BASELINE): score for name, score in known.items() if name.startswith(_BASELINE)
        },
        "each": {},
    }


@contextmanager
def _under(model: SequenceModule, **conditions: int | bool | None) -> Iterator[None]:
    """The model under conditions of a test, None for those of its training; afterwards it is as it was.

    UserError for one that it has not.
    """
    asked = {name: value for name, value in conditions.items() if value is not None}
    for name, value in asked.items():
        ability, lack = _CONDITIONS[name]
        if not isinstance(model, ability):
            flag = option(name) if value is True else f"{option(name)} {value}"
            raise UserError(f"{flag}: this model has {lack}")
    before = {name: getattr(model, name) for name in asked}
    try:
        for name, value in asked.items():
            setattr(model, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(model, name, value)


def _fitting_batch(model: SequenceModule, num_slots: int | None, largest: int) -> int:
    if not isinstance(model, HasSlots) or model.readout.weight.is_cuda:
        return largest
    slots = [tensor.numel() for tensor in state_tensors(model.initial_state(1)) if tensor.dim() > 2]
    memory = max(slots, default=1) * (num_slots or model.num_slots) // model.num_slots
    return max(1, min(largest, _CACHE // max(memory, 1)))
