"""What every task shares: the batch, the names of its scores, and the random draws behind `sample`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F


class Batch(NamedTuple):
    """Sequences that start together and are padded with zeros to the longest.

    input:   (batch, time, input_size) float32; of a `TokenTask` tokens, (batch, time) int64
    target:  (batch, time, output_size) float32, see `Task.answer`; zero where nothing is scored; of a `TokenTask`
             classes, (batch, time) int64, -1 where nothing is scored
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


class Score(NamedTuple):
    """One number for many sequences, and how it is told.

    name:    its key in what `Task.summarize` returns
    heading: over a column of a table
    words:   on an axis or over a panel
    unit:    after a value
    format:  of a value in a table; with % for a share
    chance:  what guessing has at every length; None where that is not one number
    best:    whether low or high values are good
    counted: whether it is a share of the sequences, so that an interval can be told
    summed:  whether it counts something in all sequences together, so that of several tests it is the sum
    """

    name: str
    heading: str
    words: str
    unit: str
    format: str = ".3g"
    chance: float | None = None
    best: Literal["low", "high"] = "low"
    counted: bool = False
    summed: bool = False


Answer: TypeAlias = Literal["bits", "symbols", "numbers"]
EXACT = Score(
    "exact_share",
    "exactly right",
    "Sequences exactly right, %",
    "of the sequences right",
    ".1%",
    best="high",
    counted=True,
)


