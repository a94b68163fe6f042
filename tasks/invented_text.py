"""Text in an invented language: what is to be foreseen in it reaches over many characters."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .common import check_count

if TYPE_CHECKING:
    import numpy as np

_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"
_WIDTH = 72
_DEEPEST = 2


class InventedLanguage:
    """A small language with agreement at a distance, nested brackets, quotes and lines.

        The subject's number is heard in its verb, however much stands between:
            den mola ke dun tevian rusin dirit dun gosan.      the singular subject: article den, noun, verb in -it
            dun molan ke den tevia rusit dirin dun gosan.      the plural subject: article dun, noun in -n, verb in -in
        Asides in ( ) and [ ] hold sentences of their own and may hold each other; speech stands between quotes.
        Paragraphs are folded at 72 characters.

    generator: draws the words.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        words: dict[str, None] = {}
        while len(words) < 110:
            syllables = 1 + int(generator.integers(2))
            letters = [
                letter for _ in range(syllables) for letter in (_of(_CONSONANTS, generator), _of(_VOWELS, generator))
            ]
            words["".join(letters) + _of(_CONSONANTS, generator)] = None
        every = list(words)
        self._nouns = [word + _of("aio", generator) for word in every[:50]]
        self._verbs = every[50:80]
        self._qualities, self._adverbs = [word + "e" for word in every[80:100]], [word + "us" for word in every[100:]]

    def write(self, length: int, generator: np.random.Generator) -> str:
        """A text of so many characters."""
        check_count("length", length)
        paragraphs, written = [], 0
        while written < length:
            sentences = [self._sentence(generator) for _ in range(int(generator.integers(3, 9)))]
            paragraphs.append(textwrap.fill(" ".join(sentences), _WIDTH))
            written += len(paragraphs[-1]) + 2
        return "\n\n".join(paragraphs)[:length]

    def _sentence(self, generator: np.random.Generator) -> str:
        clause = self._clause(generator, 0)
        if generator.random() < 0.2:
            speaker, plural = self._subject(generator, _DEEPEST)
            said = f'{speaker} {self._verb(plural, generator)}: "{clause}."'
            return said[0].upper() + said[1:]
        return clause[0].upper() + clause[1:] + "."

    def _clause(self, generator: np.random.Generator, depth: int) -> str:
        subject, plural = self._subject(generator, depth)
        parts = [subject, self._verb(plural, generator)]
        if generator.random() < 0.6:
            parts.append(self._subject(generator, depth + 1)[0])
        if generator.random() < 0.3:
            parts.append(_of(self._adverbs, generator))
        return " ".join(parts)

    def _subject(self, generator: np.random.Generator, depth: int) -> tuple[str, bool]:
        """A noun with what belongs to it, and whether it is plural."""
        plural = bool(generator.random() < 0.5)
        parts = ["dun" if plural else "den"]
        if generator.random() < 0.3:
            parts.append(_of(self._qualities, generator))
        parts.append(_of(self._nouns, generator) + ("n" if plural else ""))
        if depth < _DEEPEST:
            more = generator.random()
            if more < 0.2:
                other, others = self._subject(generator, depth + 1)
                parts.append(f"ke {other} {self._verb(others, generator)}")
            elif more < 0.4:
                opening, closing = "()" if generator.random() < 0.6 else "[]"
                parts.append(opening + self._clause(generator, depth + 1) + closing)
        return " ".join(parts), plural

    def _verb(self, plural: bool, generator: np.random.Generator) -> str:
        return _of(self._verbs, generator) + ("in" if plural else "it")


def _of(choices: Sequence[str], generator: np.random.Generator) -> str:
    return choices[int(generator.integers(len(choices)))]
