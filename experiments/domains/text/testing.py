"""How many bits a character of a text costs a model that knows all characters before it."""

import math
import sys
from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from experiments.domains.text.data import Chunk, Streams
from experiments.runs.tests import TestRow
from experiments.training.looks import at_rest
from memnet import LanguageModel
from tasks.markov_text import MarkovSource

# Characters that are read at once. Every stream of a test reads so many before its own, and has five times as many.
CHUNK = 200
# Streams of a test at the most, and scores of characters that are held at once.
_MOST_STREAMS, _MOST_SCORES = 64, 1 << 24


def losses_of(logits: Tensor, chunk: Chunk) -> Tensor:
    """The cross-entropy of every scored character of a chunk, in nats, (character,)."""
    return functional.cross_entropy(logits[chunk.scored], chunk.target[chunk.scored], reduction="none")


def bits_per_character(model: LanguageModel, numbers: Tensor, tell: Callable[[int], None] | None = None) -> float:
    """The mean cross-entropy of all characters of a text but its first, in bits.

    Long texts are read in several streams, each of which has read 200 characters before the first that counts.

    numbers: (character,) at least two. tell: called with the number of characters done.
    """
    readout = model.sequence.readout.weight
    room = _MOST_SCORES // (CHUNK * len(readout))
    count = max(1, min(_MOST_STREAMS, len(numbers) // (5 * CHUNK), room))
    streams = Streams(numbers, count, CHUNK, warm_up=CHUNK if count > 1 else 0)
    device = readout.device
    state, nats, done = None, 0.0, 0
    with at_rest(model):
        for chunk in streams.chunks():
            chunk = chunk.to(device)
            logits, state = model(chunk.input, state, lengths=chunk.lengths)
            nats += float(losses_of(logits, chunk).double().sum())
            done += int(chunk.scored.sum())
            if tell is not None:
                tell(done)
    return nats / done / math.log(2)


def test_row(
    model: LanguageModel, numbers: Tensor, name: str, part: str, tell: Callable[[int], None] | None = None
) -> TestRow:
    """A test on a part of a text, of "all" of a text that the model was not trained on.

    count: characters that are scored. scores: bits_per_character and perplexity.
    """
    bits = bits_per_character(model, numbers, tell)
    return {
        "on": name,
        "at": {"part": part},
        "as_trained": part != "all",
        "count": len(numbers) - 1,
        "scores": {"bits_per_character": bits, "perplexity": perplexity(bits)},
        "baselines": {},
        "each": {},
    }


def perplexity(bits: float) -> float:
    """2 ** bits, infinite where no float is so large."""
    return 2**bits if bits < sys.float_info.max_exp else math.inf


def known_bits(source: MarkovSource, text: str, bits: float) -> dict[str, float]:
    """Further scores of a test on a text whose source is known: its entropy_rate; source_bits_per_character, the mean
    that the characters of this very text cost who knows the source; bits_above_source, what the model needs more.

    bits: per character, of the model.
    """
    own = float(source.bits(text).mean())
    return {
        "entropy_rate": source.entropy_rate(),
        "source_bits_per_character": own,
        "bits_above_source": bits - own,
    }
