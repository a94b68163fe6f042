"""What every task shares: the batch, the loss, the scores, and the random draws behind `sample`."""

import math
import textwrap
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .drawing import characters, fold, ruler


class Batch(NamedTuple):
    """Sequences that start together and are padded with zeros to the longest.

    input:   (batch, time, input_size) float32
    target:  (batch, time, output_size) float32, each 0 or 1; zero where nothing is scored
    mask:    (batch, time) bool, true where the prediction is scored (every output channel of that step)
    lengths: (batch,) int64, the number of real time steps of each row
    """

    input: Tensor
    target: Tensor
    mask: Tensor
    lengths: Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return Batch(*(tensor.to(device) for tensor in self))


class Task(ABC):
    """A source of random sequences, and how answers to them are scored.

    `length` is the difficulty: it is given to `sample`, so one object trains at 20 and is tested at 1000.
    Constructors take plain keyword values.
    """

    name: ClassVar[str]  # the key in `tasks.TASKS`
    length_unit: ClassVar[str]  # what `length` counts, for an axis label
    length_range: ClassVar[tuple[int, int]]  # lengths the paper trains on, both ends included
    test_lengths: ClassVar[tuple[int, ...]]  # lengths to test at by default
    scalar_channels: ClassVar[tuple[str, ...]] = ()  # input channels that carry a real number
    input_channels: tuple[str, ...]  # a name for each channel, in order
    output_channels: tuple[str, ...]

    @property
    def input_size(self) -> int:
        return len(self.input_channels)

    @property
    def output_size(self) -> int:
        return len(self.output_channels)

    @abstractmethod
    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """Draw a batch on the generator's device; the same generator state gives the same batch.

        length: one length for all rows, or (low, high) from which each row draws its own, both included.
        ValueError for a batch size, length or generator that cannot be used.
        """

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Sigmoid cross-entropy in nats: summed over the scored bits of a sequence, averaged over the batch.

        logits: (batch, time, output_size), on the device of the batch. Returns a scalar.
        ValueError for logits of another shape.
        """
        return self._cross_entropy(logits, batch).mean()

    def metrics(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Scores of every sequence, each a tensor of shape (batch,), without gradients.

        bits:        cross-entropy summed over the scored bits, in bits (nats / ln 2)
        wrong_bits:  number of scored bits predicted on the wrong side of 1/2, int64
        scored_bits: number of scored bits, int64
        exact:       bool, true where wrong_bits is 0

        A probability of exactly 1/2 is on neither side and counts as wrong, and so does NaN.
        logits: (batch, time, output_size), on the device of the batch. ValueError for another shape.
        """
        logits = logits.detach()
        wrong_bits = self.wrong(logits, batch).sum(dim=(1, 2))
        return {
            "bits": self._cross_entropy(logits, batch) / math.log(2),
            "wrong_bits": wrong_bits,
            "scored_bits": batch.mask.sum(dim=1) * self.output_size,
            "exact": wrong_bits == 0,
        }

    def wrong(self, logits: Tensor, batch: Batch) -> Tensor:
        """Where a scored bit is wrong, as `metrics` counts it: bool (batch, time, output_size). Arguments as there."""
        check_logits(logits, batch)
        right = torch.where(batch.target > 0.5, logits, -logits) > 0
        return ~right & batch.mask.unsqueeze(-1)

    def render(self, batch: Batch, index: int = 0, logits: Tensor | None = None, width: int = 80) -> str:
        """Draw one example as text: a row a channel, a column a time step, folded to `width` columns.

        Input: 1 and . for bits, + and - for real numbers (their values stand below the drawing).
        Target, and prediction when logits are given: 1 and 0 where scored, x where predicted wrong.
        ValueError for an index outside the batch, logits of the wrong shape or a width below 40.
        """
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(batch.lengths):
            last = len(batch.lengths) - 1
            raise ValueError(f"index must be a whole number from 0 to {last}, got {index!r}")
        steps = int(batch.lengths[index])
        given, target, mask = (tensor[index, :steps] for tensor in (batch.input, batch.target, batch.mask))
        title = f"{self.name}: {steps} steps, {int(mask.sum()) * self.output_size} scored bits"
        rows, notes = [("step", ruler(steps))], []
        for name, values in zip(self.input_channels, given.T, strict=True):
            scalar = name in self.scalar_channels
            rows.append((f"input {name}", characters(values.sign(), ".+-" if scalar else ".1")))
            if scalar:
                shown = [f"{step}:{values[step]:+.3f}" for step in values.nonzero().flatten().tolist()]
                notes.append(f"{name} by step " + " ".join(shown or ["is 0 throughout"]))
        unscored = ~mask.unsqueeze(-1)
        answers = [("target", target)]
        if logits is not None:
            wrong = self.wrong(logits, batch)[index, :steps]
            title += f", {int(wrong.sum())} predicted wrong"
            answers.append(("predicted", target.masked_fill(wrong, -1)))
        for kind, bits in answers:
            drawn = bits.masked_fill(unscored, 2).T
            for name, codes in zip(self.output_channels, drawn, strict=True):
                rows.append((f"{kind} {name}", characters(codes, "01 x")))
        rows.append(("scored", characters(mask, " ^")))
        drawing = fold(rows, width)
        title, *notes = (textwrap.fill(line, width, break_on_hyphens=False) for line in (title, *notes))
        return "\n".join([title, *drawing, *([""] if notes else []), *notes])

    def _cross_entropy(self, logits: Tensor, batch: Batch) -> Tensor:
        check_logits(logits, batch)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # half precision sums badly
        every = F.binary_cross_entropy_with_logits(logits, batch.target.to(logits.dtype), reduction="none")
        return every.masked_fill(~batch.mask.unsqueeze(-1), 0).sum(dim=(1, 2))


