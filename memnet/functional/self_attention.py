"""Causal attention of steps to the steps before them, within a window: what depends on how far back those are."""

import math

import torch
from torch import Tensor


def rotate(vectors: Tensor, positions: Tensor, base: float = 10000.0) -> Tensor:
    """Vectors turned by their positions (Su et al. 2021, arXiv 2104.09864, eq. 34): rotary embedding.

        (x_j, x_{j + d/2}) by the angle position * base^(-2j/d), j < d/2

    so that the product of two of them depends on the difference of their positions alone.

    vectors:   (..., time, width); of an odd width the last feature stays as it is.
    positions: (time,).
    """
    half = vectors.size(-1) // 2
    steps = torch.arange(half, device=vectors.device, dtype=vectors.dtype)
    angles = positions.to(vectors.dtype).unsqueeze(-1) * base ** (-steps / half)
    first, second, odd = vectors.split([half, half, vectors.size(-1) - 2 * half], -1)
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine, odd], -1)


def alibi_slopes(num_heads: int) -> list[float]:
    """By how much a step further back counts less, for each head (Press et al. 2022, arXiv 2108.12409, section 3).

    2^(-8/n), 2^(-16/n), ... for n heads, a power of two; of other numbers those of the next lower power, and then every
    other one of the next higher.
    """
    lower = 2 ** int(math.log2(num_heads))
    slopes = [2 ** (-8 * (k + 1) / lower) for k in range(lower)]
    return slopes + [2 ** (-4 * (2 * k + 1) / lower) for k in range(num_heads - lower)]


def window_weights(scores: Tensor, filled: Tensor, window: int, slopes: Tensor | None = None) -> Tensor:
    """What each of the last steps attends to: a softmax over those up to itself, at most as far back as all see.

        w(t, s) = softmax over s of q_t . k_s / sqrt(d) - m_h (t - s)        0 <= t - s < window

    scores: (batch, head, query, key), the products over sqrt(d); the queries are those of the last keys.
    filled: (batch, key), false where there is no step.
    window: how many steps are seen, itself among them.
    slopes: (head,), m; None for none.
    """
    queries, keys = scores.shape[-2:]
    places = torch.arange(keys, device=scores.device)
    back = places[keys - queries :].unsqueeze(-1) - places
    seen = (back >= 0) & (back < window) & filled[:, None, None]
    if slopes is not None:
        scores = scores - slopes[:, None, None] * back.to(scores.dtype)
    return torch.softmax(scores.masked_fill(~seen, -torch.inf), -1)
