"""Finding the words that a model writes: greedily, the likeliest of many by beam search, or drawn by their chances.

All know the model as a step, from the last words (row,) and a state, batch first, to logits (row, vocabulary) and the
next state. Word 0 begins and ends a sequence.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from memnet.checks import check_choice, check_sizes, check_tensor
from memnet.state import State, map_state, state_tensors

DecodingStep: TypeAlias = Callable[[Tensor, State], tuple[Tensor, State]]
Normalization: TypeAlias = Literal["none", "length"]


class Decoded(NamedTuple):
    """Sequences of words, the best first.

    words:           (batch, beam, time) int64, 0 from the end of a sequence on.
    log_probability: (batch, beam), in nats: of the words and, where the sequence ended within the limit, its end;
                     -inf where a row has fewer sequences than the beam.
    score:           (batch, beam), what they are ordered by.
    """

    words: Tensor
    log_probability: Tensor
    score: Tensor


def greedy(step: DecodingStep, state: State, *, max_words: int | Tensor) -> Decoded:
    """The likeliest word at every step, up to the end or max_words words; a tensor (row,) gives each row its own.

    Returns sequences with a beam of one; their score is log_probability.
    """
    word = _first_words(state)
    limits = _limits(max_words, word)
    longest, going = int(limits.max()), word == 0
    words: list[Tensor] = []
    total: Tensor | None = None
    while len(words) < longest and bool(going.any()):
        logits, state = step(word, state)
        chance, word = torch.log_softmax(logits, -1).max(-1)
        word = word.masked_fill(~going, 0)
        gain = chance.masked_fill(~going, 0)
        total = gain if total is None else total + gain
        words.append(word)
        going = going & (word > 0) & (limits > len(words))
    assert total is not None
    return Decoded(torch.stack(words, 1).unsqueeze(1), total.unsqueeze(1), total.unsqueeze(1))


def beam_search(
    step: DecodingStep,
    state: State,
    *,
    beam: int,
    max_words: int | Tensor,
    normalization: Normalization = "none",
) -> Decoded:
    """The likeliest sequences among those that stay in the beam (Sutskever et al. 2014, section 3.2).

    At every step each sequence is continued by every word, and the `beam` likeliest of all are kept; one that has
    ended keeps its place as it is. With a beam of one this is `greedy`, with one as wide as there are sequences it is
    exact.

    state:         its rows are chosen and repeated.
    max_words:     sequences that have not ended after so many words are taken as they are; a tensor (row,) gives each
                   row its own number.
    normalization: of the final order: "none", by log_probability; "length", by log_probability over the number of
                   words, the end included.
    """
    check_sizes(beam=beam)
    check_choice("normalization", normalization, Normalization)
    word = _first_words(state).unsqueeze(1).expand(-1, beam)
    limits = _limits(max_words, word[:, 0]).unsqueeze(1)
    longest = int(limits.max())
    batch_size = len(word)
    first = torch.arange(batch_size, device=word.device).unsqueeze(1) * beam
    state = map_state(lambda part: part.repeat_interleave(beam, 0), state)
    words, going = word.new_zeros(batch_size, beam, 0), word == 0
    total: Tensor | None = None
    while words.size(-1) < longest and bool(going.any()):
        logits, state = step(word.flatten(), state)
        gain = torch.log_softmax(logits, -1).view(batch_size, beam, -1)
        if total is None:
            # All places of a row begin alike: the first one speaks for them.
            total = gain.new_full((batch_size, beam), -torch.inf)
            total[:, 0] = 0
        # What has ended goes on with nothing, at no cost.
        gain = torch.where(going.unsqueeze(-1), gain, _only_end(gain))
        size = gain.size(-1)
        total, chosen = (total.unsqueeze(-1) + gain).flatten(1).topk(beam, 1)
        parent, word = chosen // size, chosen % size
        rows = (first + parent).flatten()
        state = map_state(lambda part, rows=rows: part[rows], state)
        going = going.gather(1, parent) & (word > 0) & total.isfinite()
        before = words.gather(1, parent.unsqueeze(-1).expand_as(words))
        words = torch.cat([before, word.unsqueeze(-1)], -1)
        going = going & (limits > words.size(-1))
    assert total is not None
    # An end counts as a word; a sequence that has not ended has none.
    count = (words > 0).sum(-1)
    count = count + (count < limits).to(count.dtype)
    score = total / count if normalization == "length" else total
    score, order = score.sort(dim=1, descending=True, stable=True)
    return Decoded(words.gather(1, order.unsqueeze(-1).expand_as(words)), total.gather(1, order), score)


def _limits(max_words: int | Tensor, words: Tensor) -> Tensor:
    """The most words of each row (row,). ValueError for others than numbers from 1 on."""
    if isinstance(max_words, int):
        check_sizes(max_words=max_words)
        return torch.full_like(words, max_words)
    check_tensor("max_words", max_words, f"of integers ({len(words)},), or a whole number")
    if max_words.shape != words.shape or max_words.dtype != torch.int64:
        raise ValueError(f"max_words must be int64 ({len(words)},), not {max_words.dtype} {tuple(max_words.shape)}")
    check_sizes(max_words=int(max_words.min()))
    return max_words.to(words.device)


def _only_end(gain: Tensor) -> Tensor:
    """Log-probabilities of a sequence that has ended: nothing follows for sure."""
    ended = torch.full_like(gain, -torch.inf)
    ended[..., 0] = 0
    return ended


def _first_words(state: State) -> Tensor:
    """What every row is fed at first: 0."""
    one = state_tensors(state)[0]
    return torch.zeros(len(one), dtype=torch.int64, device=one.device)


def sampled(
    step: DecodingStep, state: State, *, max_words: int, generator: torch.Generator, temperature: float = 1.0
) -> Tensor:
    """Words drawn one after the other, each by its chance after those before it, up to the end or max_words words.

        P(k) = softmax(logits / temperature)_k

    temperature: above 0; below 1 the likely becomes likelier. generator: on the CPU.
    Returns      (batch, time) int64 on the CPU, 0 from the end of a sequence on.
    Raises       ValueError for a temperature that is not above 0.
    """
    check_sizes(max_words=max_words)
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    word = _first_words(state)
    device, going = word.device, word == 0
    words: list[Tensor] = []
    while len(words) < max_words and bool(going.any()):
        logits, state = step(word, state)
        # The highest is put to 0, so that a small temperature gives no infinity.
        last = logits.double().cpu()
        chances = ((last - last.amax(-1, keepdim=True)) / temperature).softmax(-1)
        word = torch.multinomial(chances, 1, generator=generator).squeeze(-1).to(device).masked_fill(~going, 0)
        going = going & (word > 0)
        words.append(word)
    return torch.stack(words, 1).cpu()
