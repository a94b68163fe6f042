"""Log-linear attention: matrix memories of the past by levels, old tokens together and new ones apart.

Guo et al. 2025 (arXiv 2506.04761, section 3). Tokens are counted from 0. A token that was written at s is read at t on
level

    l(t, s) = number of binary digits of (t xor s)                              0 for the token itself

so that at every t the past lies in buckets as those of a Fenwick tree: at most one a level, that of level l > 0 of
2^(l - 1) tokens. Each bucket is a memory of its own, which decays and is corrected as that of all tokens would be:

    o_t = sum_l lambda_t^(l) (S_t^(l))^T q_t

With every lambda 1 it is the memory without levels. The last level takes all that is older, so that a memory of
num_levels reads any length; with log2 T + 1 levels, rounded up, it is the paper's for a time T.
"""

from typing import Any, NamedTuple

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from memnet.functional.associations import associate, by_chunks, solved_chunks


class LevelMemory(NamedTuple):
    """A memory by levels.

    levels:   (batch, head, level, key, value), S.
    position: (batch,), tokens so far; from 2^num_levels on less what no level tells apart, by which it stays exact.
    """

    levels: Tensor
    position: Tensor


def level_between(newer: Tensor, older: Tensor, num_levels: int) -> Tensor:
    """l(t, s), at most num_levels - 1, of whole numbers t and s of shapes that broadcast; 0 for s = -1, before all."""
    powers = 2 ** torch.arange(num_levels - 1, device=newer.device)
    return ((newer ^ older).unsqueeze(-1) >= powers).sum(-1)


def places_after(now: Tensor, before: Tensor, num_levels: int) -> Tensor:
    """Where the levels of a memory lie later: max(l, l(t, s)) for every level l, (..., level).

    now: t, (...,), the last token. before: s, (...,), the last token when the memory lay as it does.
    """
    crossed = level_between(now, before, num_levels).unsqueeze(-1)
    return torch.maximum(torch.arange(num_levels, device=now.device), crossed)


def moved(levels: Tensor, places: Tensor) -> Tensor:
    """Levels (batch, head, level, key, value) where they lie later, those of one place added: places (batch, level)."""
    to = (places.unsqueeze(-1) == torch.arange(places.size(-1), device=places.device)).to(levels)
    return torch.einsum("bhlkv,bln->bhnkv", levels, to)


def advanced(position: Tensor, steps: Tensor | int, num_levels: int) -> Tensor:
    """A position so many tokens later, see LevelMemory."""
    span = 2 ** (num_levels - 1)
    later = position.long() + steps
    return torch.where(later >= 2 * span, span + torch.remainder(later, span), later).to(position)


def associate_levels(memory: LevelMemory, scales: Tensor, **told: Any) -> tuple[Tensor, LevelMemory]:
    """What one token does: buckets join, all levels decay and are corrected, the token is written to level 0.

    scales: (batch, head, level), lambda.
    told:   what memnet.functional.associations.associate takes after its memory.
    Returns what was read, (batch, head, value), and the next memory.
    """
    now, count = memory.position.long(), scales.size(-1)
    levels = moved(memory.levels, places_after(now, now - 1, count))
    value = told.pop("value")
    # Columns of a memory know nothing of each other: levels are columns side by side.
    wide = rearrange(levels, "batch head level key value -> batch head key (level value)")
    read, wide = associate(wide, value=functional.pad(value, (0, (count - 1) * value.size(-1))), **told)
    levels = rearrange(wide, "batch head key (level value) -> batch head level key value", level=count)
    read = (scales.unsqueeze(-1) * read.unflatten(-1, (count, -1))).sum(-2)
    return read, LevelMemory(levels, advanced(memory.position, 1, count))


def associate_levels_chunks(
    memory: LevelMemory,
    scales: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    erase: Tensor | None = None,
    log_decay: Tensor | None = None,
    past: Tensor | None = None,
    chunk_size: int = 32,
) -> tuple[Tensor, LevelMemory]:
    """`associate_levels` for one token after the other, chunk by chunk in matrix products.

    With P, A, E and G of associate_chunks, T = (I + A)^-1, L_ts = lambda_t^(l(t, s)), and m(t, l) where level l of the
    chunk's first memory lies at t:

        O_t = sum_s (L * P T)_ts v_s + sum_l lambda_t^(m(t, l)) S_0^(l)^T (exp(G) Q - P T exp(G) E)_t

    scales: (batch, time, head, level), lambda.
    past:   (batch, time) bool, true after a row's last real token, where the tokens leave the memory as it is.
    The others as in associate_chunks, and what is returned.
    """
    time, count, size = query.size(1), scales.size(-1), min(chunk_size, query.size(1))
    real = torch.ones(query.shape[:2], device=query.device) if past is None else (~past).float()
    real = functional.pad(real, (0, -time % size)).long()
    start = memory.position.long().unsqueeze(-1)
    times = (start + real.cumsum(-1) - 1).unflatten(-1, (-1, size))
    ends = times[..., -1]
    before = torch.cat([start - 1, ends[:, :-1]], -1)

    chunks = solved_chunks(query, key, None, erase=erase, log_decay=log_decay, size=size)
    value, scales, factors = by_chunks(value, size).flatten(3, 4), by_chunks(scales, size), key.size(-2)
    among, write, first = chunks.among @ chunks.values, chunks.write @ chunks.values, chunks.query
    if chunks.within is not None:
        first = first - chunks.among @ chunks.within

    def scaled(levels: Tensor) -> Tensor:
        return scales.gather(-1, levels.unsqueeze(1).expand(-1, scales.size(1), -1, -1, -1))

    between = level_between(times.unsqueeze(-1), times.unsqueeze(-2), count)
    reads = (among * scaled(between).repeat_interleave(factors, -1)) @ value
    at_end = level_between(ends.unsqueeze(-1), times, count).repeat_interleave(factors, -1)
    at_end = (at_end.unsqueeze(2) == torch.arange(count, device=at_end.device).view(-1, 1)).to(value)
    new = torch.einsum("bhcks,bcls,bhcsv->bhclkv", write, at_end, value)

    levels, starts = memory.levels, []
    places = places_after(ends, before, count).unbind(1)
    for of_chunk, added, (_, within, write, kept) in zip(places, new.unbind(2), chunks.one_by_one(), strict=True):
        starts.append(levels)
        left = levels if kept is None else kept.unsqueeze(2) * levels
        if within is not None:
            left = left - (write @ within).unsqueeze(2) @ levels
        levels = moved(left, of_chunk) + added
    asked = first.unsqueeze(-2) * scaled(places_after(times, before.unsqueeze(-1), count)).unsqueeze(-1)
    reads = reads + asked.flatten(-2) @ torch.stack(starts, 2).flatten(3, 4)
    reads = rearrange(reads, "batch head chunk token value -> batch (chunk token) head value")[:, :time]
    return reads, LevelMemory(levels, advanced(memory.position, real.sum(-1), count))
