"""Layers with residual connections around any cell, one upon the other."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.cells import Cell, WatchedCell, parted, together
from memnet.checks import check_sizes
from memnet.state import State
from memnet.trace import Part
from memnet.unroll import hooked, unroll_chunked, unroll_fast


class RMSNorm(nn.Module):
    """x / sqrt(mean x^2 + eps) times a trained weight, over the last axis, computed in float32 at least.

    size: features. eps: what a vector of zeros is divided by, squared.
    The parameter is `weight`, as torch.nn.RMSNorm's.
    """

    def __init__(self, size: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, input: Tensor) -> Tensor:
        precise = input.to(torch.promote_types(input.dtype, torch.float32))
        scale = torch.rsqrt(precise.square().mean(-1, keepdim=True) + self.eps)
        return (precise * scale * self.weight.to(precise.dtype)).to(input.dtype)


def norm_of(size: int, normed: bool) -> nn.Module:
    """What a layer sees its features through: a norm, or nothing."""
    return RMSNorm(size) if normed else nn.Identity()


class FeedForward(nn.Module):
    """W_down [silu(W_gate x) * W_up x], the gated layer of Shazeer 2020 (arXiv 2002.05202, eq. 6: SwiGLU).

    size: features in and out. hidden_size: features between.
    `gate_up.weight` holds the rows of W_gate, then those of W_up.
    """

    def __init__(self, size: int, hidden_size: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(size, 2 * hidden_size, bias=False)
        self.down = nn.Linear(hidden_size, size, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        gate, up = self.gate_up(input).chunk(2, -1)
        output: Tensor = self.down(functional.silu(gate) * up)
        return output


class Block(WatchedCell):
    """A cell as a layer with a residual connection, and after it a feed-forward layer with one of its own.

        y = x + mixer(norm(x))        z = y + feed_forward(norm(y))

    mixer:     any cell; where its output is of another size than its input, a linear layer `merge` brings it back.
    expansion: features within the feed-forward layer, as a multiple of the input's; 0 for none.
    normed:    whether both see normalised features; else they see them as they are.
    Its state is the mixer's.
    """

    def __init__(self, mixer: Cell, *, expansion: int = 2, normed: bool = True) -> None:
        super().__init__()
        check_sizes(0, expansion=expansion)
        size = self.input_size = self.output_size = mixer.input_size
        self.expansion, self.has_scan, self.has_native = expansion, mixer.has_scan, mixer.has_native
        self.mixer_norm, self.mixer = norm_of(size, normed), mixer
        self.merge = None if mixer.output_size == size else nn.Linear(mixer.output_size, size, bias=False)
        self.feed_forward_norm = norm_of(size, normed) if expansion else None
        self.feed_forward = FeedForward(size, expansion * size) if expansion else None

    def initial_state(self, batch_size: int) -> State:
        return self.mixer.initial_state(batch_size)

    def shared(self) -> Any:
        return self.mixer.shared()

    def watched_step(self, projected: tuple[Any, ...], state: State) -> tuple[Tensor, State, Any]:
        (input,), shared = parted(self, projected)
        seen = together(self.mixer.project(self.mixer_norm(input)), shared)
        mixed, state, watched = self.mixer.watched_step(seen, state)
        return self._added(input, mixed), state, watched

    def forward(self, input: Tensor, state: State) -> tuple[Tensor, State]:
        mixed, state = self.mixer(self.mixer_norm(input), state)
        return self._added(input, mixed), state

    def scan(self, input: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        mixed, state = self.mixer.scan(self.mixer_norm(input), state, lengths)
        return self._added(input, mixed), state

    def native_refusal(self, input: Tensor, state: State) -> str | None:
        return "it runs no hooks" if hooked(*self.modules()) else self.mixer.native_refusal(input, state)

    def native_loss(self, input: Tensor, state: State) -> str | None:
        return self.mixer.native_loss(input, state)

    def unroll_native(self, input: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        mixed, state = self.mixer.unroll_native(self.mixer_norm(input), state, lengths)
        return self._added(input, mixed), state

    def _added(self, input: Tensor, mixed: Tensor) -> Tensor:
        """The output from what the mixer made of the input, for any leading axes."""
        output: Tensor = input + (mixed if self.merge is None else self.merge(mixed)).to(input.dtype)
        if self.feed_forward is None or self.feed_forward_norm is None:
            return output
        return output + self.feed_forward(self.feed_forward_norm(output)).to(output.dtype)  # type: ignore[no-any-return]

    def parts(self, states: State, watched: Any) -> list[Part]:
        """Those of the mixer."""
        return self.mixer.parts(states, watched)


Before: TypeAlias = Callable[[int, Tensor], Tensor]


def unchanged(place: int, hidden: Tensor) -> Tensor:
    """What goes into a block, where nothing is done to it."""
    return hidden


class Stack(WatchedCell):
    """A linear embedding, blocks one upon the other, and a norm.

    input_size: features of the input.
    blocks:     cells of one size, mixed at will: a Block around a memory of any kind, or any cell whose output is of
                its input's size. Each has weights of its own.
    normed:     whether there is a norm behind the last of them.
    Its state is the tuple of theirs.
    Raises ValueError for no blocks, for such as do not fit, or for such as share weights.
    """

    def __init__(self, input_size: int, blocks: Sequence[Cell], *, normed: bool = True) -> None:
        super().__init__()
        sizes = [size for block in blocks for size in (block.input_size, block.output_size)]
        if not blocks or len({*sizes}) > 1:
            raise ValueError(f"blocks must be at least one, all of one size, not {sizes}")
        weights = [id(one) for block in blocks for one in block.parameters()]
        if len({*weights}) < len(weights):
            raise ValueError("every block must have weights of its own: make a new one for each layer")
        self.input_size, self.output_size = input_size, sizes[0]
        self.embedding = nn.Linear(input_size, sizes[0])
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm_of(sizes[0], normed)
        self.has_scan = any(block.has_scan for block in blocks)
        self.has_native = any(block.has_native for block in blocks)

    def initial_state(self, batch_size: int) -> tuple[State, ...]:
        return tuple(block.initial_state(batch_size) for block in self._cells())

    def project(self, input: Tensor) -> tuple[Tensor, ...]:
        return (self.embedding(input),)

    def shared(self) -> tuple[Any, ...]:
        return tuple(block.shared() for block in self._cells())

    def watched_step(
        self, projected: tuple[Any, ...], state: tuple[State, ...]
    ) -> tuple[Tensor, tuple[State, ...], tuple[Any, ...]]:
        """`step`, with what every block's own gives beside its results."""
        (hidden,), shared = parted(self, projected)
        hidden, state, watched = self.step_of_blocks(hidden, state, shared)
        return self.norm(hidden), state, watched

    def step_of_blocks(
        self, hidden: Tensor, state: tuple[State, ...], shared: tuple[Any, ...], before: Before = unchanged
    ) -> tuple[Tensor, tuple[State, ...], tuple[Any, ...]]:
        """A step of the blocks alone, without embedding and norm: (batch, width) to the same.

        before: what becomes of the input of each block, given the block's place.
        """
        states: list[State] = []
        watched: list[Any] = []
        for place, (block, own, one) in enumerate(zip(self._cells(), shared, state, strict=True)):
            hidden = before(place, hidden)
            hidden, after, steered = block.watched_step(together(block.project(hidden), own), one)
            states.append(after)
            watched.append(steered)
        return hidden, tuple(states), tuple(watched)

    def run_of_blocks(
        self, hidden: Tensor, state: tuple[State, ...], lengths: Tensor | None, before: Before = unchanged
    ) -> tuple[Tensor, tuple[State, ...]]:
        """Many steps of the blocks alone, as fast as may be, see step_of_blocks: (batch, time, width) to the same."""
        return self._through(partial(unroll_fast, lengths=lengths), hidden, state, before)

    def forward(self, input: Tensor, state: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        hidden, state = self._through(lambda block, seen, one: block(seen, one), self.embedding(input), state)
        return self.norm(hidden), state

    def scan(self, input: Tensor, state: tuple[State, ...], lengths: Tensor | None) -> tuple[Tensor, tuple[State, ...]]:
        hidden, state = self._through(partial(unroll_chunked, lengths=lengths), self.embedding(input), state)
        return self.norm(hidden), state

    def native_refusal(self, input: Tensor, state: tuple[State, ...]) -> str | None:
        """None where the operator of any of its layers covers it; the others run as fast as they can."""
        if hooked(*self.modules()):
            return "it runs no hooks"
        told = [block.native_refusal(input, one) for block, one in zip(self._cells(), state, strict=True)]
        return None if None in told else "; ".join(dict.fromkeys(filter(None, told)))

    def native_loss(self, input: Tensor, state: tuple[State, ...]) -> str | None:
        """Where no layer gains by its operator."""
        told = [block.native_loss(input, one) for block, one in zip(self._cells(), state, strict=True)]
        return None if None in told else "; ".join(dict.fromkeys(filter(None, told)))

    def unroll_native(
        self, input: Tensor, state: tuple[State, ...], lengths: Tensor | None
    ) -> tuple[Tensor, tuple[State, ...]]:
        hidden, state = self.run_of_blocks(self.embedding(input), state, lengths)
        return self.norm(hidden), state

    def _through(
        self,
        run: Callable[[Cell, Tensor, State], tuple[Tensor, State]],
        hidden: Tensor,
        state: tuple[State, ...],
        before: Before = unchanged,
    ) -> tuple[Tensor, tuple[State, ...]]:
        states: list[State] = []
        for place, (block, one) in enumerate(zip(self._cells(), state, strict=True)):
            hidden, after = run(block, before(place, hidden), one)
            states.append(after)
        return hidden, tuple(states)

    def parts(self, states: tuple[State, ...], watched: tuple[Any, ...]) -> list[Part]:
        """Those of all blocks; of several the names of layer 1 end in ", layer 1"."""
        layers = zip(self._cells(), states, watched or [()] * len(states), strict=True)
        several = len(states) > 1
        return [
            part._replace(name=f"{part.name}, layer {number}") if several else part
            for number, (block, *of_block) in enumerate(layers, start=1)
            for part in block.parts(*of_block)
        ]

    def _cells(self) -> list[Cell]:
        return list(self.blocks)  # type: ignore[arg-type]


def stack_of(mixer: Callable[..., Cell]) -> Callable[..., Stack]:
    """What makes a Stack of layers around cells of one kind: a cell_type whose options are those of both.

    mixer: a class of cells, or whatever else makes one of input size, output size and options given by name.
    """

    def make(
        input_size: int,
        *,
        hidden_size: int = 64,
        num_layers: int = 2,
        expansion: int = 2,
        normed: bool = True,
        **options: Any,
    ) -> Stack:
        """A linear embedding and layers upon it.

        hidden_size: features of a layer. num_layers: layers.
        expansion:   features within a layer's feed-forward part, as a multiple of hidden_size; 0 for no such part.
        normed:      whether layers and readout see normalised features; else they see them as they are, so that what is
                     linear in the input stays so.
        """
        check_sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        mixers = [mixer(hidden_size, hidden_size, **options) for _ in range(num_layers)]
        blocks = [Block(one, expansion=expansion, normed=normed) for one in mixers]
        return Stack(input_size, blocks, normed=normed)

    own, more = (inspect.signature(one, eval_str=True) for one in (make, mixer))
    parameters = [one for one in own.parameters.values() if one.kind is not one.VAR_KEYWORD]
    parameters += [one for one in more.parameters.values() if one.kind is one.KEYWORD_ONLY]
    # Where who asks for the options finds what they are, and what is said of them.
    vars(make).update(__signature__=own.replace(parameters=parameters), cell_type=mixer)
    return make
