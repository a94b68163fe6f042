"""Subject-verb agreement at a distance (Linzen et al. 2016, Assessing the Ability of LSTMs to Learn Syntax)."""

import textwrap

import torch
from torch import Tensor
from torch.nn import functional as F

from .common import Batch, Score, check_logits, draw_below, draw_range, steps_of
from .symbols import ERROR, NATS, SymbolTask

NOUNS = ("key", "door", "table", "letter", "author", "farmer", "river", "garden")
PREPOSITIONS = ("near", "behind", "above", "beside")
ADJECTIVES = ("old", "small", "green", "famous")
ADVERBS = ("often", "never", "soon", "still")
WORDS = ("the", *NOUNS, *(f"{noun}s" for noun in NOUNS), *PREPOSITIONS, *ADJECTIVES, *ADVERBS)
MOST_PHRASES = 4
# The first channel of each kind of word, and how many words are of that kind; plurals follow the singulars.
THE, NOUN, PREPOSITION = 0, 1, 1 + 2 * len(NOUNS)
ADJECTIVE = PREPOSITION + len(PREPOSITIONS)
ADVERB = ADJECTIVE + len(ADJECTIVES)
SIZES = {
    THE: 1,
    NOUN: 2 * len(NOUNS),
    PREPOSITION: len(PREPOSITIONS),
    ADJECTIVE: len(ADJECTIVES),
    ADVERB: len(ADVERBS),
}
LAST_NOUN = Score("last_noun_error_percent", "last noun", "Wrong by the last noun, %", "% wrong")
BY_ATTRACTORS = tuple(
    Score(f"error_percent_{count}_attractors", f"{count} attr.", f"Wrong at {count} attractors, %", "% wrong")
    for count in range(MOST_PHRASES + 1)
)


