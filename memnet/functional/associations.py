"""Matrix memories that bind keys to values: what one token does to them, and the same for many tokens at once.

A memory is (batch, head, key, value), the transpose of the papers' S. A token decays it and then writes one or several
factors, each of which reads the memory by `erase`, and binds to its key what its value is other than that:

    S <- Diag(exp log_decay) S        S <- S + key (value - erase^T S)^T    factor by factor        o = S^T query

Which paper has which of these is said by the models: linear attention, the delta rule and its kin, mLSTM, Mamba-2,
RWKV-7.
"""

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import NamedTuple, TypeAlias

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

# What takes a memory through many tokens, as associate_chunks does.
Associate: TypeAlias = Callable[..., tuple[Tensor, Tensor]]


def decayed(memory: Tensor, log_decay: Tensor) -> Tensor:
    """S <- Diag(a) S, a decay for every key channel or one for all.

    memory:    (batch, head, key, value).
    log_decay: (batch, head, key or 1), log a, at most 0.
    """
    return memory * torch.exp(log_decay).unsqueeze(-1)


def bound(memory: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """S <- S + k v^T, the sum of outer products (Katharopoulos et al. 2020, arXiv 2006.16236, eq. 18).

    memory: (batch, head, key, value). key: (batch, head, key). value: (batch, head, value).
    """
    return memory + key.unsqueeze(-1) * value.unsqueeze(-2)


def corrected(memory: Tensor, key: Tensor, value: Tensor, erase: Tensor) -> Tensor:
    """S <- S + k (v - S^T e)^T, what is found by e is taken away from where v goes.

    With e = beta k and beta v for v it is the delta rule, S <- (I - beta k k^T) S + beta k v^T (Schlag et al. 2021,
    arXiv 2102.11174, section 4.2; in this form Yang et al. 2024, arXiv 2406.06484, section 2.2).

    memory: (batch, head, key, value). key, erase: (batch, head, key). value: (batch, head, value).
    """
    return bound(memory, key, value - recalled(memory, erase))


def recalled(memory: Tensor, query: Tensor) -> Tensor:
    """o = S^T q: (batch, head, value) of memory (batch, head, key, value) and query (batch, head, key)."""
    read: Tensor = query.unsqueeze(-2) @ memory
    return read.squeeze(-2)


def associate(
    memory: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    erase: Tensor | None = None,
    log_decay: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """What one token does: decay, all factors in their order, one read at the end.

    memory:     (batch, head, key, value).
    query:      (batch, head, key).
    key, value: (batch, head, factor, key), (batch, head, factor, value).
    erase:      as key, what every factor reads by; None for factors that only add.
    log_decay:  (batch, head, key or 1), at most 0; None for no decay.
    Returns     what was read, (batch, head, value), and the next memory.
    """
    if log_decay is not None:
        memory = decayed(memory, log_decay)
    for factor in range(key.size(-2)):
        one, worth = key[..., factor, :], value[..., factor, :]
        memory = bound(memory, one, worth) if erase is None else corrected(memory, one, worth, erase[..., factor, :])
    return recalled(memory, query), memory


def associate_chunks(
    memory: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    erase: Tensor | None = None,
    log_decay: Tensor | None = None,
    chunk_size: int = 32,
) -> tuple[Tensor, Tensor]:
    """`associate` for one token after the other, chunk by chunk in matrix products (the WY form of Yang et al. 2024).

    Within a chunk that begins with S_0, with G the sum of log decays from its begin, over all factors in their order,
    and G_i - G_j that of the tokens after j up to i, see sums_between:

        A_ij = e_i . (exp(G_i - G_j) k_j)  for j < i        U = (I + A)^-1 [V - (exp(G) E) S_0]
        O = (exp(G) Q) S_0 + P U,  P_ij = q_i . (exp(G_i - G_j) k_j)  for j up to i's token
        S = Diag(exp(G_C)) S_0 + (exp(G_C - G) K)^T U

    No exponent is above 0; a log decay of -inf leaves nothing of the memory. A token of zero key, value and erase and
    of log decay 0 leaves it as it is.

    memory:     (batch, head, key, value).
    query:      (batch, time, head, key).
    key, value: (batch, time, head, factor, key), (batch, time, head, factor, value).
    erase, log_decay: as key; (batch, time, head, key or 1). See associate.
    chunk_size: tokens of a chunk. It changes nothing but time and memory; with a decay for every channel each chunk
                takes memory that grows with its square times the channels.
    Returns     what was read, (batch, time, head, value), and the last memory.
    """
    time, size = query.size(1), min(chunk_size, query.size(1))
    chunks = solved_chunks(query, key, value, erase=erase, log_decay=log_decay, size=size)
    starts, changes = [], []
    for told, within, write, kept in chunks.one_by_one():
        starts.append(memory)
        changes.append(told if within is None else told - within @ memory)
        memory = (memory if kept is None else kept * memory) + write @ changes[-1]
    reads: Tensor = chunks.query @ torch.stack(starts, 2) + chunks.among @ torch.stack(changes, 2)
    return rearrange(reads, "batch head chunk token value -> batch (chunk token) head value")[:, :time], memory


class Chunks(NamedTuple):
    """What the tokens of each chunk are to each other and to the memory S_0 that it begins with, see associate_chunks.

    A source is a factor of a token.

    query:  (batch, head, chunk, token, key), exp(G) Q.
    among:  (batch, head, chunk, token, source), P.
    values: (batch, head, chunk, source, value), (I + A)^-1 V.
    within: (batch, head, chunk, source, key), (I + A)^-1 (exp(G) E); None where nothing is erased.
    write:  (batch, head, chunk, key, source), (exp(G_C - G) K)^T.
    kept:   (batch, head, chunk, key or 1, 1), exp(G_C); None where nothing decays.
    """

    query: Tensor
    among: Tensor
    values: Tensor
    within: Tensor | None
    write: Tensor
    kept: Tensor | None

    def one_by_one(self) -> Iterator[tuple[Tensor, Tensor | None, Tensor, Tensor | None]]:
        """values, within, write and kept of one chunk after the other.

        All are taken apart at once: the gradient of an index is as large as what it is of, chunk for chunk.
        """
        parts = (self.values, self.within, self.write, self.kept)
        # None is repeated without end.
        return zip(*(repeat(None) if one is None else one.unbind(2) for one in parts), strict=False)


def solved_chunks(
    query: Tensor, key: Tensor, value: Tensor | None, *, erase: Tensor | None, log_decay: Tensor | None, size: int
) -> Chunks:
    """The products and the triangular system of associate_chunks, of all chunks of `size` tokens at once.

    value: None for (I + A)^-1 itself in place of values.
    """
    query, key = by_chunks(query, size), by_chunks(key, size)
    left = query.unsqueeze(-2) if erase is None else torch.cat([by_chunks(erase, size), query.unsqueeze(-2)], -2)
    write, since, decay = key, None, None
    if log_decay is not None:
        decays = by_chunks(log_decay, size)
        since, decay = torch.exp(decays.cumsum(3)), torch.exp(sums_between(decays))
        write = key * decay[..., -1, :, :].unsqueeze(-2)
    scores = _scores(left, key, decay).flatten(-2)
    write = write.flatten(3, 4).transpose(-1, -2)
    if value is None:
        values = torch.eye(write.size(-1), device=write.device, dtype=write.dtype).expand(*write.shape[:3], -1, -1)
    else:
        values = by_chunks(value, size).flatten(3, 4)
    left = left if since is None else left * since.unsqueeze(-2)
    query, among = left[..., -1, :], scores[..., -1, :]
    within = None
    if erase is not None:
        before = scores[..., :-1, :].flatten(3, 4).tril(-1)
        known = torch.cat([values, left[..., :-1, :].flatten(3, 4)], -1)
        solved = torch.linalg.solve_triangular(before, known, upper=False, unitriangular=True)
        values, within = solved.split([values.size(-1), query.size(-1)], -1)
    return Chunks(query, among, values, within, write, None if since is None else since[..., -1, :].unsqueeze(-1))


def by_chunks(tensor: Tensor, size: int) -> Tensor:
    """(batch, time, head, ...) as (batch, head, chunk, token, ...), with zeros at the end."""
    lacking = -tensor.size(1) % size
    padded = functional.pad(tensor, (0, 0) * (tensor.dim() - 2) + (0, lacking)) if lacking else tensor
    chunks: Tensor = padded.unflatten(1, (-1, size)).movedim(3, 1)
    return chunks


def sums_between(terms: Tensor) -> Tensor:
    """The sum of the terms of the tokens after j up to i; -inf for j after i.

    Each is summed by itself: a difference of sums from the beginning loses the digits of all that follows a large term.

    terms:  (..., token, channel), at most 0; may be -inf.
    Returns (..., token i, token j, channel).
    """
    pairs = torch.ones(terms.size(-2), terms.size(-2), dtype=torch.bool, device=terms.device)
    summed = terms.unsqueeze(-2).masked_fill(pairs.triu().unsqueeze(-1), 0.0).cumsum(-3)
    return summed.masked_fill(pairs.triu(1).unsqueeze(-1), -torch.inf)


def _scores(left: Tensor, key: Tensor, decay: Tensor | None) -> Tensor:
    """l_ia . (d_ij k_jf), zero for tokens j after i.

    left: (batch, head, chunk, token, a, key). key: (..., token, factor, key). decay: (..., token, token, key or 1), d.
    Returns (batch, head, chunk, token, a, token, factor).
    """
    if decay is not None and decay.size(-1) > 1:
        seen = (key.unsqueeze(3) * decay.unsqueeze(-2)).flatten(4, 5)
        scores: Tensor = (left @ seen.transpose(-1, -2)).unflatten(-1, key.shape[3:5])
        return scores
    scores = left.flatten(3, 4) @ key.flatten(3, 4).transpose(-1, -2)
    scores = scores.unflatten(-1, key.shape[3:5]).unflatten(3, left.shape[3:5])
    if decay is None:
        return scores * torch.ones(left.size(3), left.size(3)).to(left).tril()[:, None, :, None]
    return scores * decay.movedim(-1, -2).unsqueeze(-1)
