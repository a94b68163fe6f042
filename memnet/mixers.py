"""Cells that mix a sequence's steps by a memory that is linear in its past: what they share around it.

One linear layer, a short causal convolution of some of its channels, the memory, and a linear layer. A step is the
definition; `scan` does many of them at once.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.cells import WatchedCell
from memnet.checks import check_sizes, overrides
from memnet.controlled import full_precision, zeros_like_state
from memnet.functional.associations import Associate, associate_chunks
from memnet.native import associations
from memnet.state import State, state_tensors
from memnet.unroll import hooked

# Of one head's memory: as large as the operator is faster with than chunks, which are products of matrices.
_MOST_NUMBERS = 128 * 128


class MixerState(NamedTuple):
    """What a mixer carries from step to step; in float32 at least.

    memory: its memory.
    tail:   (batch, convolution - 1, channel), the last inputs of its convolution, the newest last.
    """

    memory: State
    tail: Tensor


class ShortConvolution(nn.Module):
    """A causal convolution of each channel with itself, and SiLU.

        y_t = silu(sum_j w_j x_{t - K + 1 + j} + b)

    channels: features in and out. size: K, steps that it sees; 1 for none but the present. bias: whether there is a b.
    straight: the last so many channels go without SiLU, and see the mean of these steps at first.
    `weight` is (channels, 1, size), as that of torch.nn.Conv1d with as many groups as channels.
    """

    def __init__(self, channels: int, size: int, *, bias: bool = False, straight: int = 0) -> None:
        super().__init__()
        self.size, self._bent = size, [channels - straight, straight]
        self.weight = nn.Parameter(torch.empty(channels, 1, size).uniform_(-(size**-0.5), size**-0.5))
        nn.init.constant_(self.weight[channels - straight :], 1 / size)
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, input: Tensor, tail: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What it makes of (batch, time, channel) after a tail (batch, size - 1, channel), and the next tail.

        lengths: (batch,), real steps of each row; those after them do not come into the next tail.
        """
        seen = torch.cat([tail, input], 1)
        output = sum(
            seen[:, place : place + input.size(1)] * one
            for place, one in enumerate(self.weight[:, 0].to(seen).unbind(1))
        )
        assert isinstance(output, Tensor)
        if self.bias is not None:
            output = output + self.bias.to(seen)
        bent, straight = output.split(self._bent, -1)
        output = torch.cat([functional.silu(bent), straight], -1) if straight.size(-1) else functional.silu(output)
        return output, last_steps(seen, self.size - 1, lengths)


def last_steps(seen: Tensor, count: int, lengths: Tensor | None) -> Tensor:
    """The last `count` real steps of (batch, count + time, ...), of which each row has count + lengths."""
    if lengths is None:
        return seen[:, seen.size(1) - count :]
    places = lengths.unsqueeze(1) + torch.arange(count, device=seen.device)
    return seen.gather(1, places.unsqueeze(-1).expand(-1, -1, seen.size(-1)))


def unit(vectors: Tensor) -> Tensor:
    """Vectors of length one along the last axis: x / sqrt(|x|^2 + 1e-6)."""
    return vectors * torch.rsqrt(vectors.square().sum(-1, keepdim=True) + 1e-6)


def per_head_norm(reads: Tensor, weight: Tensor, eps: float = 1e-5, *, centered: bool = False) -> Tensor:
    """RMS normalisation of each head's features: (..., head, width), weight (width,) or (head, width).

    centered: take the mean away first, which makes it layer normalisation.
    """
    if centered:
        reads = reads - reads.mean(-1, keepdim=True)
    return reads * torch.rsqrt(reads.square().mean(-1, keepdim=True) + eps) * weight.to(reads)


# Of a memory, what steers it and where rows have ended: what was read, and the last memory; see Mixer.remember_all.
RememberAll: TypeAlias = Callable[[Any, Any, Tensor | None], tuple[Tensor, Any]]