class Task(ABC):
    """A source of random sequences, and how answers to them are scored.

    `length` is the difficulty: it is given to `sample`, so one object trains at 20 and is tested at 1000.
    Constructors take plain keyword values.
    """

    domain: ClassVar[str] = "sequences"  # the form of its examples
    name: ClassVar[str]  # the key in `tasks.TASKS`
    answer: ClassVar[Answer]  # targets are each 0 or 1; one 1 for each symbol, at its channel; or real numbers
    scores: ClassVar[tuple[Score, ...]]  # of a test, in the order of its table
    exact: ClassVar[Score] = EXACT  # what counts as a right sequence
    panels: ClassVar[tuple[Score, ...]]  # those that are drawn over the length
    curve: ClassVar[Score]  # what a learning curve shows
    criterion: ClassVar[Score]  # what falls under a limit when the task is solved
    length_unit: ClassVar[str]  # what `length` counts, for an axis label
    length_range: tuple[int, int]  # lengths the paper trains on, both ends included, as far as there are
    test_lengths: tuple[int, ...]  # lengths to test at by default, as far as there are
    shortest: int = 1  # the smallest length that there is
    longest: int | None = None  # where lengths end; None where they do not
    # Other tests than those of training: arguments of `sample` by a name for them.
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    input_channels: tuple[str, ...]  # a name for each channel, in order
    output_channels: tuple[str, ...]

    @property
    def input_size(self) -> int:
        return len(self.input_channels)

    @property
    def output_size(self) -> int:
        return len(self.output_channels)

    @property
    def sizes(self) -> dict[str, int]:
        """What a model of this task must be told, by the names of its constructor's parameters."""
        return {"input_size": self.input_size, "output_size": self.output_size}

    def channels(self, batch: Batch) -> Batch:
        """The batch with input and target in channels, as they are drawn."""
        return batch

    def asked(self, batch: Batch) -> dict[str, Tensor]:
        """What else a model is given to answer a batch, by the names of its forward's arguments."""
        return {}

    @property
    def answers_of_a_step(self) -> int:
        """How many answers are scored at a step."""
        return self.output_size if self.answer == "bits" else 1

    @abstractmethod
    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """Draw a batch on the generator's device; the same generator state gives the same batch.

        length: one length for all rows, or (low, high) from which each row draws its own, both included.
        ValueError for a batch size, length or generator that cannot be used.
        """

    def training_batch(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """What training draws: as `sample`, but where a task lets come more often what is rare there."""
        return self.sample(batch_size, length=length, generator=generator)

    def validation_batch(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """What a validation draws: as `sample`, but where a task keeps other data for it than for tests."""
        return self.sample(batch_size, length=length, generator=generator)

    def test_batch(
        self, first: int, batch_size: int, *, length: int, generator: torch.Generator, **more: Any
    ) -> Batch | None:
        """What a test takes from its sequence `first` on, one batch after another: as `sample`, which has more of some.

        Where tests are of a fixed set the next of that, in order; fewer or None at its end.
        """
        draw: Callable[..., Batch] = self.sample
        return draw(batch_size, length=length, generator=generator, **more)

    def played(self, batch: Batch, model: Callable[..., tuple[Tensor, Any]]) -> Batch:
        """The batch as a test shows it to a model: another one where inputs follow from what the model answered before.

        model: of inputs (batch, time, input_size) and a state, or None, the logits and the next state.
        """
        return batch

    def best_logits(self, batch: Batch) -> Tensor | None:
        """What the best possible predictor of bits answers, which is not always right; None where nobody knows it."""
        return None

    @abstractmethod
    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """What training makes small, of every sequence, summed over its scored steps: (batch,).

        logits: (batch, time, output_size), on the device of the batch. ValueError for logits of another shape.
        """

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """`losses`, averaged over the batch: a scalar. Arguments as there."""
        return self.losses(logits, batch).mean()

    @property
    def symbols_of_losses(self) -> int | None:
        """Of which answers a step's loss is the cross-entropy, and of nothing else: of how many symbols, or 0 for bits.

        None where `losses` are others.
        """
        return None

    @abstractmethod
    def metrics(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Numbers of every sequence, each a tensor of shape (batch,), without gradients.

        logits: (batch, time, output_size), on the device of the batch. ValueError for another shape.
        """

    @abstractmethod
    def wrong(self, logits: Tensor, batch: Batch) -> Tensor:
        """Where a scored answer is wrong: bool (batch, time, answers of a step). Arguments as for `metrics`."""

    @abstractmethod
    def summarize(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        """Scores by name, from the `metrics` of any number of sequences, each (sequence,).

        exact_share, the sequences without an error, is always among them.
        """

    @abstractmethod
    def predict(self, logits: Tensor) -> Tensor:
        """The answers that logits stand for, in the form of the target: probabilities, or the numbers themselves."""

    @abstractmethod
    def spell(self, answers: Tensor) -> str:
        """Targets or predictions (step, output_size) as a short text."""

    @abstractmethod
    def training_score(self, loss: float, scored: float) -> float:
        """The loss of a batch in the unit of `curve`; scored: its scored steps, in the mean of the sequences."""

    def curriculum_score(self, loss: float, scored: float) -> float:
        """The loss of a batch as the growing curriculum compares it: of one answer. Arguments as for training_score."""
        return self.training_score(loss, scored) / self.answers_of_a_step

    def within(self, length: int) -> int:
        """The length, or the nearest that there is."""
        length = max(length, self.shortest)
        return length if self.longest is None else min(length, self.longest)

    def longest_of(self, counts: Tensor, why: str) -> int:
        """The longest of lengths that were drawn; ValueError for one that there is not. why: what lengths end by."""
        if self.within(most := int(counts.max())) < most:
            raise ValueError(f"length must be at most {self.longest}, {why}, got {most}")
        return most

    @property
    def longest_test(self) -> int:
        """The longest of test_lengths, or the nearest that there is."""
        return self.within(max(self.test_lengths))

    @property
    def lengths_to_train(self) -> tuple[int, int]:
        """Shortest and longest of length_range, or the nearest that there are."""
        low, high = self.length_range
        return self.within(low), self.within(high)

    def lengths_to_test(self, longest: int) -> tuple[int, ...]:
        """Where a model that was trained up to `longest` is tested by default, of lengths that there are."""
        return tuple(sorted({self.within(length) for length in (longest, *self.test_lengths)}))

    def lengths_between(self, low: int, high: int) -> Sequence[int]:
        """Those that there are from one length to another, in order; ValueError where there are none."""
        return range(low, high + 1)

    def baselines(self, length: int) -> dict[str, float]:
        """What can be reached without learning the task, at a length: "baseline_" and a score's name."""
        return {}

    @abstractmethod
    def render(self, batch: Batch, index: int = 0, logits: Tensor | None = None, width: int = 80) -> str:
        """Draw one example as text, folded to `width` columns; with logits also what they predict.

        ValueError for an index outside the batch, logits of the wrong shape or a width below 40.
        """


def steps_of(batch: Batch, index: int) -> int:
    """The number of steps of one row; ValueError for an index outside the batch."""
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(batch.lengths):
        last = len(batch.lengths) - 1
        raise ValueError(f"index must be a whole number from 0 to {last}, got {index!r}")
    return int(batch.lengths[index])


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


def draw_below(limits: Tensor, generator: torch.Generator) -> Tensor:
    """Whole numbers uniform from 0 to below each limit, int64 of the limits' shape."""
    drawn: Tensor = torch.randint(2**62, limits.shape, generator=generator, device=generator.device)
    return drawn % limits


def draw_distinct(batch_size: int, count: int, below: int, generator: torch.Generator) -> Tensor:
    """Whole numbers from 0 to below `below`, in each row all different and in random order: (batch, count) int64."""
    device = generator.device
    drawn = torch.empty(batch_size, 0, dtype=torch.int64, device=device)
    # Floyd's way: every set of numbers is as likely as any other.
    for last in range(below - count, below):
        number = torch.randint(last + 1, (batch_size, 1), generator=generator, device=device)
        known = (drawn == number).any(1, keepdim=True)
        drawn = torch.cat([drawn, number.masked_fill(known, last)], 1)
    return drawn.gather(1, torch.rand(batch_size, count, generator=generator, device=device).argsort(1))


def draw_bits(batch_size: int, steps: int, num_bits: int, generator: torch.Generator) -> Tensor:
    """Fair random bits as float32, (batch, steps, num_bits)."""
    shape, device = (batch_size, steps, num_bits), generator.device
    return torch.randint(0, 2, shape, generator=generator, device=device, dtype=torch.float32)


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


def drawn_by_length(draw: Callable[[int, int], tuple[Tensor, Tensor]], counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of several lengths: those of one length are drawn together, so that who draws them knows but one.

    draw:   of a number of rows and their length input and target, each (row, time), whole numbers; input is -1 after
            the end of a row.
    counts: (batch,) the length of each row.
    Returns input (batch, time), zero after a row's end; target (batch, time), -1 there; steps of each row, (batch,).
    """
    parts = [(counts == length, draw(int((counts == length).sum()), length)) for length in counts.unique().tolist()]
    longest = max(int((given >= 0).sum(1).max()) for _, (given, _) in parts)
    input, target = counts.new_zeros(len(counts), longest), counts.new_full((len(counts), longest), -1)
    steps = torch.zeros_like(counts)
    for rows, (given, answers) in parts:
        time = min(given.size(1), longest)
        input[rows, :time], target[rows, :time] = given[:, :time].clamp(min=0), answers[:, :time]
        steps[rows] = (given >= 0).sum(1)
    return input, target, steps


def one_hot(numbers: Tensor, size: int) -> Tensor:
    """Numbers (...) from 0 to below size as channels of which one is 1, (..., size) float32; of -1 none is."""
    return F.one_hot(numbers.clamp(min=0), size) * (numbers >= 0).unsqueeze(-1).float()
