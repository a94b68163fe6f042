"""Cells whose memory is a network that learns while it reads: what TTT and Titans share."""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple, TypeAlias

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from memnet.checks import check_choice, check_sizes
from memnet.functional.inner_learning import (
    Course,
    Norm,
    gradients,
    network,
    outer,
    read_along,
)
from memnet.mixers import ConvolvedMixer, MixerState
from memnet.state import select_rows
from memnet.trace import Part

InnerNetwork: TypeAlias = Literal["linear", "mlp"]
Layers: TypeAlias = tuple[Tensor, ...]


class InnerMemory(NamedTuple):
    """A network that learns, in the midst of a mini-batch; of each layer a tensor (batch, head, in, out).

    start:    its weights when the mini-batch began, for which gradients are taken.
    current:  its weights now; () where they are those of the start and the sum of gradients.
    carried:  the momentum, or the sum of gradients times rates since the mini-batch began, with the sign of a change.
    position: (batch,), steps since then, a whole number below the mini-batch's.
    """

    start: Layers
    current: Layers
    carried: Layers
    position: Tensor


class InnerSteered(NamedTuple):
    """What steers a step.

    query, key, value: (batch, head, width).
    rate:         (batch, head), how far a step goes along the gradient.
    log_momentum: (batch, head), at most 0; empty, (batch, 0), where there is none.
    log_kept:     (batch, head), at most 0; empty where nothing decays.
    gate:         (batch, head, width), of the output before its squashing.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    rate: Tensor
    log_momentum: Tensor
    log_kept: Tensor
    gate: Tensor


class InnerCell(ConvolvedMixer):
    """What TTT and Titans share: a network a head, trained by each token to give its value for its key.

    Gradients are those for the weights when the mini-batch began, so that its tokens are taken at once; the state holds
    these, what has changed since, and how far the mini-batch has come, by which sequences in parts, at any step, equal
    the whole. What a query finds is what the network gives after its own token.

    numbers: how many further numbers of each head the linear layer emits.
    Class attribute biased: whether layers have biases.
    """

    biased: ClassVar[bool]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_heads: int,
        head_size: int,
        memory: InnerNetwork,
        mini_batch: int,
        learning_rate: float,
        convolution: int,
        numbers: int,
    ) -> None:
        check_sizes(num_heads=num_heads, head_size=head_size, mini_batch=mini_batch)
        check_choice("memory", memory, InnerNetwork)
        if not learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {learning_rate}")
        width = num_heads * head_size
        self._numbers = numbers
        others = numbers * num_heads + width
        super().__init__(input_size, hidden_size, 3 * width, others, width, convolution=convolution)
        self.num_heads, self.head_size, self.mini_batch = num_heads, head_size, mini_batch
        self.memory, self.learning_rate = memory, learning_rate
        sizes = [head_size, head_size] if memory == "linear" else [head_size, 4 * head_size, head_size]
        self.layers = nn.ParameterList(first_layer(num_heads, *pair, biased=self.biased) for pair in pairwise(sizes))

    @property
    def norm(self) -> Norm | None:
        """The layer normalisation at the network's end, if it has one."""
        return None

    def changed(self, memory: InnerMemory, carried: Layers, steered: InnerSteered) -> Layers:
        """The weights after a step's change of the momentum or sum."""
        raise NotImplementedError

    def course(self, steered: InnerSteered, real: Tensor) -> Course:
        """What becomes of the weights in a mini-batch: steered (batch, head, token, ...), real (batch, 1, token)."""
        raise NotImplementedError

    def ended(self, memory: InnerMemory) -> InnerMemory:
        """The memory where a mini-batch has just ended, from what it is at its last token."""
        raise NotImplementedError

    def first_memory(self, batch_size: int) -> InnerMemory:
        like = self.zeros(batch_size)
        start = tuple(one.to(like.dtype).expand(batch_size, -1, -1, -1) for one in self.layers)
        return InnerMemory(start, self.now(start), tuple(torch.zeros_like(one) for one in start), like)

    def now(self, layers: Layers) -> Layers:
        """What `current` is in a state whose weights are these."""
        return layers

    def remember(self, memory: InnerMemory, steered: InnerSteered) -> tuple[Tensor, InnerMemory]:
        key, value, query = (one.unsqueeze(-2) for one in (steered.key, steered.value, steered.query))
        found = gradients(memory.start, key, value, self.norm)
        rate = steered.rate.view(*steered.rate.shape, 1, 1)
        carried = memory.carried
        if steered.log_momentum.size(-1):
            carried = tuple(torch.exp(steered.log_momentum)[..., None, None] * one for one in carried)
        carried = tuple(one - outer(gradient, rate) for one, gradient in zip(carried, found, strict=True))
        weights = self.changed(memory, carried, steered)
        read = network(weights, query, self.norm).squeeze(-2)
        after = InnerMemory(memory.start, self.now(weights), carried, memory.position + 1)
        ends = after.position >= self.mini_batch
        return read, select_rows(ends, self.ended(after), after)

    def remember_all(
        self, memory: InnerMemory, steered: InnerSteered, past: Tensor | None
    ) -> tuple[Tensor, InnerMemory]:
        time, size, begin = steered.key.size(1), self.mini_batch, memory.position.long()
        ends = begin + (time if past is None else time - past.sum(1))
        count = -(-(time + size - 1) // size)
        # Every row's steps to where they stand within its mini-batches.
        place = torch.arange(count * size, device=begin.device) - begin.unsqueeze(1)
        real = (place >= 0) & (place < (ends - begin).unsqueeze(1))
        place = place.clamp(0, time - 1)
        aligned = InnerSteered(*(taken(one, place) for one in steered))
        batches = [InnerSteered(*one) for one in zip(*(by_batches(one, size) for one in aligned), strict=True)]
        reads = []
        for number, (batch, of_batch) in enumerate(zip(batches, real.split(size, 1), strict=True)):
            read, memory = self._batch(memory, batch, of_batch, ends >= (number + 1) * size)
            reads.append(rearrange(read, "batch head token width -> batch token head width"))
        back = begin.unsqueeze(1) + torch.arange(time, device=begin.device)
        position = (ends % size).to(memory.position.dtype)
        return taken(torch.cat(reads, 1), back), memory._replace(position=position)

    def _batch(
        self, memory: InnerMemory, steered: InnerSteered, real: Tensor, full: Tensor
    ) -> tuple[Tensor, InnerMemory]:
        """A mini-batch, (batch, head, token, ...): what was read, and the next memory. full: which rows end it."""
        found = gradients(memory.start, steered.key, steered.value, self.norm)
        there = real.unsqueeze(1)
        steered = steered._replace(rate=steered.rate * there)
        course = self.course(steered, there.to(steered.rate.dtype))
        base = memory.current or memory.start
        reads = read_along(base, memory.carried, found, course, steered.query, self.norm)
        carried = tuple(
            course.last_kept * one - outer(gradient, course.last_shares)
            for one, gradient in zip(memory.carried, found, strict=True)
        )
        current: Layers = ()
        if memory.current:
            last, share = course.kept[..., -1:, :], course.carried[..., -1:, :]
            shares = course.shares[..., -1, :].unsqueeze(-1)
            current = tuple(
                last * one + share * before - outer(gradient, shares)
                for one, before, gradient in zip(memory.current, memory.carried, found, strict=True)
            )
        after = InnerMemory(memory.start, current, carried, memory.position)
        return reads, select_rows(full, self.ended(after), after)

    def split(self, convolved: Tensor, others: Tensor) -> tuple[list[Tensor], tuple[Tensor, ...], Tensor]:
        """Query, key and value, the numbers of each head, and the gate."""
        width = self.num_heads * self.head_size
        vectors = [one.unflatten(-1, (self.num_heads, -1)) for one in convolved.split(width, -1)]
        numbers, gate = others.split([self._numbers * self.num_heads, width], -1)
        return vectors, numbers.chunk(self._numbers, -1), gate.unflatten(-1, (self.num_heads, -1))

    def parts(self, states: MixerState, watched: InnerSteered) -> list[Part]:
        """The network of every head, layer by layer, and what steered it."""
        head, memory = ("time", "head"), states.memory
        found = [
            Part("matrix", f"memory, matrix {number}", one, (*head, "key", "value"))
            for number, one in enumerate(memory.current or memory.start, start=1)
        ]
        found += [
            Part("signal", "query", watched.query, (*head, "key")),
            Part("signal", "key", watched.key, (*head, "key")),
            Part("signal", "value", watched.value, (*head, "value")),
            Part("signal", "learning rate", watched.rate, head),
        ]
        if watched.log_momentum.size(-1):
            found.append(Part("gate", "momentum", torch.exp(watched.log_momentum), head))
            found.append(Part("gate", "kept", torch.exp(watched.log_kept), head))
        return found


def first_layer(heads: int, size_in: int, size_out: int, *, biased: bool) -> nn.Parameter:
    """A layer's first weights, N(0, 0.02^2), of every head, with a last row of zeros for biases."""
    weight = 0.02 * torch.randn(heads, size_in, size_out)
    return nn.Parameter(functional.pad(weight, (0, 0, 0, 1)) if biased else weight)


def taken(values: Tensor, places: Tensor) -> Tensor:
    """Of (batch, time, ...) the steps at places (batch, step)."""
    index = places.view(*places.shape, *[1] * (values.dim() - 2))
    return values.gather(1, index.expand(-1, -1, *values.shape[2:]))


def by_batches(values: Tensor, size: int) -> Sequence[Tensor]:
    """(batch, time, head, ...) as mini-batches (batch, head, token, ...)."""
    return [one.transpose(1, 2) for one in values.split(size, 1)]
