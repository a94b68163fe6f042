"""MesaNet: what is read is by least squares over all that was written (von Oswald et al. 2025, arXiv 2506.05233)."""

import math
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.blocks import Stack, stack_of
from memnet.checks import check_choice, check_sizes
from memnet.functional.associations import bound, by_chunks, decayed, recalled, sums_between
from memnet.functional.least_squares import conjugate_gradients, solved
from memnet.mixers import ConvolvedMixer, MixerState, per_head_norm, unit, without
from memnet.sequence import SequenceModule
from memnet.trace import Part

Solver: TypeAlias = Literal["conjugate-gradients", "exact"]


class MesaMemory(NamedTuple):
    """What a MesaNet remembers.

    covariance: (batch, head, key, key), the decayed sum of beta k k^T.
    products:   (batch, head, key, value), that of beta k v^T.
    """

    covariance: Tensor
    products: Tensor


class MesaSteered(NamedTuple):
    """What steers a step.

    query, key: (batch, head, key), of length one, by default.
    value:      (batch, head, value).
    strength:   (batch, head), beta, in (0, 1).
    log_decay:  (batch, head), at most 0.
    gate:       (batch, head, value), of the output before SiLU; the last axis is empty where there is none.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    strength: Tensor
    log_decay: Tensor
    gate: Tensor


class MesaCell(ConvolvedMixer):
    """One step of a memory that is read by least squares.

        H <- g H + beta k k^T        G <- g G + beta k v^T        o = G^T (H + Lambda)^-1 q

    so that o = W q by the W that has the least sum of beta |W k - v|^2, each times the decay since, plus
    |W Lambda^1/2|^2. The system is solved at every step, by conjugate gradients from q / diag(H + Lambda), or exactly.
    What is read is normalised head by head, by default.

    Weights of flash-linear-attention's MesaNet, by rows where one linear layer holds several:

        projection.weight     q_proj, k_proj, v_proj, a_proj.weight, b_proj.weight, g_proj
        gate_bias             a_proj.bias, b_proj.bias
        convolution.weight    q_conv1d, k_conv1d
        ridge                 lambda_params, by head
        norm_weight, output   o_norm.weight, o_proj

    input_size:  features of the input. hidden_size: features of the output.
    num_heads:   memories side by side.
    key_size:    features of a key, of one head. value_size: features of a value, of one head.
    solver:      "conjugate-gradients", or "exact", which for many keys takes more memory: a matrix for each step.
    num_steps:   of conjugate gradients; as many as key_size are exact, but for rounding.
    least_ridge: what Lambda is above. It begins at 1.
    output_gate: whether what is read is gated by the input.
    output_norm: whether what is read is normalised head by head. The mesa layer before (von Oswald et al. 2023,
                 arXiv 2309.05858) does not, so that a number that is foretold keeps its size.
    convolution: steps that queries and keys see, before SiLU; 0 for neither.
    linear_keys: whether queries and keys are linear in the input, of any length and without SiLU, as in the equations
                 of the mesa layer before.
    Raises ValueError for sizes that cannot be.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_heads: int = 2,
        key_size: int = 32,
        value_size: int = 32,
        solver: Solver = "conjugate-gradients",
        num_steps: int = 30,
        least_ridge: float = 0.25,
        output_gate: bool = False,
        output_norm: bool = True,
        convolution: int = 4,
        linear_keys: bool = False,
    ) -> None:
        check_sizes(num_heads=num_heads, key_size=key_size, value_size=value_size, num_steps=num_steps)
        check_choice("solver", solver, Solver)
        if not 0 <= least_ridge < 1:
            raise ValueError(f"least_ridge must be in [0, 1), not {least_ridge}")
        keys, values = num_heads * key_size, num_heads * value_size
        self._sizes = [values, 2 * num_heads, values * output_gate]
        super().__init__(
            input_size,
            hidden_size,
            2 * keys,
            sum(self._sizes),
            values,
            convolution=convolution,
            straight=2 * keys * linear_keys,
        )
        self.linear_keys = linear_keys
        self.num_heads, self.key_size, self.value_size = num_heads, key_size, value_size
        self.solver, self.num_steps, self.least_ridge, self.output_gate = solver, num_steps, least_ridge, output_gate
        self.gate_bias = nn.Parameter(torch.stack([torch.full((num_heads,), 4.0), torch.zeros(num_heads)]))
        self.ridge = nn.Parameter(torch.full((num_heads, key_size), math.log(math.expm1(1 - least_ridge))))
        self.norm_weight = nn.Parameter(torch.ones(value_size)) if output_norm else None

    def first_memory(self, batch_size: int) -> MesaMemory:
        heads = (batch_size, self.num_heads, self.key_size)
        return MesaMemory(self.zeros(*heads, self.key_size), self.zeros(*heads, self.value_size))

    def steer(self, convolved: Tensor, others: Tensor) -> MesaSteered:
        heads = self.num_heads
        query, key = (one.unflatten(-1, (heads, -1)) for one in convolved.chunk(2, -1))
        value, numbers, gate = others.split(self._sizes, -1)
        decay, strength = (numbers.unflatten(-1, (2, heads)) + self.gate_bias.to(numbers)).unbind(-2)
        value, gate = (one.unflatten(-1, (heads, -1)) for one in (value, gate))
        if not self.linear_keys:
            query, key = unit(query), unit(key)
        return MesaSteered(query, key, value, torch.sigmoid(strength), functional.logsigmoid(decay), gate)

    def ridges(self, like: Tensor) -> Tensor:
        """The diagonal of Lambda, (head, key)."""
        return functional.softplus(self.ridge.to(like)) + self.least_ridge

    def remember(self, memory: MesaMemory, steered: MesaSteered) -> tuple[Tensor, MesaMemory]:
        decay, weighed = steered.log_decay.unsqueeze(-1), steered.strength.unsqueeze(-1) * steered.key
        covariance = bound(decayed(memory.covariance, decay), weighed, steered.key)
        products = bound(decayed(memory.products, decay), weighed, steered.value)
        ridge = self.ridges(decay)
        if self.solver == "exact":
            found = solved(covariance, ridge, steered.query)
        else:
            start = steered.query / (covariance.diagonal(dim1=-2, dim2=-1) + ridge)
            found = conjugate_gradients(
                lambda vector: recalled(covariance, vector) + ridge * vector, steered.query, start, self.num_steps
            )
        return recalled(products, found), MesaMemory(covariance, products)

    def remember_all(self, memory: MesaMemory, steered: MesaSteered, past: Tensor | None) -> tuple[Tensor, MesaMemory]:
        """All chunks at once, from what the memory is when each begins."""
        time, size = steered.key.size(1), min(self.chunk_size, steered.key.size(1))
        strength, log_decay = without(past, steered.strength), without(past, steered.log_decay)
        query, key, value, weighed, decay = (
            by_chunks(one, size)
            for one in (
                steered.query,
                steered.key,
                steered.value,
                strength.unsqueeze(-1) * steered.key,
                log_decay.unsqueeze(-1),
            )
        )
        begun, shares = torch.exp(decay.cumsum(3)), torch.exp(sums_between(decay)).squeeze(-1)
        lasting = weighed * shares[..., -1, :].unsqueeze(-1)
        added = lasting.transpose(-1, -2) @ torch.cat([key, value], -1)
        joined, starts = torch.cat(list(memory), -1), []
        for kept, new in zip(begun[..., -1:, :].unbind(2), added.unbind(2), strict=True):
            starts.append(joined)
            joined = joined * kept + new
        covariance, products = torch.stack(starts, 2).split([self.key_size, self.value_size], -1)
        ridge = self.ridges(key)[:, None, None]

        def product(vector: Tensor) -> Tensor:
            """Of each step's H + Lambda with a vector."""
            among = shares * (vector @ weighed.transpose(-1, -2))
            found: Tensor = begun * (vector @ covariance) + among @ key + ridge * vector
            return found

        if self.solver == "exact":
            outer = (weighed.unsqueeze(-1) * key.unsqueeze(-2)).flatten(-2)
            each = begun.unsqueeze(-1) * covariance.unsqueeze(3) + (shares @ outer).unflatten(-1, (self.key_size, -1))
            found = solved(each, ridge.expand_as(query), query)
        else:
            diagonal = begun * covariance.diagonal(dim1=-2, dim2=-1).unsqueeze(3) + shares @ (weighed * key)
            found = conjugate_gradients(product, query, query / (diagonal + ridge), self.num_steps)
        among = shares * (found @ weighed.transpose(-1, -2))
        reads = begun * (found @ products) + among @ value
        last = MesaMemory(*joined.split([self.key_size, self.value_size], -1))
        return reads.flatten(2, 3)[:, :, :time].transpose(1, 2), last

    def emit(self, reads: Tensor, steered: MesaSteered) -> Tensor:
        if self.norm_weight is not None:
            reads = per_head_norm(reads, self.norm_weight)
        return (reads * functional.silu(steered.gate) if self.output_gate else reads).flatten(-2)

    def parts(self, states: MixerState, watched: MesaSteered) -> list[Part]:
        """What every head has summed, and what steered it."""
        head = ("time", "head")
        return [
            Part("matrix", "memory", states.memory.products, (*head, "key", "value")),
            Part("matrix", "covariance", states.memory.covariance, (*head, "key", "key")),
            Part("signal", "query", watched.query, (*head, "key")),
            Part("signal", "key", watched.key, (*head, "key")),
            Part("signal", "value", watched.value, (*head, "value")),
            Part("gate", "strength", watched.strength, head),
            Part("gate", "kept", torch.exp(watched.log_decay), head),
        ]


class Mesa(SequenceModule):
    """Layers of MesaNet, whose memory is read by least squares over all that was written.

    input_size, output_size: features. All options are those of memnet.blocks.stack_of and of MesaCell: num_layers,
    hidden_size and expansion of the layers, whether they are normed; heads and the sizes of their memories; how the
    least squares are solved. `forward` is SequenceModule's: state in, state out, lengths.
    """

    cell: Stack
    cell_type = stack_of(MesaCell)
