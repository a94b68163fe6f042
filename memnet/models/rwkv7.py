"""RWKV-7: a memory that decays by channel and unlearns one direction a step (Peng et al. 2025, arXiv 2503.14456)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from memnet.blocks import Stack, stack_of
from memnet.checks import check_sizes
from memnet.functional.associations import Associate, associate
from memnet.mixers import AssociativeMixer, MixerState, last_steps, per_head_norm, unit, without
from memnet.sequence import SequenceModule
from memnet.trace import Part

# What the input is mixed with that of the step before for, in the order of `shift`, and how much of it at first.
_SHIFTED = {"receptance": 0.2, "decay": 0.9, "key": 0.7, "value": 0.7, "rate": 0.9, "gate": 0.2}


class RWKV7Steered(NamedTuple):
    """What steers a step.

    receptance: (batch, head, key), r, which reads.
    log_decay:  (batch, head, key), log w, from -exp(-1/2) to 0.
    removal:    (batch, head, key), kappa, of length one: the direction that is unlearned.
    rate:       (batch, head, key), a, in (0, 1): how much of it.
    key:        (batch, head, key), k~.
    value:      (batch, head, value).
    gate:       (batch, head, value), of the output.
    """

    receptance: Tensor
    log_decay: Tensor
    removal: Tensor
    rate: Tensor
    key: Tensor
    value: Tensor
    gate: Tensor


def transition_factors(steered: RWKV7Steered) -> dict[str, Tensor]:
    """A step of RWKV-7 as two factors of memnet.functional.associations.

        S <- [Diag(w) - (a kappa) kappa^T] S + k~ v^T

    After the decay of all, kappa^T S is (kappa / w)^T Diag(w) S: the first factor takes that away from where a kappa
    is, the second binds k~ to v.
    """
    nothing = torch.zeros_like(steered.key)
    return {
        "query": steered.receptance,
        "key": torch.stack([steered.rate * steered.removal, steered.key], -2),
        "value": torch.stack([torch.zeros_like(steered.value), steered.value], -2),
        "erase": torch.stack([steered.removal * torch.exp(-steered.log_decay), nothing], -2),
        "log_decay": steered.log_decay,
    }


class LowRank(nn.Module):
    """W_up f(W_down x) + b, a layer through few features.

    size_in, size_out: features. rank: features between. bias: whether there is a b. Who calls it brings f.
    """

    def __init__(self, size_in: int, size_out: int, rank: int, *, bias: bool = True) -> None:
        super().__init__()
        self.down = nn.Linear(size_in, rank, bias=False)
        self.up = nn.Linear(rank, size_out, bias=bias)


class RWKV7Cell(AssociativeMixer):
    """One step of RWKV-7's time mixing.

        S <- [Diag(w) - (a kappa) kappa^T] S + k~ v^T        o = gate [norm(S^T r) + (sum_i r rho k~) v]
        w = exp(-exp(-1/2) sigmoid(d))        kappa = k xi / |k xi|        k~ = k [1 + (a - 1) alpha]

    with S the transpose of the paper's. r, d, k, v, a and the gate are each made of x_t + mu (x_{t-1} - x_t) with a mu
    of their own; d, a = sigmoid(.) and the gate through low ranks. The value residual of the paper, which mixes in the
    first layer's values, is left out: a layer here sees none but its own input. The output layer, and the low ranks,
    begin at small random weights where flash-linear-attention's begin at zero.

    Weights of flash-linear-attention's RWKV7Attention of the first layer:

        shift                         x_r, x_w, x_k, x_v, x_a, x_g
        receptance, key, value        r_proj, k_proj, v_proj
        decay, rate, gate             w_lora, a_lora, g_lora: down is lora.0, up is lora.2
        removal_scale, key_scale      k_k, k_a
        bonus                         r_k
        norm_weight, norm_bias        g_norm.weight, g_norm.bias, by head
        output                        o_proj

    input_size:  features of the input. hidden_size: features of the output.
    num_heads:   memories side by side.
    head_size:   features of a key and of a value, of one head.
    rank:        features that decay, rate and gate go through.
    Raises ValueError for sizes that cannot be.
    """

    _chunk_size = 16  # for decays of channels, see associate_chunks

    def __init__(
        self, input_size: int, hidden_size: int, *, num_heads: int = 2, head_size: int = 32, rank: int = 16
    ) -> None:
        check_sizes(num_heads=num_heads, head_size=head_size, rank=rank)
        width = num_heads * head_size
        super().__init__(input_size, hidden_size, width, (1, input_size))
        self.num_heads, self.head_size = num_heads, head_size
        places = torch.arange(input_size) / input_size
        self.shift = nn.Parameter(torch.stack([1 - places**power for power in _SHIFTED.values()]))
        self.receptance, self.key, self.value = (nn.Linear(input_size, width, bias=False) for _ in range(3))
        self.decay, self.rate = (LowRank(input_size, width, rank) for _ in range(2))
        self.gate = LowRank(input_size, width, rank, bias=False)
        self.removal_scale, self.key_scale = (nn.Parameter(torch.empty(num_heads, head_size)) for _ in range(2))
        self.bonus = nn.Parameter(torch.full((num_heads, head_size), -0.04))
        self.norm_weight = nn.Parameter(torch.ones(num_heads, head_size))
        self.norm_bias = nn.Parameter(torch.zeros(num_heads, head_size))
        self._first_weights()

    @torch.no_grad()
    def _first_weights(self) -> None:
        """Those of flash-linear-attention for a first layer: slow and fast channels side by side."""
        width = self.num_heads * self.head_size
        rising = torch.arange(width) / max(width - 1, 1)
        zigzag = (torch.arange(width) % self.head_size) / max(self.head_size - 1, 1) * 2 - 1
        zigzag = zigzag * zigzag.abs()
        for layer, gain in ((self.receptance, 1.0), (self.key, 0.1), (self.value, 1.0)):
            nn.init.orthogonal_(layer.weight, gain)
        self.decay.up.bias.copy_(-6 + 6 * rising + 0.5 + 2.5 * zigzag)
        self.rate.up.bias.copy_(-0.19 + 0.3 * zigzag + 0.4 * (rising - 0.5))
        self.removal_scale.copy_((0.71 - 0.1 * (rising - 0.5)).view_as(self.removal_scale))
        self.key_scale.fill_(1.02)

    def first_memory(self, batch_size: int) -> Tensor:
        return self.zeros(batch_size, self.num_heads, self.head_size, self.head_size)

    def prepare(self, emitted: Tensor, tail: Tensor, lengths: Tensor | None) -> tuple[RWKV7Steered, Tensor]:
        seen = torch.cat([tail, emitted], 1)
        change = seen[:, :-1] - emitted
        mixed = dict(zip(_SHIFTED, (emitted + one * change for one in self.shift.to(emitted)), strict=True))
        receptance, key, value = (
            by_weight(mixed[name], getattr(self, name)) for name in ("receptance", "key", "value")
        )
        low = {name: by_weight(mixed[name], getattr(self, name).down) for name in ("decay", "rate", "gate")}
        decay, rate = by_weight(torch.tanh(low["decay"]), self.decay.up), by_weight(low["rate"], self.rate.up)
        gate = by_weight(torch.sigmoid(low["gate"]), self.gate.up)
        receptance, key, value, decay, rate, gate = (
            one.unflatten(-1, (self.num_heads, -1)) for one in (receptance, key, value, decay, rate, gate)
        )
        rate = torch.sigmoid(rate)
        steered = RWKV7Steered(
            receptance=receptance,
            log_decay=-math.exp(-0.5) * torch.sigmoid(decay),
            removal=unit(key * self.removal_scale.to(key)),
            rate=rate,
            key=key * (1 + (rate - 1) * self.key_scale.to(key)),
            value=value,
            gate=gate,
        )
        return steered, last_steps(seen, 1, lengths)

    def remember(self, memory: Tensor, steered: RWKV7Steered) -> tuple[Tensor, Tensor]:
        return associate(memory, **transition_factors(steered))

    def remember_by(
        self, associate_all: Associate, memory: Tensor, steered: RWKV7Steered, past: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        still = steered._replace(
            log_decay=without(past, steered.log_decay),
            removal=without(past, steered.removal),
            value=without(past, steered.value),
        )
        return associate_all(memory, **transition_factors(still))

    def emit(self, reads: Tensor, steered: RWKV7Steered) -> Tensor:
        reads = per_head_norm(reads, self.norm_weight, self.head_size * 1e-5, centered=True)
        bonus = (steered.receptance * self.bonus.to(reads) * steered.key).sum(-1, keepdim=True)
        return ((reads + self.norm_bias.to(reads) + bonus * steered.value) * steered.gate).flatten(-2)

    def parts(self, states: MixerState, watched: RWKV7Steered) -> list[Part]:
        """The memory of every head, and what steered it."""
        head = ("time", "head")
        return [
            Part("matrix", "memory", states.memory, (*head, "key", "value")),
            Part("signal", "query", watched.receptance, (*head, "key")),
            Part("signal", "key", watched.key, (*head, "key")),
            Part("signal", "removal key", watched.removal, (*head, "key")),
            Part("signal", "value", watched.value, (*head, "value")),
            Part("gate", "kept", torch.exp(watched.log_decay), (*head, "key")),
            Part("gate", "removal rate", watched.rate, (*head, "key")),
        ]


def by_weight(input: Tensor, layer: nn.Linear) -> Tensor:
    """What a linear layer makes of an input, in the input's dtype."""
    bias = None if layer.bias is None else layer.bias.to(input)
    return nn.functional.linear(input, layer.weight.to(input), bias)


class RWKV7(SequenceModule):
    """Layers of RWKV-7's time mixing.

    input_size, output_size: features. All options are those of memnet.blocks.stack_of and of RWKV7Cell: num_layers,
    hidden_size and expansion of the layers, whether they are normed; heads and the size of their memories. `forward` is
    SequenceModule's: state in, state out, lengths.
    """

    cell: Stack
    cell_type = stack_of(RWKV7Cell)