class Agreement(SymbolTask):
    """Is the verb singular or plural? (after Linzen, Dupoux and Goldberg 2016, arXiv 1611.01368)

        the keys near the old cabinet behind the doors often   ->   are

    A sentence is "the", the subject, and then `length` words before the verb: up to four phrases of a preposition,
    "the", adjectives and a noun, and then adverbs. Of as many phrases as there is room for every number is equally
    likely, each word that is left over goes before any of the nouns or the verb alike, and every word, number of the
    nouns included, is uniform among those of its kind. An attractor is a noun after the subject whose number is not
    the subject's. Sentences, unlike those of the paper, are generated.

    One input channel a word, in singular and plural two; two output channels, the number of the verb. A length of n
    has n + 2 steps, of which the last is scored. Errors are also told by the number of attractors.

    The majority's number is wrong at 50 % of the sentences; the number of the last noun at k / (k + 1) / 2 of them,
    where k is the largest number of phrases: 40 % from a length of 12 on, and at every sentence whose last noun is
    an attractor.
    """

    name = "agreement"
    length_unit = "words"
    length_range = (1, 20)
    test_lengths = (5, 10, 20, 50, 100)
    scores = (ERROR, LAST_NOUN, *BY_ATTRACTORS, NATS)
    panels = (ERROR, BY_ATTRACTORS[0], BY_ATTRACTORS[MOST_PHRASES])

    def __init__(self) -> None:
        self.input_channels, self.output_channels = WORDS, ("singular", "plural")

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        words = draw_range("length", length, batch_size, generator).unsqueeze(1)
        kind = _draw_kinds(words, generator)
        sizes = torch.ones(len(WORDS), dtype=torch.int64, device=generator.device)
        for first, size in SIZES.items():
            sizes[first] = size
        word = kind + draw_below(sizes[kind], generator)
        plural = (word[:, 1:2] - NOUN) // len(NOUNS)
        step = torch.arange(word.size(1), device=generator.device)
        mask = step == words + 1
        return Batch(
            F.one_hot(word, len(WORDS)) * (step < words + 2).unsqueeze(-1).float(),
            F.one_hot(plural, 2) * mask.unsqueeze(-1).float(),
            mask,
            words.squeeze(1) + 2,
        )

    def metrics(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """As `SymbolTask.metrics`, and attractors: the number of nouns whose number is not the subject's, int64."""
        counts = _numbers(batch.input).sum(dim=1)
        other = 1 - _numbers(batch.input[:, 1])
        return super().metrics(logits, batch) | {"attractors": (counts * other).sum(dim=-1).long()}

    def summarize(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        """As `SymbolTask.summarize`, and error_percent_K_attractors for every K that occurs."""
        shares = {}
        for count, score in enumerate(BY_ATTRACTORS):
            chosen = metrics["attractors"] == count
            if chosen.any():
                shares[score.name] = 100 * float(metrics["wrong"][chosen].double().mean())
        return super().summarize(metrics) | shares

    def baselines(self, length: int) -> dict[str, float]:
        """Guessing the majority's number, and the number of the last noun."""
        phrases = min(length // 3, MOST_PHRASES)
        return super().baselines(length) | {"last_noun_error_percent": 50 * phrases / (phrases + 1)}

    def render(self, batch: Batch, index: int = 0, logits: Tensor | None = None, width: int = 80) -> str:
        """Write one example as a sentence, with the number of its verb and its nouns, folded to `width` columns.

        ValueError for an index outside the batch or logits of the wrong shape.
        """
        steps = steps_of(batch, index)
        words = [WORDS[k] for k in batch.input[index, :steps].argmax(-1).tolist()]
        number = self.output_channels[int(batch.target[index, steps - 1].argmax())]
        attractors = int(self.metrics(batch.target, batch)["attractors"][index])
        lines = [f"{self.name}: {steps} steps, 1 scored, {attractors} attractors", "", " ".join(words), ""]
        lines += [f"verb: {number} ({'is' if number == 'singular' else 'are'})"]
        if logits is not None:
            check_logits(logits, batch)
            lines += [f"predicted: {self.output_channels[int(logits[index, steps - 1].argmax())]}"]
        return "\n".join(textwrap.fill(line, width) for line in lines)


def _numbers(input: Tensor) -> Tensor:
    """Of words (..., word) whether they are nouns in singular and in plural, (..., 2)."""
    nouns = input[..., NOUN:PREPOSITION]
    return torch.stack([one.sum(dim=-1) for one in nouns.split(len(NOUNS), dim=-1)], dim=-1)


def _draw_kinds(words: Tensor, generator: torch.Generator) -> Tensor:
    """The kind of every word, (batch, time): THE, NOUN, and then `words` (batch, 1) of what can follow them."""
    longest, device = int(words.max()), generator.device
    phrases = draw_below((words // 3).clamp(max=MOST_PHRASES) + 1, generator)
    place = torch.arange(longest, device=device)
    # Of the words that are left over, the place each goes to: a phrase, or behind them all.
    goes = draw_below((phrases + 1).expand(-1, longest), generator)
    left = (place < words - 3 * phrases).unsqueeze(-1)
    more = (F.one_hot(goes, MOST_PHRASES + 1) * left).sum(dim=1)
    within = torch.arange(MOST_PHRASES, device=device) < phrases
    size = (3 + more[:, :MOST_PHRASES]) * within
    end = 2 + size.cumsum(dim=1)
    start = end - size
    step = torch.arange(longest + 2, device=device)
    kinds = torch.where(step < end[:, -1:], ADJECTIVE, ADVERB)
    for kind, steps in ((PREPOSITION, start), (THE, start + 1), (NOUN, end - 1)):
        here = (step.unsqueeze(-1) == steps.unsqueeze(1)) & within.unsqueeze(1)
        kinds = kinds.masked_fill(here.any(dim=-1), kind)
    kinds[:, :2] = torch.tensor([THE, NOUN], device=device)
    return kinds
