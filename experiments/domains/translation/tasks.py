"""What models that translate learn: two invented languages, or sentences of the user's."""

import dataclasses
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from experiments.base.files import UserError
from experiments.base.progress import working
from experiments.config.fields import check_least
from experiments.domains.translation.data import Sentences, TranslationData, Words
from tasks.translation import SHORTEST, Languages, Pair, parted, read_parallel, read_tabbed


@dataclasses.dataclass
class Translate:
    """Sentences and their translations, of two invented languages or of files of the user's.

    source: a text of your own, a sentence a line, beside --target; None for the invented languages.
    target: its translation, line by line.
    parallel: instead of both, one file: on every line a sentence, a tab and its translation.
    most_words: own files: pairs with a sentence of more words than this are left out; how many is told.
    sentences: invented languages: training sentences, all different.
    valid_sentences: sentences for validation, never trained on; of own files at most a tenth.
    test_sentences: test sentences of each length, neither trained on nor validated with; of own files in all, at most
        a tenth.
    min_length, max_length: invented languages: words of the shortest and of the longest sentences.
    data_seed: seed of the invented languages and their sentences, or of how own files are parted. It is not that of the
        run.
    """

    domain: ClassVar[str] = "translation"
    settled: ClassVar[tuple[str, ...]] = ("source", "target", "parallel")
    changeable: ClassVar[tuple[str, ...]] = ("source", "target", "parallel", "test_sentences")

    source: str | None = None
    target: str | None = None
    parallel: str | None = None
    most_words: int = 100
    sentences: int = 20_000
    valid_sentences: int = 500
    test_sentences: int = 200
    min_length: int = SHORTEST
    max_length: int = 12
    data_seed: int = 0

    def __post_init__(self) -> None:
        """Settle where the files are; UserError for what cannot be."""
        check_least(self, 1, "most_words", "sentences", "valid_sentences", "test_sentences")
        check_least(self, 0, "data_seed")
        if not SHORTEST <= self.min_length <= self.max_length:
            raise UserError(
                f"--min-length and --max-length must be at least {SHORTEST} and in order, not {self.min_length} and "
                f"{self.max_length}"
            )
        if (self.source is None) != (self.target is None):
            given, missing = ("--source", "--target") if self.target is None else ("--target", "--source")
            raise UserError(f"{given} {self.source or self.target} needs a {missing} beside it")
        if self.parallel is not None and self.source is not None:
            raise UserError(f"--parallel {self.parallel} and --source {self.source}: give one of them")
        self.source, self.target, self.parallel = (
            None if path is None else os.path.abspath(path) for path in (self.source, self.target, self.parallel)
        )

    @property
    def own_files(self) -> bool:
        """Whether the sentences are the user's."""
        return self.source is not None or self.parallel is not None

    @property
    def name(self) -> str:
        """Where the sentences are from: "invented languages", or the names of the user's files."""
        paths = [path for path in (self.source, self.target, self.parallel) if path is not None]
        return " and ".join(Path(path).name for path in paths) if paths else "invented languages"

    @property
    def subject(self) -> str:
        """What exactly is learned, from which sentences."""
        return f"translate {self.name}"

    @working("reading the sentences")
    def data(self) -> TranslationData:
        """The sentences; UserError for files that cannot be used, or more sentences than there are."""
        try:
            train, valid, test = self._from_files() if self.own_files else self._invented()
        except ValueError as error:
            raise UserError(str(error)) from None
        words = Words.of(train)
        parts = (Sentences.of(pairs, words) for pairs in (train, valid, test))
        return TranslationData(self.name, words, *parts)

    @working("drawing new sentences")
    def more_tests(self, data: TranslationData, lengths: Sequence[int], count: int) -> Sentences:
        """So many new sentences of the invented languages of each length, none of them in the run's own data."""
        known = {pair.source for part in (data.train, data.valid, data.test) for pair in part.pairs}
        dice, languages = random.Random(f"more tests {self.data_seed}"), Languages(self.data_seed)
        try:
            drawn = [languages.pairs(count, length=length, dice=dice, known=known) for length in lengths]
        except ValueError as error:
            raise UserError(str(error)) from None
        return Sentences.of([pair for pairs in drawn for pair in pairs], data.words)

    def _invented(self) -> tuple[list[Pair], list[Pair], list[Pair]]:
        languages, dice = Languages(self.data_seed), random.Random(f"sentences {self.data_seed}")
        known = set[str]()
        lengths = self.min_length, self.max_length
        # Of short sentences there are few: the tests, which need some of each length, come first.
        test = [
            pair
            for length in range(lengths[0], lengths[1] + 1)
            for pair in languages.pairs(self.test_sentences, length=length, dice=dice, known=known)
        ]
        valid = languages.pairs(self.valid_sentences, length=lengths, dice=dice, known=known)
        return languages.pairs(self.sentences, length=lengths, dice=dice, known=known), valid, test

    def _from_files(self) -> tuple[list[Pair], list[Pair], list[Pair]]:
        if self.parallel is not None:
            pairs = read_tabbed(self.parallel, tell=_tell)
        else:
            assert self.source is not None
            assert self.target is not None
            pairs = read_parallel(self.source, self.target)
        kept = [pair for pair in pairs if max(len(side.split()) for side in pair) <= self.most_words]
        if left_out := len(pairs) - len(kept):
            told = f"{left_out:,} of {len(pairs):,} pairs have a sentence of more than --most-words {self.most_words}"
            if not kept:
                raise UserError(f"{self.name}: {told}, none is left")
            _tell(f"{told} and are left out")
        train, valid, test = parted(kept, valid=self.valid_sentences, test=self.test_sentences, seed=self.data_seed)
        return train, valid, test


def _tell(remark: str) -> None:
    print(remark, file=sys.stderr)