def check_logits(logits: Tensor, batch: Batch) -> None:
    """ValueError unless logits are floating point numbers of the target's shape."""
    if logits.shape != batch.target.shape:
        raise ValueError(f"logits must have shape {tuple(batch.target.shape)}, got {tuple(logits.shape)}")
    if not logits.is_floating_point():
        raise ValueError(f"logits must be floating point, got {logits.dtype}")


def check_count(name: str, value: object, minimum: int = 1) -> int:
    """The value, if it is an int of at least `minimum`; ValueError otherwise (bool is no int here)."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"{name} must be a whole number of at least {minimum}, got {value!r}")
    return value


def check_range(name: str, value: object, minimum: int = 1) -> tuple[int, int]:
    """(low, high) of a pair, or of a single number as both; ValueError for anything else."""
    if not isinstance(value, (tuple, list)):
        return (check_count(name, value, minimum),) * 2
    if len(value) != 2:
        raise ValueError(f"{name} must be a whole number or a pair (low, high), got {value!r}")
    low, high = (check_count(name, end, minimum) for end in value)
    if low > high:
        raise ValueError(f"{name} must be a pair (low, high) with low <= high, got {value!r}")
    return low, high


def draw_range(
    name: str,
    value: object,
    batch_size: int,
    generator: torch.Generator,
    minimum: int = 1,
) -> Tensor:
    """A number for each row, (batch,) int64: the one given, or drawn from a pair (low, high) with both ends.

    ValueError if an argument cannot be used.
    """
    check_count("batch_size", batch_size)
    low, high = check_range(name, value, minimum)
    if not isinstance(generator, torch.Generator):  # None would mean torch's global one
        raise ValueError(f"generator must be a torch.Generator, got {generator!r}")
    return torch.randint(low, high + 1, (batch_size,), generator=generator, device=generator.device)


def draw_bits(batch_size: int, steps: int, num_bits: int, generator: torch.Generator) -> Tensor:
    """Fair random bits as float32, (batch, steps, num_bits)."""
    shape = (batch_size, steps, num_bits)
    return torch.randint(0, 2, shape, generator=generator, device=generator.device).float()


def place(rows: Tensor, index: Tensor, where: Tensor) -> Tensor:
    """Lay rows out in time: out[b, t] = rows[b, index[b, t]] where `where[b, t]`, zero elsewhere.

    rows: (batch, row, channel); where: (batch, time); index: broadcast to `where`, and free to lie outside
    the rows where nothing is placed. Returns (batch, time, channel).
    """
    index = torch.where(where, index, 0).unsqueeze(-1).expand(-1, -1, rows.shape[2])
    return rows.gather(1, index) * where.unsqueeze(-1)


def bit_channels(num_bits: int) -> tuple[str, ...]:
    """Channel names "bit 0", "bit 1", ...; ValueError if there would be none."""
    return tuple(f"bit {k}" for k in range(check_count("num_bits", num_bits)))
