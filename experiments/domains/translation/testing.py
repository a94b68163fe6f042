"""How well a model translates: word by word after the right words, and whole sentences by its own."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from experiments.domains.translation.data import MOST, UNKNOWN_NUMBER, Ragged, Sentences, Words, like_lengths
from experiments.runs.tests import Condition, TestRow
from experiments.training.looks import at_rest
from memnet import EncoderDecoder, beam_search, greedy
from memnet.decoding import Normalization
from tasks.translation import Pair

Row = dict[str, Any]

INSTALL = "pip install -e '.[translation]'"
# The row over all lengths.
ALL = "all"
# Of each length: the first translations whatever they are, and the first wrong ones.
SHOWN, SHOWN_WRONG = 20, 20
# Sentences at a time.
_BATCH = 250


def sentence_losses(model: EncoderDecoder, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of every sentence, each (batch,): its cross-entropy in nats, words with the end, and whether all are right.

    Every word is scored after the right ones before it. Where all are right that way, greedy decoding finds them, too.
    A word that the vocabulary lacks is never right.
    """
    logits = model(source, target)
    right = functional.pad(target, (0, 1))
    scored = functional.pad(target > 0, (1, 0), value=True)
    losses = functional.cross_entropy(logits.transpose(1, 2), right, reduction="none").masked_fill(~scored, 0)
    good = (logits.argmax(-1) == right) & (right != UNKNOWN_NUMBER)
    return losses.sum(1), scored.sum(1), (good | ~scored).all(1)


def measure(model: EncoderDecoder, sentences: Sentences) -> dict[str, float]:
    """loss: cross-entropy of a word in nats. error_percent: sentences with a wrong word, decoded greedily."""
    device = model.source_words.device
    loss, words, right = 0.0, 0, 0
    with at_rest(model):
        for index in torch.arange(len(sentences)).split(_BATCH):
            for source, target in sentences.groups(index):
                losses, counts, exact = sentence_losses(model, source.to(device), target.to(device))
                loss, words, right = loss + float(losses.sum()), words + int(counts.sum()), right + int(exact.sum())
    return {"loss": loss / words, "error_percent": 100 * (1 - right / len(sentences))}


def translations(
    model: EncoderDecoder, source: Ragged, words: Words, *, beam: int = 1, normalization: Normalization = "none"
) -> list[str]:
    """A translation of every sentence: the best that a beam search of this width finds."""
    device, found = model.source_words.device, dict[int, str]()
    for index in torch.arange(len(source.lengths)).split(_BATCH):
        for group in like_lengths(source.lengths[index], MOST // beam):
            rows = index[group]
            limits = words.most_words(source.lengths[rows]).to(device)
            with torch.no_grad():
                state = model.encode(source.padded(rows).to(device))
                if beam == 1:
                    best = greedy(model.step, state, max_words=limits)
                else:
                    best = beam_search(model.step, state, beam=beam, max_words=limits, normalization=normalization)
            for row, numbers in zip(rows.tolist(), best.words[:, 0].tolist(), strict=True):
                found[row] = " ".join(words.target.words[word] for word in numbers if word)
    return [found[row] for row in range(len(found))]


def test_rows(
    pairs: Sequence[Pair], given: Sequence[str], beamed: Sequence[str], on: str, at: Mapping[str, Condition], own: bool
) -> list[TestRow]:
    """One row for each length of the sources in words, and one for all.

    given, beamed: the translations found greedily and by the beam search.
    on, at, own:   what the sentences are called, the conditions of the test but for the length, and whether both are
                   those of the training.
    Scores: exact_share and beam_exact_share, the share of sentences that are right to the word; error_percent, 100 less
    exact_share in percent; bleu and beam_bleu, not without sacrebleu.
    """
    lengths = sorted(_by_length(pairs).items())
    everything: list[tuple[int | str, list[int]]] = [*lengths, (ALL, list(range(len(pairs))))]
    rows: list[TestRow] = []
    for length, some in everything:
        right = [pairs[place].target for place in some]
        scores: dict[str, float] = {}
        for name, found in (("", given), ("beam_", beamed)):
            texts = [found[place] for place in some]
            scores[f"{name}exact_share"] = sum(map(str.__eq__, texts, right)) / len(some)
            if (score := bleu(texts, right)) is not None:
                scores[f"{name}bleu"] = score
        scores["error_percent"] = 100 * (1 - scores["exact_share"])
        conditions = {**at, "length": length}
        rows.append(
            {
                "on": on,
                "at": conditions,
                "as_trained": own,
                "count": len(some),
                "scores": scores,
                "baselines": {},
                "each": {},
            }
        )
    return rows


def bleu(given: Sequence[str], right: Sequence[str]) -> float | None:
    """BLEU of sacrebleu over words between spaces, 0 to 100; None where sacrebleu is not installed.

    Where no sentence is as long as an n-gram, the n-grams of that length are left out ("effective order").
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        return None
    scorer = BLEU(tokenize="none", force=True, effective_order=True)
    return float(scorer.corpus_score(list(given), [list(right)]).score)


def tell_missing_bleu(rows: Sequence[TestRow]) -> None:
    """Say why there is no BLEU, where there is none."""
    if "bleu" not in rows[0]["scores"]:
        print(f"BLEU is left out: sacrebleu is not installed ({INSTALL})", file=sys.stderr)


def answer_rows(pairs: Sequence[Pair], given: Sequence[str], beamed: Sequence[str]) -> list[Row]:
    """One row a translation, of each length the first SHOWN and of the rest the first SHOWN_WRONG wrong ones:

    length, source, answer: of the source in words, the sentence and its translation.
    given, right:           the greedy translation, and whether it is right to the word.
    beam_given, beam_right: the same by the beam search.
    """
    rows = []
    for length, some in sorted(_by_length(pairs).items()):
        wrong = [place for place in some[SHOWN:] if {given[place], beamed[place]} != {pairs[place].target}]
        for place in [*some[:SHOWN], *wrong[:SHOWN_WRONG]]:
            source, answer = pairs[place]
            row = {"length": length, "source": source, "answer": answer}
            row |= {"given": given[place], "right": given[place] == answer}
            rows.append(row | {"beam_given": beamed[place], "beam_right": beamed[place] == answer})
    return rows


def _by_length(pairs: Sequence[Pair]) -> dict[int, list[int]]:
    """The places of sentences by the words of their sources."""
    places: dict[int, list[int]] = {}
    for place, pair in enumerate(pairs):
        places.setdefault(len(pair.source.split()), []).append(place)
    return places
