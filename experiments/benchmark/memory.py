"""Memory of one training step: `python -m experiments.benchmark.memory` measures one, told on stdin, and ends."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional

from experiments.base.files import UserError
from experiments.base.memory import in_one_line
from experiments.benchmark.cases import Case, Example, make_example, make_model, train_step
from experiments.benchmark.variants import Refused, Way, backend_part, running
from experiments.training.running import prepare
from memnet.abilities import GoesByStep
from memnet.state import detach_state

PLAIN = "plain"
_CHUNK = 100


def _checkpointed_step(model: nn.Module, example: Example) -> None:
    """As `train_step`, with the states kept that are a root of the length apart."""
    part = backend_part(model)
    if not isinstance(part, GoesByStep):
        raise Refused(f"{type(model).__name__} keeps no states")
    part.checkpoint_steps = round(example.inputs[0].size(1) ** 0.5)
    train_step(model, example)


def _truncated_step(model: nn.Module, example: Example) -> None:
    """As `train_step`, the gradient cut off every so many steps while the state is carried on."""
    if len(example.inputs) > 1:
        raise Refused(f"the story of {type(model).__name__} is not cut into chunks")
    model.zero_grad()
    state = None
    for input, target in zip(example.inputs[0].split(_CHUNK, 1), example.target.split(_CHUNK, 1), strict=True):
        logits, state = model(input, state)
        functional.binary_cross_entropy_with_logits(logits, target, reduction="sum").backward()
        state = detach_state(state)


# Ways to take the gradient of one long sequence.
GRADIENTS: dict[str, Callable[[nn.Module, Example], None]] = {
    PLAIN: train_step,
    "checkpointed": _checkpointed_step,
    f"truncated at {_CHUNK}": _truncated_step,
}

_ROOT = Path(__file__).resolve().parents[2]
# Steps of the call before the one that is measured.
_SHORT = 10


class Taken(NamedTuple):
    """Bytes of one training step.

    peak:        above those of the model after a short step.
    kept_a_step: what each further step of the sequence has the backward pass keep, the memory's first contents apart;
                 None where there is none further than the short one, or the gradient is not plain.
    """

    peak: int
    kept_a_step: float | None


def taken_memory(case: Case, way: Way, gradient: str, threads: int) -> Taken:
    """What one training step takes, in a new process.

    On the CPU the peak is the process's resident memory, on a CUDA device what torch has allocated there. Refused where
    the case cannot be run this way; UserError where the process ends before it knows.
    """
    told = json.dumps({"case": dataclasses.asdict(case), "way": way, "gradient": gradient, "threads": threads})
    done = subprocess.run(
        [sys.executable, "-m", "experiments.benchmark.memory"], cwd=_ROOT, input=told, capture_output=True, text=True
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["the system has stopped it, memory may be short"])[-1]
        raise UserError(f"{case}, {way}: the process that measures ended with {done.returncode}: {reason}")
    answer = json.loads(done.stdout)
    if "refused" in answer:
        raise Refused(answer["refused"])
    return Taken(**answer)


def _measure(case: Case, way: Way, gradient: str) -> Taken:
    step = GRADIENTS[gradient]
    short, example = make_example(dataclasses.replace(case, length=_SHORT)), make_example(case)
    model = running(make_model(case, 0), way, short)
    step(model, short)
    model.zero_grad()
    before = _restart_peak(case.device)
    step(model, example)
    peak, more = _peak(case.device) - before, case.length - _SHORT
    plain = gradient == PLAIN and more > 0
    return Taken(peak, (_kept(model, example) - _kept(model, short)) / more if plain else None)


def _kept(model: nn.Module, example: Example) -> int:
    """Bytes that a call keeps for its backward pass, of no tensor twice."""
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        results = model(*example.inputs)
    del results
    return sum(storage.nbytes() for storage in kept.values())


def _restart_peak(device: str) -> int:
    """Forget earlier peaks; returns the bytes in use."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        # Where a system has no such file, the peak of the short step is what the long one is compared with.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    return _peak(device)


def _peak(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        # On a Mac, in bytes. On Linux this would count what the parent took before this process began.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def main() -> None:
    """Read what to measure from stdin and write what was taken, or why it cannot be run, to stdout."""
    told = json.load(sys.stdin)
    case = Case(**told["case"] | {"options": tuple(map(tuple, told["case"]["options"]))})
    prepare(case.device, told["threads"])
    try:
        answer: dict[str, object] = _measure(case, told["way"], told["gradient"])._asdict()
    except (Refused, RuntimeError, MemoryError, OverflowError) as refusal:
        answer = {"refused": in_one_line(refusal)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