class Mixer(WatchedCell):
    """A cell around a memory that many steps can be written to at once.

    input_size: features of the input. output_size: features of the output.
    width:      features that the output's linear layer sees.
    tail:       how many of the last steps it keeps to mix with the next ones, and of how many features.
    Attribute chunk_size: steps that `scan` takes at once; memories that learn in mini-batches take these instead.
    It may be set at any time, is no part of the weights and changes rounding, time and memory alone.
    A class brings first_memory, prepare, remember, remember_all and emit.
    """

    has_scan = True
    _chunk_size = 32

    def __init__(self, input_size: int, output_size: int, width: int, tail: tuple[int, int]) -> None:
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=output_size)
        self.input_size, self.output_size, self._tail = input_size, output_size, tail
        self.output = nn.Linear(width, output_size, bias=False)

    @property
    def chunk_size(self) -> int:
        """Steps that `scan` takes at once; ValueError where it is set to what is no number of steps."""
        return self._chunk_size

    @chunk_size.setter
    def chunk_size(self, value: int) -> None:
        check_sizes(chunk_size=value)
        self._chunk_size = value

    def first_memory(self, batch_size: int) -> State:
        """The memory before the first step."""
        raise NotImplementedError

    def prepare(self, emitted: Tensor, tail: Tensor, lengths: Tensor | None) -> tuple[Any, Tensor]:
        """What steers the memory, a NamedTuple of tensors (batch, time, ...), and the next tail.

        emitted: what `project` gave of all steps, (batch, time, ...). lengths: (batch,), real steps of each row.
        """
        raise NotImplementedError

    def remember(self, memory: State, steered: Any) -> tuple[Tensor, State]:
        """One step of the memory: what was read, and the next memory."""
        raise NotImplementedError

    def remember_all(self, memory: State, steered: Any, past: Tensor | None) -> tuple[Tensor, State]:
        """Steps of the memory: what was read, with a time axis after the batch, and the last memory.

        past: (batch, time) bool, true after a row's last real step: there the memory stays as it is.
        """
        raise NotImplementedError

    def emit(self, reads: Tensor, steered: Any) -> Tensor:
        """What the output's linear layer sees, (..., width)."""
        raise NotImplementedError

    def zeros(self, batch_size: int, *shape: int) -> Tensor:
        """A part of a first state, all zero."""
        return zeros_like_state(self.output.weight, batch_size, *shape)

    def initial_state(self, batch_size: int) -> MixerState:
        return MixerState(self.first_memory(batch_size), self.zeros(batch_size, *self._tail))

    def watched_step(self, projected: tuple[Any, ...], state: MixerState) -> tuple[Tensor, MixerState, Any]:
        """`step`, with what steered the memory beside its results."""
        with full_precision(projected[0]):
            steered, tail = self.prepare(projected[0].unsqueeze(1).to(state.tail.dtype), state.tail, None)
            steered = type(steered)(*(one.squeeze(1) for one in steered))
            read, memory = self.remember(state.memory, steered)
            seen = self.emit(read, steered)
        return self._out(seen), MixerState(memory, tail), steered

    def scan(self, input: Tensor, state: MixerState, lengths: Tensor | None) -> tuple[Tensor, MixerState]:
        return self._along(input, state, lengths, self.remember_all)

    def _along(
        self, input: Tensor, state: MixerState, lengths: Tensor | None, remember_all: RememberAll
    ) -> tuple[Tensor, MixerState]:
        """`scan` by one of the ways to take a memory through many steps."""
        (emitted,) = self.project(input)
        past = None if lengths is None else torch.arange(input.size(1), device=input.device) >= lengths.unsqueeze(1)
        with full_precision(emitted):
            steered, tail = self.prepare(emitted.to(state.tail.dtype), state.tail, lengths)
            reads, memory = remember_all(state.memory, steered, past)
            seen = self.emit(reads, steered)
        return self._out(seen), MixerState(memory, tail)

    def _out(self, seen: Tensor) -> Tensor:
        output: Tensor = self.output(seen.to(self.output.weight.dtype))
        return output


class AssociativeMixer(Mixer):
    """One whose memory is memnet.functional.associations', which an operator takes through many steps, too.

    A class brings `remember_by` in place of `remember_all`.
    num_levels: levels of its memory, with which the operator does not compute.
    """

    has_native = True
    num_levels = 0

    def remember_by(
        self, associate_all: Associate, memory: Any, steered: Any, past: Tensor | None
    ) -> tuple[Tensor, Any]:
        """`remember_all` by one of the ways to associate."""
        raise NotImplementedError

    def remember_all(self, memory: Any, steered: Any, past: Tensor | None) -> tuple[Tensor, Any]:
        return self.remember_by(partial(associate_chunks, chunk_size=self.chunk_size), memory, steered, past)

    def native_refusal(self, input: Tensor, state: State) -> str | None:
        if self.num_levels:
            return "it computes no levels"
        if overrides(self, AssociativeMixer, ("scan", "remember_all")):
            return "it computes memnet's own cells as they were built"
        if hooked(*self.modules()):
            return "it runs no hooks"
        return associations.refusal([input, *self.parameters(), *state_tensors(state)])

    def native_loss(self, input: Tensor, state: Any) -> str | None:
        sizes = [one.size(-2) * one.size(-1) for one in state_tensors(state.memory) if one.dim() == 4]
        large = max(sizes, default=0) > _MOST_NUMBERS
        return f"chunks are faster for memories of more than {_MOST_NUMBERS:,} numbers" if large else None

    def unroll_native(self, input: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, State]:
        return self._along(input, state, lengths, partial(self.remember_by, associations.associate_tokens))


class ConvolvedMixer(Mixer):
    """One whose memory is steered by one linear layer, some of whose features are convolved.

    channels:    features that are convolved. others: further features of the linear layer.
    convolution: steps that the convolution sees, followed by SiLU; 0 for neither.
    straight:    the last so many channels go without SiLU.
    A class brings `steer` in place of `prepare`.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        channels: int,
        others: int,
        width: int,
        *,
        convolution: int,
        convolution_bias: bool = False,
        straight: int = 0,
    ) -> None:
        check_sizes(0, convolution=convolution)
        super().__init__(input_size, output_size, width, (max(convolution - 1, 0), channels))
        self.channels = channels
        self.projection = nn.Linear(input_size, channels + others, bias=False)
        self.convolution = (
            ShortConvolution(channels, convolution, bias=convolution_bias, straight=straight) if convolution else None
        )

    def steer(self, convolved: Tensor, others: Tensor) -> Any:
        """What steers the memory, a NamedTuple of tensors with the leading axes of (..., channels), (..., others)."""
        raise NotImplementedError

    def project(self, input: Tensor) -> tuple[Tensor, ...]:
        return (self.projection(input),)

    def prepare(self, emitted: Tensor, tail: Tensor, lengths: Tensor | None) -> tuple[Any, Tensor]:
        convolved = emitted[..., : self.channels]
        if self.convolution is not None:
            convolved, tail = self.convolution(convolved, tail, lengths)
        return self.steer(convolved, emitted[..., self.channels :]), tail


def without(past: Tensor | None, value: Tensor, filler: float = 0.0) -> Tensor:
    """Values (batch, time, ...) with the filler where a row is past its end."""
    return value if past is None else value.masked_fill(past.view(*past.shape, *[1] * (value.dim() - 2)), filler)
