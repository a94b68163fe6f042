"""A user's parallel text: sentences and their translations, from two files or one, and their parts."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from ..reading import TextError, read_text
from .grammar import Pair

# Fewer different sources cannot be parted.
FEWEST = 10


class ParallelError(ValueError):
    """A file that is no parallel text; the message is one line that names file and line."""


def read_parallel(source: str | Path, target: str | Path) -> list[Pair]:
    """The sentences of one file and, line by line, their translations in the other.

    Text as `tasks.reading` has it, words between spaces, a sentence a line; lines that are empty in both files are
    left out. ParallelError for files that are empty, of different numbers of lines, or no text, and for a sentence
    without a translation. OSError for a file that cannot be opened.
    """
    sources, targets = _lines(Path(source)), _lines(Path(target))
    if len(sources) != len(targets):
        raise ParallelError(
            f"{source} has {len(sources)} lines and {target} {len(targets)}: expected a translation for every line"
        )
    return _pairs(list(zip(sources, targets, strict=True)), f"{source} and {target}")


def read_tabbed(path: str | Path, *, tell: Callable[[str], object] | None = None) -> list[Pair]:
    """The same from one file, where a tab stands between a sentence and its translation.

    tell: hears, in one line, of columns behind these two, which are not read.
    """
    rows, wider = [], 0
    for number, line in enumerate(_lines(Path(path)), start=1):
        source, *rest = line.split("\t") if line.strip() else ["", ""]
        if not rest:
            raise ParallelError(f"{path}, line {number}: expected a sentence, a tab and its translation, not 0 tabs")
        rows.append((source, rest[0]))
        wider += len(rest) > 1
    if wider and tell is not None:
        tell(f"{path}: {wider:,} lines have more than two columns; the first two are read")
    return _pairs(rows, str(path))


def parted(pairs: Sequence[Pair], *, valid: int, test: int, seed: int) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Training, validation and test pairs, no source in two of them, in random order.

    valid, test: how many sources these have; at most a tenth of all each.
    ParallelError for fewer than FEWEST different sources.
    """
    by_source: dict[str, list[Pair]] = {}
    for pair in dict.fromkeys(pairs):
        by_source.setdefault(pair.source, []).append(pair)
    if len(by_source) < FEWEST:
        raise ParallelError(
            f"the parallel text has {len(by_source)} different sentences, too few to keep some for validation and "
            f"tests: expected at least {FEWEST}"
        )
    order = sorted(by_source)
    random.Random(f"parts {seed}").shuffle(order)
    share = len(order) // 10
    first, second = min(test, share), min(test, share) + min(valid, share)
    parts = order[second:], order[first:second], order[:first]
    train, validation, tests = ([pair for source in part for pair in by_source[source]] for part in parts)
    return train, validation, tests


def _lines(path: Path) -> list[str]:
    """The lines of a text, without their ends."""
    try:
        text = read_text(path)
    except TextError as error:
        raise ParallelError(str(error)) from None
    if not text.strip():
        raise ParallelError(f"{path} is empty: expected a sentence a line")
    return text.removesuffix("\n").split("\n")


def _pairs(rows: Sequence[tuple[str, str]], where: str) -> list[Pair]:
    """Words between single spaces; where neither side has one, nothing."""
    found = []
    for number, row in enumerate(rows, start=1):
        pair = Pair(*(" ".join(side.split()) for side in row))
        if bool(pair.source) != bool(pair.target):
            side = "no sentence" if not pair.source else "no translation"
            raise ParallelError(f"{where}, line {number}: there is {side}")
        if pair.source:
            found.append(pair)
    return found
