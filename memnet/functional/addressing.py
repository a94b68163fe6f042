"""Where a head looks: one pure function for each equation of Graves et al. 2014, section 3.3, and attention.

Weightings are (batch, head, slot), memory is (batch, slot, width); attention is (..., slot).
"""

import torch
from torch import Tensor


def cosine_similarity(memory: Tensor, key: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Cosine of the angle between every key and every slot (Graves et al. 2014, eq. 6).

        K[u, v] = u . v / (|u| |v|)        0 where a norm is zero

    memory:  (batch, slot, width).
    key:     (batch, head, width).
    epsilon: norms below it count as epsilon, so that a zero vector has similarity zero and every
             gradient is finite.
    Returns  (batch, head, slot), in [-1, 1].
    """
    squared = max(epsilon * epsilon, torch.finfo(memory.dtype).tiny)
    memory_scale = memory.square().sum(-1).clamp_min(squared).rsqrt()
    key_scale = key.square().sum(-1).clamp_min(squared).rsqrt()
    dot = key @ memory.transpose(-1, -2)
    return dot * memory_scale.unsqueeze(-2) * key_scale.unsqueeze(-1)


def masked_cosine_similarity(memory: Tensor, key: Tensor, mask: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Cosine where a head looks at some columns alone (Csordas & Schmidhuber 2019, arXiv 1904.10278, section 3.1).

        D[u, v; m] = K[u m, v m]

    memory:  (batch, slot, width).
    key:     (batch, head, width).
    mask:    (batch, head, width), in [0, 1]; all ones give cosine_similarity.
    epsilon: see cosine_similarity.
    Returns  (batch, head, slot), in [-1, 1].
    """
    squared = max(epsilon * epsilon, torch.finfo(memory.dtype).tiny)
    columns = mask.square()
    memory_scale = (columns @ memory.square().transpose(-1, -2)).clamp_min(squared).rsqrt()
    key_scale = (columns * key.square()).sum(-1, keepdim=True).clamp_min(squared).rsqrt()
    return ((columns * key) @ memory.transpose(-1, -2)) * memory_scale * key_scale


def content_weights(
    memory: Tensor, key: Tensor, strength: Tensor, epsilon: float = 1e-6, mask: Tensor | None = None
) -> Tensor:
    """Focus on the slots that resemble the key (Graves et al. 2014, eq. 5).

        w_c(i) = exp(strength K[key, M(i)]) / sum_j exp(strength K[key, M(j)])

    memory:   (batch, slot, width).
    key:      (batch, head, width).
    strength: (batch, head, 1), non-negative; 0 gives the uniform weighting.
    epsilon:  see cosine_similarity.
    mask:     see masked_cosine_similarity; None for all columns.
    Returns   (batch, head, slot), sums to one over slots.
    """
    if mask is None:
        similarity = cosine_similarity(memory, key, epsilon)
    else:
        similarity = masked_cosine_similarity(memory, key, mask, epsilon)
    return torch.softmax(strength * similarity, dim=-1)


def interpolate_weights(content: Tensor, previous: Tensor, gate: Tensor) -> Tensor:
    """Blend the content weighting with the previous one (Graves et al. 2014, eq. 7).

        w_g = gate w_c + (1 - gate) w_{t-1}

    content, previous: (batch, head, slot).
    gate:              (batch, head, 1), in [0, 1].
    Returns            (batch, head, slot).
    """
    return torch.lerp(previous, content, gate)


def shift_weights(weights: Tensor, shift: Tensor) -> Tensor:
    """Rotate each head's weighting over the slots (Graves et al. 2014, eq. 8).

        w~(i) = sum_j w(j) s(i - j)        indices modulo num_slots

    weights: (batch, head, slot), non-negative, summing to one over slots.
    shift:   (batch, head, 2 * shift_range + 1), a distribution over offsets -shift_range..shift_range.
    Returns  (batch, head, slot); sums are preserved.
    """
    shift_range = shift.size(-1) // 2
    rotations = range(-shift_range, shift_range + 1)
    parts = [weights.roll(offset, -1) * share for offset, share in zip(rotations, shift.split(1, -1), strict=True)]
    return torch.stack(parts).sum(0) if len(parts) > 3 else sum(parts[1:], parts[0])


def sharpen_weights(weights: Tensor, sharpening: Tensor) -> Tensor:
    """Undo the blur of shifting (Graves et al. 2014, eq. 9), computed in logarithms.

        w(i) = w~(i)^sharpening / sum_j w~(j)^sharpening

    Powers of small numbers underflow and lose the sum; the softmax of sharpening * log(w~) does not,
    whatever the sharpening. Near the uniform weighting differences grow by the factor `sharpening`: over many steps
    even those of rounding, and gradients with them.

    weights:    (batch, head, slot), non-negative.
    sharpening: (batch, head, 1), at least 1.
    Returns     (batch, head, slot), sums to one over slots.
    """
    smallest = torch.finfo(weights.dtype).tiny
    return torch.softmax(sharpening * weights.clamp_min(smallest).log(), dim=-1)


def attention_weights(scores: Tensor, present: Tensor, empty: Tensor) -> Tensor:
    """Softmax over the slots that are present, beside a number of empty ones that score zero.

        p_i = exp(s_i) / (empty + sum_j exp(s_j))

    With no empty slots they sum to one. Without any slot at all every weight is zero.

    scores:  (..., slot).
    present: (..., slot) bool; other slots weigh nothing.
    empty:   (...,) number of further slots with score zero, whose share is lost.
    Returns  (..., slot).
    """
    empty = torch.where(present.any(-1), empty, empty.clamp_min(1)).to(scores.dtype).log().unsqueeze(-1)
    scores = torch.cat([scores.masked_fill(~present, -torch.inf), empty], -1)
    return torch.softmax(scores, -1)[..., :-1]
