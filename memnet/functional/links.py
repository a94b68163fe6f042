"""Which slot was written after which: the DNC's temporal links.

Graves et al. 2016 (Nature 538:471), Methods, "Temporal memory linkage"; the paper numbers no equation. Links are
(batch, write, slot, slot): L[i, j] is how much slot i was written right after slot j, by the head. Weightings are
(batch, head, slot).
"""

import torch
from torch import Tensor

# What is added to divisors where links are sharpened.
SHARP_FLOOR = 1e-6


def next_precedence(precedence: Tensor, write_weights: Tensor) -> Tensor:
    """How much every slot was the last one written.

        p_t = [1 - sum_i w(i)] p_{t-1} + w

    precedence, write_weights: (batch, write, slot), of sums up to one.
    Returns                    (batch, write, slot), of sums up to one.
    """
    return (1 - write_weights.sum(-1, keepdim=True)) * precedence + write_weights


def next_links(links: Tensor, write_weights: Tensor, precedence: Tensor) -> Tensor:
    """Link what is written now to what was written last; no slot is linked to itself.

        L_t[i, j] = [1 - w(i) - w(j)] L_{t-1}[i, j] + w(i) p_{t-1}(j)        L_t[i, i] = 0

    links:         (batch, write, slot, slot), L_{t-1}.
    write_weights: (batch, write, slot), w of this step.
    precedence:    (batch, write, slot), that of the step before.
    Returns        (batch, write, slot, slot); no row or column sums to more than one.
    """
    later, earlier = write_weights.unsqueeze(-1), write_weights.unsqueeze(-2)
    linked = (1 - later - earlier) * links + later * precedence.unsqueeze(-2)
    own = torch.eye(links.size(-1), dtype=torch.bool, device=links.device)
    return linked.masked_fill(own, 0.0)


def follow_links(links: Tensor, read_weights: Tensor) -> tuple[Tensor, Tensor]:
    """From where every head has read to what was written next, and to what was written before.

        f = L w_{t-1}        b = L^T w_{t-1}

    links:        (batch, write, slot, slot), L_t.
    read_weights: (batch, read, slot), those of the step before.
    Returns       forward and backward, each (batch, read, write, slot), of sums up to one.
    """
    weights = read_weights.unsqueeze(1)
    forward, backward = weights @ links.transpose(-1, -2), weights @ links
    return forward.transpose(1, 2), backward.transpose(1, 2)


def sharpen_links(weights: Tensor, sharpness: Tensor, epsilon: float = SHARP_FLOOR) -> Tensor:
    """Undo the blur of following links (Csordas & Schmidhuber 2019, arXiv 1904.10278, eq. 2).

        s(i) = [w(i) / max_j w(j)]^beta / sum_k [w(k) / max_j w(j)]^beta

    Where a head has no link to follow, w is and stays zero.

    weights:   (..., slot), non-negative.
    sharpness: (..., 1), beta, at least 1.
    epsilon:   added to both divisors, so that nothing is divided by zero.
    Returns    (..., slot), of sums up to one.
    """
    # Rounding may leave a link below zero, of which there is no power.
    powers = (weights.clamp(min=0) / (weights.amax(-1, keepdim=True) + epsilon)) ** sharpness
    return powers / (powers.sum(-1, keepdim=True) + epsilon)


def read_by_modes(backward: Tensor, content: Tensor, forward: Tensor, modes: Tensor) -> Tensor:
    """Where every head reads: a mixture of going back, looking for content, and going on.

        w = sum_h pi_{b,h} b_h + pi_c c + sum_h pi_{f,h} f_h

    backward, forward: (batch, read, write, slot), see follow_links.
    content:           (batch, read, slot).
    modes:             (batch, read, 2 write + 1), a distribution: backward by every write head's links, content,
                       forward by every write head's links.
    Returns            (batch, read, slot), of sums up to one.
    """
    every = torch.cat([backward, content.unsqueeze(2), forward], 2)
    return (modes.unsqueeze(2) @ every).squeeze(2)
