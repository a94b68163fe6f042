"""Mamba-2: a memory that decays by a number of each head and adds (Dao & Gu 2024, arXiv 2405.21060)."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.blocks import Stack, stack_of
from memnet.checks import check_ends, check_sizes
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
from memnet.mixers import AssociativeMixer, ConvolvedMixer, MixerState, per_head_norm, without
from memnet.models.delta import first_biases
from memnet.sequence import SequenceModule
from memnet.trace import Part


class MambaMemory(NamedTuple):
    """What a Mamba remembers.

    memory: (batch, head, state_size, head_size), S; with levels a LevelMemory.
    angle:  (batch, head, state_size / 2), how far keys have been turned, from 0 to 1 whole turns; empty without
            rotation.
    """

    memory: LinearMemory
    angle: Tensor


class MambaSteered(NamedTuple):
    """What steers a step.

    value:     (batch, head, head_size), x.
    write:     (batch, head, state_size), B.
    read:      (batch, head, state_size), C.
    interval:  (batch, head, 1), dt, above 0.
    log_decay: (batch, head, 1), -exp(A) dt.
    turn:      (batch, head, state_size / 2), by how much keys are turned further, 1 a whole turn; empty
                without rotation.
    gate:      (batch, head, head_size), z, of the output before SiLU.
    scales:    (batch, head, level), lambda, of what is read from every level; empty without levels.
    """

    value: Tensor
    write: Tensor
    read: Tensor
    interval: Tensor
    log_decay: Tensor
    turn: Tensor
    gate: Tensor
    scales: Tensor


def turned(vectors: Tensor, angle: Tensor) -> Tensor:
    """Channels i and i + n of (..., 2 n) turned by angle i, (..., n), 1 a whole turn; as they are for no angles."""
    if not angle.size(-1):
        return vectors
    first, second = vectors.chunk(2, -1)
    cosine, sine = torch.cos(2 * math.pi * angle), torch.sin(2 * math.pi * angle)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)


def angles(first: Tensor, turn: Tensor) -> Tensor:
    """How far keys have been turned after each of many steps, from 0 to 1 whole turns.

    Summed pair by pair and without whole turns: a sum from the beginning loses the digits of long sequences.

    first: (batch, ...), before the first step. turn: (batch, time, ...).
    """
    found = torch.cat([first.unsqueeze(1) + turn[:, :1], turn[:, 1:]], 1)
    reach = 1
    while reach < turn.size(1):
        found = torch.cat([found[:, :reach], torch.remainder(found[:, reach:] + found[:, :-reach], 1)], 1)
        reach *= 2
    return torch.remainder(found, 1)


class MambaCell(AssociativeMixer, ConvolvedMixer):
    """One step of the selective state space of Mamba-2.

        S <- exp(-exp(A) dt) S + B (dt x)^T        y = S^T C + D x        dt = softplus(. + b)

    with x, B, C convolved and B, C shared by the heads of a group (Dao & Gu 2024, section 7). The output is
    W_o rmsnorm(y silu(z)), each group's features normalised by themselves. The equations are in
    memnet.functional.associations. A, D and b are best trained without weight decay. With rotation B and C are turned,
    pair by pair of channels, by the sum of pi tanh(.) dt so far: the decay is then a complex number, by which it can
    count, like that of Mamba-3, of which this is but that part. With levels the memory is log-linear attention's, as
    DeltaCell's.

    Weights of mamba_ssm's Mamba2, by rows where one linear layer holds several:

        projection.weight       in_proj.weight, which has them in the order z, x, B, C, dt: here x, B, C, z, dt;
                                of flash-linear-attention's LogLinearMamba2 dl after them
        convolution.*           conv1d.*
        log_rate, decay_bias    A_log, dt_bias, (head,) there, (head, 1) here
        skip                    D, alike
        level_rate              L of LogLinearMamba2
        norm_weight, output     norm.weight, by group, out_proj

    input_size:  features of the input. hidden_size: features of the output.
    num_heads:   memories side by side.
    head_size:   features of a value, of one head. state_size: features of a key, of one head.
    num_groups:  groups of heads that share B and C; it divides num_heads.
    rotation:    whether keys are turned; state_size is even then.
    num_levels:  levels of the memory, as many times its state; 0 for a memory without. For a time T the paper has
                 log2 T + 1 of them, rounded up; the last one takes what is older.
    convolution: steps that x, B and C see, before SiLU; 0 for neither.
    first_rates: between which exp(A) is drawn at first, uniformly: mamba_ssm's A_init_range. Two heads of the default
                 may both forget within some steps, and then do not learn to hold longer.
    first_intervals: between which dt is at first where the input tells nothing, log-uniformly: dt_min, dt_max.
    Raises ValueError for sizes that cannot be.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_heads: int = 2,
        head_size: int = 32,
        state_size: int = 32,
        num_groups: int = 1,
        rotation: bool = False,
        num_levels: int = 0,
        convolution: int = 4,
        first_rates: tuple[float, float] = (1.0, 16.0),
        first_intervals: tuple[float, float] = (0.001, 0.1),
    ) -> None:
        check_sizes(num_heads=num_heads, head_size=head_size, state_size=state_size, num_groups=num_groups)
        check_ends("first_rates", first_rates)
        check_ends("first_intervals", first_intervals)
        check_levels(num_levels)
        if num_heads % num_groups:
            raise ValueError(f"num_groups must divide num_heads {num_heads}, not {num_groups}")
        if rotation and state_size % 2:
            raise ValueError(f"state_size must be even for a rotation, not {state_size}")
        inner, self._angles = num_heads * head_size, state_size // 2 * rotation
        super().__init__(
            input_size,
            hidden_size,
            inner + 2 * num_groups * state_size,
            inner + num_heads + self._angles + num_heads * num_levels,
            inner,
            convolution=convolution,
            convolution_bias=True,
        )
        self.num_heads, self.head_size, self.state_size, self.num_groups = num_heads, head_size, state_size, num_groups
        self.rotation, self.num_levels = rotation, num_levels
        self.log_rate = nn.Parameter(torch.empty(num_heads, 1).uniform_(*first_rates).log())
        self.decay_bias = nn.Parameter(first_biases(num_heads, 1, *first_intervals))
        self.skip = nn.Parameter(torch.ones(num_heads, 1))
        self.level_rate = nn.Parameter(torch.ones(num_heads, num_levels)) if num_levels else None
        self.norm_weight = nn.Parameter(torch.ones(num_groups, inner // num_groups))

    def first_memory(self, batch_size: int) -> MambaMemory:
        sizes = (self.num_heads, self.state_size, self.head_size)
        memory = first_memory(self.zeros, self.num_levels, batch_size, *sizes)
        return MambaMemory(memory, self.zeros(batch_size, self.num_heads, self._angles))

    def steer(self, convolved: Tensor, others: Tensor) -> MambaSteered:
        inner, keys = self.num_heads * self.head_size, self.num_groups * self.state_size
        value, *shared = convolved.split([inner, keys, keys], -1)
        sizes = [inner, self.num_heads, self._angles, self.num_heads * self.num_levels]
        gate, emitted, speed, scales = others.split(sizes, -1)
        write, read = (
            one.unflatten(-1, (self.num_groups, -1)).repeat_interleave(self.num_heads // self.num_groups, -2)
            for one in shared
        )
        interval = functional.softplus(emitted.unsqueeze(-1) + self.decay_bias.to(emitted))
        log_decay = -torch.exp(self.log_rate.to(emitted)) * interval
        value, gate = (one.unflatten(-1, (self.num_heads, -1)) for one in (value, gate))
        turn = torch.tanh(speed).unsqueeze(-2) * interval / 2
        scales = level_scales(scales, self.num_heads, self.level_rate)
        return MambaSteered(value, write, read, interval, log_decay, turn, gate, scales)

    def _told(self, steered: MambaSteered, angle: Tensor) -> dict[str, Any]:
        return {
            "query": turned(steered.read, angle),
            "key": turned(steered.write, angle).unsqueeze(-2),
            "value": (steered.interval * steered.value).unsqueeze(-2),
            "log_decay": steered.log_decay,
        }

    def remember(self, memory: MambaMemory, steered: MambaSteered) -> tuple[Tensor, MambaMemory]:
        angle = torch.remainder(memory.angle + steered.turn, 1)
        read, after = remember_token(memory.memory, steered.scales, **self._told(steered, angle))
        return read, MambaMemory(after, angle)

    def remember_by(
        self, associate_all: Associate, memory: MambaMemory, steered: MambaSteered, past: Tensor | None
    ) -> tuple[Tensor, MambaMemory]:
        still = steered._replace(
            interval=without(past, steered.interval),
            log_decay=without(past, steered.log_decay),
            turn=without(past, steered.turn),
        )
        angle = angles(memory.angle, still.turn)
        told = self._told(still, angle)
        reads, after = remember_tokens(associate_all, memory.memory, steered.scales, past, self.chunk_size, **told)
        return reads, MambaMemory(after, angle[:, -1])

    def emit(self, reads: Tensor, steered: MambaSteered) -> Tensor:
        output = (reads + self.skip.to(reads) * steered.value) * functional.silu(steered.gate)
        grouped = output.flatten(-2).unflatten(-1, (self.num_groups, -1))
        return per_head_norm(grouped, self.norm_weight).flatten(-2)

    def parts(self, states: MixerState, watched: MambaSteered) -> list[Part]:
        """The memory of every head, and what steered it."""
        head = ("time", "head")
        found = [
            *memory_parts(states.memory.memory, watched.scales),
            Part("signal", "read key", watched.read, (*head, "key")),
            Part("signal", "write key", watched.write, (*head, "key")),
            Part("signal", "value", watched.value, (*head, "value")),
            Part("signal", "interval", watched.interval.squeeze(-1), head),
            Part("gate", "kept", torch.exp(watched.log_decay).squeeze(-1), head),
        ]
        if self.rotation:
            found.append(Part("signal", "angle", states.memory.angle, (*head, "key")))
        return found


class Mamba(SequenceModule):
    """Layers of the selective state space of Mamba-2, or with the rotation of Mamba-3.

    input_size, output_size: features. All options are those of memnet.blocks.stack_of and of MambaCell: num_layers,
    hidden_size and expansion of the layers, whether they are normed; heads and the sizes of their memories. `forward`
    is SequenceModule's: state in, state out, lengths.
    """

    cell: Stack
    cell_type = stack_of(MambaCell)
