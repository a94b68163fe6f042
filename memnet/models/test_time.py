"""Memories that learn while they read: TTT (Sun et al. 2024, arXiv 2407.04620) and Titans (Behrouz et al. 2025,
arXiv 2501.00663).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple, TypeAlias

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from memnet.blocks import Stack, stack_of
from memnet.checks import check_choice, check_sizes
from memnet.functional.inner_learning import (
    Course,
    Norm,
    averaged_course,
    gradients,
    momentum_course,
    network,
    outer,
    read_along,
)
from memnet.mixers import ConvolvedMixer, MixerState, per_head_norm, unit
from memnet.sequence import SequenceModule
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


class TTTCell(InnerCell):
    """One step of a memory that is trained at test time, TTT-Linear or TTT-MLP.

        f_W(x) = x + norm(net_W(x))        l(W; t) = |f_W(k_t) - v_t|^2 / 2
        W_t = W_0 - c_j sum_{s <= t} eta_s grad l(W_0; s)        o_t = f_{W_t}(q_t)

    where W_0 are the weights when the mini-batch began, t its j-th token, eta = learning_rate sigmoid(.) / head_size,
    and c_j = max(1 / j + learned_j, 0) (Sun et al. 2024, eqs. 4 to 6 and section 2.7). W of the first mini-batch is
    learned. The authors' rotary embedding of positions in a mini-batch is left out.

    Weights of TTTLinear and TTTMLP of the authors' ttt-lm-pytorch, by rows where one linear layer holds several:

        projection.weight        q_proj, k_proj, v_proj, learnable_ttt_lr_weight, g_proj
        rate_bias                learnable_ttt_lr_bias
        layers.0, layers.1       W1 and, as last row, b1; W2, b2
        token_factors            learnable_token_idx
        inner_weight, inner_bias ttt_norm_weight, ttt_norm_bias
        norm_weight, norm_bias   post_norm.weight, post_norm.bias
        output                   o_proj

    input_size:    features of the input. hidden_size: features of the output.
    num_heads:     memories side by side.
    head_size:     features of queries, keys and values, of one head.
    memory:        the network: "linear", or "mlp", with a hidden layer of four times as many units.
    mini_batch:    tokens that learn from the same weights.
    learning_rate: what rates stay below, times head_size; the authors have 1 for "linear", 0.1 for "mlp".
    convolution:   steps that queries, keys and values see, before SiLU; 0 for neither, as the authors have it.
    Raises ValueError for sizes that cannot be.
    """

    biased = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_heads: int = 2,
        head_size: int = 32,
        memory: InnerNetwork = "linear",
        mini_batch: int = 16,
        learning_rate: float = 1.0,
        convolution: int = 4,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_heads=num_heads,
            head_size=head_size,
            memory=memory,
            mini_batch=mini_batch,
            learning_rate=learning_rate,
            convolution=convolution,
            numbers=1,
        )
        self.rate_bias = nn.Parameter(torch.zeros(num_heads))
        self.token_factors = nn.Parameter(torch.zeros(mini_batch))
        self.inner_weight = nn.Parameter(torch.ones(num_heads, 1, head_size))
        self.inner_bias = nn.Parameter(torch.zeros(num_heads, 1, head_size))
        self.norm_weight = nn.Parameter(torch.ones(num_heads * head_size))
        self.norm_bias = nn.Parameter(torch.zeros(num_heads * head_size))

    @property
    def norm(self) -> Norm:
        dtype = torch.promote_types(self.inner_weight.dtype, torch.float32)
        return Norm(self.inner_weight.to(dtype), self.inner_bias.to(dtype))

    def factors(self, like: Tensor) -> Tensor:
        """c_j of all tokens of a mini-batch, (token,)."""
        places = torch.arange(1, self.mini_batch + 1, dtype=like.dtype, device=like.device)
        return (1 / places + self.token_factors.to(like)).clamp(min=0)

    def steer(self, convolved: Tensor, others: Tensor) -> InnerSteered:
        (query, key, value), (rate,), gate = self.split(convolved, others)
        rate = self.learning_rate / self.head_size * torch.sigmoid(rate + self.rate_bias.to(rate))
        return InnerSteered(query, key, value, rate, rate[..., :0], rate[..., :0], gate)

    def now(self, layers: Layers) -> Layers:
        return ()

    def changed(self, memory: InnerMemory, carried: Layers, steered: InnerSteered) -> Layers:
        factor = self.factors(steered.rate)[memory.position.long()].view(-1, 1, 1, 1)
        return tuple(one + factor * change for one, change in zip(memory.start, carried, strict=True))

    def course(self, steered: InnerSteered, real: Tensor) -> Course:
        return averaged_course(steered.rate, self.factors(steered.rate))

    def ended(self, memory: InnerMemory) -> InnerMemory:
        factor = self.factors(memory.position)[-1]
        start = tuple(one + factor * change for one, change in zip(memory.start, memory.carried, strict=True))
        nothing = tuple(torch.zeros_like(one) for one in start)
        return InnerMemory(start, (), nothing, torch.zeros_like(memory.position))

    def emit(self, reads: Tensor, steered: InnerSteered) -> Tensor:
        width = reads.flatten(-2)
        width = per_head_norm(width, self.norm_weight, 1e-6, centered=True) + self.norm_bias.to(width)
        return width * functional.gelu(steered.gate.flatten(-2), approximate="tanh")


class TitansCell(InnerCell):
    """One step of the long-term memory of Titans, which learns with momentum and forgets.

        S_t = eta_t S_{t-1} - theta_t grad l(M; t)        M_t = (1 - alpha_t) M_{t-1} + S_t        o_t = M_t(q_t)
        l(M; t) = |M(k_t) - v_t|^2 / 2

    (Behrouz et al. 2025, eqs. 12 to 15; their loss lacks the half), with grad l for the weights when the mini-batch
    began, as they train it; a mini-batch of one token is the equation as it stands. eta, alpha = sigmoid(.), theta =
    learning_rate sigmoid(.), of each head; keys and queries are of length one. The first M is learned. This is the
    memory as a layer of its own (LMM); what is read is normalised head by head and gated. There are no weights of the
    authors.

    input_size:    features of the input. hidden_size: features of the output.
    num_heads:     memories side by side.
    head_size:     features of queries, keys and values, of one head.
    memory:        the network M: "linear", or "mlp", with a hidden layer of four times as many units.
    mini_batch:    tokens that learn from the same weights.
    learning_rate: what theta stays below.
    convolution:   steps that queries, keys and values see, before SiLU; 0 for neither.
    Raises ValueError for sizes that cannot be.
    """

    biased = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_heads: int = 2,
        head_size: int = 32,
        memory: InnerNetwork = "mlp",
        mini_batch: int = 16,
        learning_rate: float = 1.0,
        convolution: int = 4,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_heads=num_heads,
            head_size=head_size,
            memory=memory,
            mini_batch=mini_batch,
            learning_rate=learning_rate,
            convolution=convolution,
            numbers=3,
        )
        # At first little is forgotten.
        biases = torch.tensor([0.0, 0.0, -4.0]).unsqueeze(-1)
        self.number_bias = nn.Parameter(biases.repeat(1, num_heads))
        self.norm_weight = nn.Parameter(torch.ones(head_size))

    def steer(self, convolved: Tensor, others: Tensor) -> InnerSteered:
        (query, key, value), numbers, gate = self.split(convolved, others)
        rate, momentum, decay = (one + bias for one, bias in zip(numbers, self.number_bias.to(others), strict=True))
        return InnerSteered(
            query=unit(query),
            key=unit(key),
            value=value,
            rate=self.learning_rate * torch.sigmoid(rate),
            log_momentum=functional.logsigmoid(momentum),
            log_kept=functional.logsigmoid(-decay),
            gate=gate,
        )

    def changed(self, memory: InnerMemory, carried: Layers, steered: InnerSteered) -> Layers:
        kept = torch.exp(steered.log_kept)[..., None, None]
        return tuple(kept * one + change for one, change in zip(memory.current, carried, strict=True))

    def course(self, steered: InnerSteered, real: Tensor) -> Course:
        return momentum_course(steered.rate, steered.log_momentum * real, steered.log_kept * real, real)

    def ended(self, memory: InnerMemory) -> InnerMemory:
        return InnerMemory(memory.current, memory.current, memory.carried, torch.zeros_like(memory.position))

    def emit(self, reads: Tensor, steered: InnerSteered) -> Tensor:
        return (per_head_norm(reads, self.norm_weight) * functional.silu(steered.gate)).flatten(-2)


class TTT(SequenceModule):
    """Layers whose memory is a network trained at test time, TTT-Linear or TTT-MLP.

    input_size, output_size: features. All options are those of memnet.blocks.stack_of and of TTTCell: layers and their
    size; heads, the network and how it learns. `forward` is SequenceModule's: state in, state out, lengths.
    """

    cell: Stack
    cell_type = stack_of(TTTCell)


class Titans(SequenceModule):
    """Layers of the long-term memory of Titans, a network trained at test time with momentum and decay.

    input_size, output_size: features. All options are those of memnet.blocks.stack_of and of TitansCell: layers and
    their size; heads, the network and how it learns. `forward` is SequenceModule's: state in, state out, lengths.
    """

    cell: Stack
    cell_type = stack_of(TitansCell)
