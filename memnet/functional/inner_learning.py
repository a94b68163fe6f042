"""Memories that are networks trained while they read: the gradient of one token, and what many tokens' add up to.

A network is a list of layers, each a matrix (batch, head, in, out), or (batch, head, in + 1, out) where it has biases,
which are then its last row. Between two layers is a GELU (of tanh). Its loss for a token is half of what is written
|f(k) - v|^2, so that its gradient for one layer is that of the delta rule.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from memnet.functional.associations import sums_between


class Norm(NamedTuple):
    """Layer normalisation of what a network gives, with a residual connection around both: f(x) = x + norm(net(x)).

    weight, bias: (head, 1, width).
    """

    weight: Tensor
    bias: Tensor


class Gradient(NamedTuple):
    """One layer's gradients for tokens, as outer products: inputs (batch, head, token, in), slopes (..., out)."""

    inputs: Tensor
    slopes: Tensor


class Course(NamedTuple):
    """What becomes of a network within tokens that all learn from the same weights.

        W_j = kept_j W + carried_j S - sum_{s <= j} shares_js g_s        S_last = last_kept S - sum_s last_shares_s g_s

    with W the weights that are changed, S the momentum or sum of gradients before, and g_s the gradient for token s.

    kept, carried: (batch, head, token, 1). shares: (batch, head, token, token).
    last_kept:     (batch, head, 1, 1). last_shares: (batch, head, token, 1).
    """

    kept: Tensor
    carried: Tensor
    shares: Tensor
    last_kept: Tensor
    last_shares: Tensor


def normalized(values: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Values with mean 0 and variance 1 along the last axis, and one over their standard deviation."""
    centered = values - values.mean(-1, keepdim=True)
    scale = torch.rsqrt(centered.square().mean(-1, keepdim=True) + eps)
    return centered * scale, scale


def normalized_slope(values: Tensor, target: Tensor, norm: Norm) -> Tensor:
    """The gradient of |weight normalized(x) + bias - target|^2 / 2 for x.

    All three terms are divided by the standard deviation.
    """
    unit, scale = normalized(values)
    slope = (norm.weight * unit + norm.bias - target) * norm.weight
    return scale * (slope - slope.mean(-1, keepdim=True) - unit * (slope * unit).mean(-1, keepdim=True))


def gelu_slope(values: Tensor) -> Tensor:
    """The derivative of x (1 + tanh(c (x + 0.044715 x^3))) / 2, c = sqrt(2 / pi)."""
    scale = math.sqrt(2 / math.pi)
    inner = torch.tanh(scale * (values + 0.044715 * values**3))
    return 0.5 * (1 + inner) + 0.5 * values * (1 - inner.square()) * scale * (1 + 3 * 0.044715 * values.square())


def seen_by(layer: Tensor, values: Tensor) -> Tensor:
    """What a layer sees: values, with a one behind them where it has biases."""
    return values if layer.size(-2) == values.size(-1) else functional.pad(values, (0, 1), value=1.0)


def network(layers: Sequence[Tensor], values: Tensor, norm: Norm | None) -> Tensor:
    """What a network makes of tokens (batch, head, token, width)."""
    hidden = values
    for place, layer in enumerate(layers):
        hidden = functional.gelu(hidden, approximate="tanh") if place else hidden
        hidden = seen_by(layer, hidden) @ layer
    return finished(hidden, values, norm)


def finished(hidden: Tensor, values: Tensor, norm: Norm | None) -> Tensor:
    """f(x) from what its layers make of x."""
    return hidden if norm is None else values + norm.weight * normalized(hidden)[0] + norm.bias


def gradients(layers: Sequence[Tensor], key: Tensor, value: Tensor, norm: Norm | None) -> list[Gradient]:
    """Of |f(k) - v|^2 / 2 for each layer and token (Sun et al. 2024, arXiv 2407.04620, eq. 4, without its factor 2)."""
    inputs, before, hidden = [], [], key
    for place, layer in enumerate(layers):
        before.append(hidden)
        hidden = functional.gelu(hidden, approximate="tanh") if place else hidden
        inputs.append(seen_by(layer, hidden))
        hidden = inputs[-1] @ layer
    slope = hidden - value if norm is None else normalized_slope(hidden, value - key, norm)
    found = [Gradient(inputs[-1], slope)]
    for place in range(len(layers) - 1, 0, -1):
        back = slope @ layers[place].transpose(-1, -2)
        slope = back[..., : before[place].size(-1)] * gelu_slope(before[place])
        found.append(Gradient(inputs[place - 1], slope))
    return found[::-1]


def outer(gradient: Gradient, shares: Tensor) -> Tensor:
    """The sum over tokens of shares times the gradient, (batch, head, in, out): shares (batch, head, token, 1)."""
    return (shares * gradient.inputs).transpose(-1, -2) @ gradient.slopes


def read_along(
    layers: Sequence[Tensor],
    carried: Sequence[Tensor],
    learned: Sequence[Gradient],
    course: Course,
    query: Tensor,
    norm: Norm | None,
) -> Tensor:
    """What the network of each token, W_j of the course, makes of its query: no W_j is ever made."""
    hidden = query
    for place, (layer, sum_before, gradient) in enumerate(zip(layers, carried, learned, strict=True)):
        hidden = functional.gelu(hidden, approximate="tanh") if place else hidden
        seen = seen_by(layer, hidden)
        among = course.shares * (seen @ gradient.inputs.transpose(-1, -2))
        hidden = course.kept * (seen @ layer) + course.carried * (seen @ sum_before) - among @ gradient.slopes
    return finished(hidden, query, norm)


def averaged_course(rates: Tensor, factors: Tensor) -> Course:
    """W_j = W + factor_j (S - sum_{s <= j} rate_s g_s), gradient descent in mini-batches (Sun et al. 2024, eq. 6).

    The factors are those of their code.

    rates: (batch, head, token), 0 where there is no token. factors: (token,).
    """
    factors = factors.view(1, 1, -1, 1)
    shares = (factors * rates.unsqueeze(-2)).tril()
    ones = torch.ones_like(rates).unsqueeze(-1)
    return Course(ones, factors * ones, shares, ones[..., :1, :], rates.unsqueeze(-1))


def momentum_course(rates: Tensor, log_momentum: Tensor, log_kept: Tensor, real: Tensor) -> Course:
    """S_t = eta_t S_{t-1} - theta_t g_t, W_t = (1 - alpha_t) W_{t-1} + S_t (Behrouz et al. 2025, eqs. 13 and 14).

    rates, log_momentum, log_kept: (batch, head, token), theta and the logarithms of eta and 1 - alpha; all 0 where
                                   there is no token.
    real: (batch, 1, token), 1 for a token and 0 for none, which leaves W as it is.
    """
    momentum, kept = (torch.exp(sums_between(one.unsqueeze(-1))).squeeze(-1) for one in (log_momentum, log_kept))
    kept = kept * real.unsqueeze(-2)
    since = torch.exp(log_momentum.cumsum(-1)).unsqueeze(-1)
    return Course(
        kept=torch.exp(log_kept.cumsum(-1)).unsqueeze(-1),
        carried=kept @ since,
        shares=(kept @ momentum) * rates.unsqueeze(-2),
        last_kept=since[..., -1:, :],
        last_shares=momentum[..., -1, :].unsqueeze(-1) * rates.unsqueeze(-1),
    )
