"""How many bits a character of a text costs a model that knows all characters before it."""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional

from experiments.base.terminal import facts
from experiments.domains.text.data import Chunk, Streams
from experiments.training.looks import at_rest
from memnet import LanguageModel
from tasks.markov_text import MarkovSource

Row = dict[str, Any]

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
) -> Row:
    """One row of the test table: text, part, characters (scored), bits_per_character and perplexity.

    Where only the beginning of a part is tested, first_of tells how many characters it has.
    """
    bits = bits_per_character(model, numbers, tell)
    row = {"text": name, "part": part, "characters": len(numbers) - 1}
    return row | {"bits_per_character": bits, "perplexity": perplexity(bits)}


def perplexity(bits: float) -> float:
    """2 ** bits, infinite where no float is so large."""
    return 2**bits if bits < sys.float_info.max_exp else math.inf


def known_bits(source: MarkovSource, text: str) -> Row:
    """What goes beside a test on a text whose source is known: its entropy_rate, and source_bits_per_character, the
    mean that the characters of this very text cost who knows the source."""
    return {"entropy_rate": source.entropy_rate(), "source_bits_per_character": float(source.bits(text).mean())}


def same_test(row: Row) -> tuple[str, ...]:
    """What tells rows of the test table apart, and orders them."""
    return row["text"], row["part"]


def table(rows: Sequence[Row]) -> str:
    """The test table as text."""
    known: list[tuple[str, str, str]] = [
        ("text", "text", "s"),
        ("part", "part", "s"),
        ("characters", "characters", ",d"),
        ("the first of", "first_of", ",d"),
        ("bits/char", "bits_per_character", ".4f"),
        ("perplexity", "perplexity", ".3f"),
        ("true entropy", "entropy_rate", ".4f"),
        ("source's bits/char", "source_bits_per_character", ".4f"),
    ]
    return facts(rows, known)
