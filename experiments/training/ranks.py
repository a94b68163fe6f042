"""One training on several devices: torchrun starts a process for each, and each computes its share of every batch.

All processes draw the same batches and hold the same weights; gradients are added up before every update. Only the
first one has the run's folder, tells anything and decides anything; see running.py.
"""

import dataclasses
import datetime
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, distributed

from experiments.base.files import UserError, first_line

Result = TypeVar("Result")
# Until a process that hears nothing of the others gives up: the first one tests and draws while they wait.
_PATIENCE = datetime.timedelta(hours=2)


@dataclasses.dataclass(frozen=True)
class Ranks:
    """The processes of a training. number: which one this is, from 0. count: how many there are."""

    number: int
    count: int

    @property
    def first(self) -> bool:
        """Whether this one keeps the run's folder and tells what happens."""
        return self.number == 0

    def share(self, rows: int) -> slice:
        """Which of so many rows are this one's; UserError where the processes cannot have equally many."""
        if rows % self.count:
            raise UserError(f"--batch-size {rows} cannot be shared equally by {self.count} processes")
        size = rows // self.count
        return slice(self.number * size, (self.number + 1) * size)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Put into each tensor its sum over the processes."""
        for kind in dict.fromkeys((tensor.dtype, tensor.device) for tensor in tensors):
            same = [tensor for tensor in tensors if (tensor.dtype, tensor.device) == kind]
            flat = torch.cat([tensor.flatten() for tensor in same])
            with _heard():
                distributed.all_reduce(flat)
            for tensor, part in zip(same, flat.split([tensor.numel() for tensor in same]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def sums(self, numbers: Sequence[float], device: torch.device) -> list[float]:
        """The sums of numbers over the processes."""
        if self.count == 1:
            return list(numbers)
        together = torch.tensor(numbers, dtype=torch.float64, device=device)
        with _heard():
            distributed.all_reduce(together)
        return [float(number) for number in together]

    def agree(self, decide: Callable[[], Result]) -> Result:
        """What the first process finds, in all of them."""
        if self.count == 1:
            return decide()
        found = [decide() if self.first else None]
        with _heard():
            distributed.broadcast_object_list(found)
        return found[0]  # type: ignore[return-value]


def ranks() -> Ranks:
    """What torchrun says of this process; the only one where it was not started by torchrun."""
    return Ranks(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def choose_device(device: str) -> None:
    """Take this process's own among several CUDA devices."""
    if torch.device(device).type == "cuda" and "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


@contextmanager
def _heard() -> Iterator[None]:
    """Exchange something with the other processes; UserError where one has ended."""
    try:
        yield
    except RuntimeError as error:
        raise UserError(
            f"another process of the training has ended ({first_line(error)}); go on with --resume"
        ) from None


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the other processes, for as long as the context lasts; UserError where they cannot be reached."""
    own = ranks()
    if own.count == 1:
        yield own
        return
    try:
        backend = "nccl" if torch.device(device).type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"cannot join the other processes: {first_line(error)}") from None
    try:
        yield own
    finally:
        distributed.destroy_process_group()
