"""One recurrence with options: linear attention, DeltaNet, Gated DeltaNet, Kimi Delta Attention, DeltaProduct."""

import math
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.blocks import Stack, stack_of
from memnet.checks import check_choice, check_sizes
from memnet.functional.associations import Associate
from memnet.leveled import (
    LinearMemory,
    check_levels,
    first_memory,
    level_scales,
    memory_parts,
    remember_token,
    remember_tokens,
)
from memnet.mixers import AssociativeMixer, ConvolvedMixer, MixerState, per_head_norm, unit, without
from memnet.sequence import SequenceModule
from memnet.trace import Part

Rule: TypeAlias = Literal["delta", "sum"]
Decay: TypeAlias = Literal["none", "head", "channel"]
Strength: TypeAlias = Literal["sigmoid", "hard", "twice", "closed"]
Features: TypeAlias = Literal["unit", "elu"]


class DeltaSteered(NamedTuple):
    """What steers a step.

    query:     (batch, head, key), of length 1 / sqrt(key) where features are "unit".
    key:       (batch, head, factor, key), of length 1 where features are "unit".
    value:     (batch, head, factor, value).
    strength:  (batch, head, factor), beta, from 0 to 1 or to 2.
    log_decay: (batch, head, key or 1), at most 0; the last axis is empty where nothing decays.
    gate:      (batch, head, value), of the output before its squashing; the last axis is empty where there is none.
    scales:    (batch, head, level), lambda, of what is read from every level; the last axis is empty without levels.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    strength: Tensor
    log_decay: Tensor
    gate: Tensor
    scales: Tensor


def strengths(emitted: Tensor, kind: Strength) -> Tensor:
    """How much of what a key finds is replaced, beta.

    "sigmoid": s = sigmoid(x), eigenvalues of I - beta k k^T from 0 to 1.
    "hard":    clamp(1.1 s - 0.05, 0, 1), which reaches 0, where a token leaves the memory as it is, and 1.
    "twice":   2 s, down to -1 (Grazzi et al. 2025, arXiv 2411.12537), which no x reaches.
    "closed":  2 clamp(1.1 s - 0.05, 0, 1), which reaches 0 and 2.
    """
    sigmoid = torch.sigmoid(emitted)
    if kind in ("hard", "closed"):
        sigmoid = (1.1 * sigmoid - 0.05).clamp(0, 1)
    return 2 * sigmoid if kind in ("twice", "closed") else sigmoid


def log_decays(emitted: Tensor, log_rate: Tensor, bias: Tensor) -> Tensor:
    """log a = -exp(A) softplus(x + b), at most 0, as in Mamba (Gu & Dao 2023, arXiv 2312.00752) and Gated DeltaNet."""
    return -torch.exp(log_rate) * functional.softplus(emitted + bias)


class DeltaCell(AssociativeMixer, ConvolvedMixer):
    """One step of a memory that binds keys to values and, by the delta rule, replaces what a key was bound to.

        S <- Diag(a) S        S <- S + beta k (v - S^T k)^T    factor by factor        o = S^T q

    where S is the transpose of most papers'. It is linear attention where rule is "sum" (Katharopoulos et al. 2020,
    arXiv 2006.16236); DeltaNet (Schlag et al. 2021, arXiv 2102.11174; Yang et al. 2024, arXiv 2406.06484); with decay
    "head" Gated DeltaNet (Yang et al. 2025, arXiv 2412.06464, eq. 10); with decay "channel" Kimi Delta Attention (2025,
    arXiv 2510.26692, eq. 1); with several factors DeltaProduct (Siems et al. 2025, arXiv 2502.10297). The equations are
    in memnet.functional.associations. What is read is normalised head by head and gated. With levels the memory is
    log-linear attention's (Guo et al. 2025, arXiv 2506.04761), see memnet.functional.levels, where level l is read
    with lambda = softplus(a_l w_l . x), a trained a.

    Weights of flash-linear-attention's layers, by rows where one linear layer holds several of theirs; those that are
    not there are left out:

        projection.weight    q_proj, k_proj, v_proj, b_proj, a_proj (of KDA f_proj.1 @ f_proj.0), g_proj (of KDA
                             g_proj.1 @ g_proj.0, whose bias is none here), with levels last what steers these
        convolution.weight   q_conv1d, k_conv1d, v_conv1d
        log_rate, decay_bias A_log, dt_bias
        norm_weight, output  o_norm.weight, o_proj

    input_size:  features of the input. hidden_size: features of the output.
    num_heads:   memories side by side.
    key_size:    features of a key, of one head. value_size: features of a value, of one head.
    rule:        "delta", or "sum", which adds and takes nothing away.
    decay:       "none", one for each "head", or one for each "channel" of the keys.
    num_factors: how often a token writes, each time with key, value and strength of its own.
    strength:    "sigmoid", beta between 0 and 1; "hard", which reaches both; "twice", up to 2, so that eigenvalues
                 reach down to -1; or "closed", which reaches 0 and 2. It is 1 where rule is "sum".
    features:    "unit", of keys and queries of length one; or "elu", 1 + elu(x), with which what is read is
                 divided by what the query finds in a sum of all keys (Katharopoulos et al. 2020, eqs. 7 and 20); that
                 needs rule "sum".
    output_gate: whether what is read is gated by the input, by SiLU, or by a sigmoid where decay is "channel".
    num_levels:  levels of the memory, as many times its state; 0 for a memory without. For a time T the paper has
                 log2 T + 1 of them, rounded up; the last one takes what is older.
    convolution: steps that queries, keys and values see, before SiLU; 0 for neither. What flash-linear-attention makes
                 without its convolutions, which leaves the SiLU, is 1 with weights of one.
    convolved_strength: whether strengths see these steps, too, before their sigmoid in place of SiLU, so that a write
                 may hang on what stood before it. They are the last rows that are convolved.
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
        rule: Rule = "delta",
        decay: Decay = "none",
        num_factors: int = 1,
        strength: Strength = "sigmoid",
        features: Features = "unit",
        output_gate: bool = True,
        num_levels: int = 0,
        convolution: int = 4,
        convolved_strength: bool = False,
    ) -> None:
        check_sizes(num_heads=num_heads, key_size=key_size, value_size=value_size, num_factors=num_factors)
        check_levels(num_levels)
        for name, one, choices in (
            ("rule", rule, Rule),
            ("decay", decay, Decay),
            ("strength", strength, Strength),
            ("features", features, Features),
        ):
            check_choice(name, one, choices)
        if features == "elu" and rule == "delta":
            raise ValueError('features "elu" need rule "sum": the delta rule is for keys of length one')
        keys, values, of_decay = (
            num_heads * key_size,
            num_heads * value_size,
            {"none": 0, "head": 1, "channel": key_size},
        )
        if convolved_strength and not (convolution and rule == "delta"):
            raise ValueError(f'convolved_strength needs rule "delta" and a convolution, got {rule!r} and {convolution}')
        of_strength = num_heads * num_factors * (rule == "delta")
        straight = of_strength if convolved_strength else 0
        self._convolved = [keys, num_factors * keys, num_factors * values, straight]
        self._sizes = [
            of_strength - straight,
            num_heads * of_decay[decay],
            values * output_gate,
            num_heads * num_levels,
        ]
        super().__init__(
            input_size,
            hidden_size,
            sum(self._convolved),
            sum(self._sizes),
            values,
            convolution=convolution,
            straight=straight,
        )
        self.num_heads, self.key_size, self.value_size, self.num_factors = num_heads, key_size, value_size, num_factors
        self.rule, self.decay, self.strength, self.features = rule, decay, strength, features
        self.output_gate, self.num_levels, self.convolved_strength = output_gate, num_levels, convolved_strength
        if decay == "channel":
            self.chunk_size = 16  # see associate_chunks
        if decay != "none":
            self.log_rate = nn.Parameter(torch.empty(num_heads, 1).uniform_(1, 16).log())
            self.decay_bias = nn.Parameter(first_biases(num_heads, of_decay[decay]))
        self.level_rate = nn.Parameter(torch.ones(num_heads, num_levels)) if num_levels else None
        self.norm_weight = nn.Parameter(torch.ones(value_size))

    def first_memory(self, batch_size: int) -> LinearMemory:
        sizes = (self.num_heads, self.key_size, self.value_size + (self.features == "elu"))
        return first_memory(self.zeros, self.num_levels, batch_size, *sizes)

    def steer(self, convolved: Tensor, others: Tensor) -> DeltaSteered:
        factors, heads = self.num_factors, self.num_heads
        query, key, value, of_steps = convolved.split(self._convolved, -1)
        of_step, decay, gate, scales = others.split(self._sizes, -1)
        emitted = torch.cat([of_steps, of_step], -1)
        query = query.unflatten(-1, (heads, -1))
        key, value = (one.unflatten(-1, (factors, heads, -1)).transpose(-2, -3) for one in (key, value))
        if self.features == "unit":
            query, key = unit(query) * self.key_size**-0.5, unit(key)
        else:
            query, key = (1 + functional.elu(one) for one in (query, key))
            value = torch.cat([value, torch.ones_like(value[..., :1])], -1)
        if self.rule == "delta":
            strength = strengths(emitted.unflatten(-1, (factors, heads)).transpose(-1, -2), self.strength)
        else:
            strength = torch.ones_like(key[..., 0])
        decay = decay.unflatten(-1, (heads, -1))
        if self.decay != "none":
            decay = log_decays(decay, self.log_rate.to(decay), self.decay_bias.to(decay))
        scales = level_scales(scales, heads, self.level_rate)
        return DeltaSteered(query, key, value, strength, decay, gate.unflatten(-1, (heads, -1)), scales)

    def _told(self, steered: DeltaSteered) -> dict[str, Any]:
        strength = steered.strength.unsqueeze(-1)
        return {
            "query": steered.query,
            "key": steered.key,
            "value": steered.value * strength,
            "erase": steered.key * strength if self.rule == "delta" else None,
            "log_decay": steered.log_decay if self.decay != "none" else None,
        }

    def remember(self, memory: LinearMemory, steered: DeltaSteered) -> tuple[Tensor, LinearMemory]:
        return remember_token(memory, steered.scales, **self._told(steered))

    def remember_by(
        self, associate_all: Associate, memory: LinearMemory, steered: DeltaSteered, past: Tensor | None
    ) -> tuple[Tensor, LinearMemory]:
        still = steered._replace(strength=without(past, steered.strength), log_decay=without(past, steered.log_decay))
        return remember_tokens(associate_all, memory, steered.scales, past, self.chunk_size, **self._told(still))

    def emit(self, reads: Tensor, steered: DeltaSteered) -> Tensor:
        if self.features == "elu":
            reads = reads[..., :-1] / (reads[..., -1:] + 1e-6)
        reads = per_head_norm(reads, self.norm_weight)
        if self.output_gate:
            squash = torch.sigmoid if self.decay == "channel" else functional.silu
            reads = reads * squash(steered.gate)
        return reads.flatten(-2)

    def parts(self, states: MixerState, watched: DeltaSteered) -> list[Part]:
        """The memory of every head, and what steered it."""
        head = ("time", "head")
        found = [
            *memory_parts(states.memory, watched.scales),
            Part("signal", "query", watched.query, (*head, "key")),
            Part("signal", "key", watched.key, (*head, "factor", "key")),
            Part("signal", "value", watched.value, (*head, "factor", "value")),
        ]
        if self.rule == "delta":
            found.append(Part("signal", "strength", watched.strength, (*head, "factor")))
        if self.decay != "none":
            axes = head if self.decay == "head" else (*head, "key")
            kept = torch.exp(watched.log_decay)
            found.append(Part("gate", "kept", kept.squeeze(-1) if self.decay == "head" else kept, axes))
        return found


def first_biases(heads: int, channels: int, least: float = 0.001, most: float = 0.1) -> Tensor:
    """Biases b by which softplus(b) is log-uniform, by default as Gated DeltaNet has it: (heads, channels)."""
    steps = torch.exp(torch.empty(heads, channels).uniform_(math.log(least), math.log(most)))
    return steps + torch.log(-torch.expm1(-steps))


class DeltaNet(SequenceModule):
    """Layers of linear attention or the delta rule, with or without decay and several factors a token.

    input_size, output_size: features. All options are those of memnet.blocks.stack_of and of DeltaCell: num_layers,
    hidden_size and expansion of the layers, whether they are normed; heads, the rule by which they write, decay,
    factors. `forward` is SequenceModule's: state in, state out, lengths.
    """

    cell: Stack
    cell_type = stack_of(DeltaCell)
