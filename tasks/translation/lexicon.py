"""Words and endings of the two invented languages, all drawn from one seed; the order of words is in grammar.py."""

import dataclasses
import random
from collections.abc import Sequence

NOUNS, ADJECTIVES, VERBS, PREPOSITIONS, ADVERBS, DETERMINERS = 16, 8, 10, 4, 4, 2
# Numbers are singular and plural, tenses present and past, cases subject and object.
NUMBERS, TENSES, CASES = 2, 2, 2
# Kinds of nouns with which other words agree; one language's say nothing about the other's.
GENDERS, CLASSES = 2, 3

_SOURCE_LETTERS = "bdglmnrstv", "aeiou"
_TARGET_LETTERS = "fhjkpqwxyz", "aeiou"


@dataclasses.dataclass(frozen=True)
class Stem:
    """What a word means in both languages."""

    source: str
    target: str


@dataclasses.dataclass(frozen=True)
class Noun(Stem):
    """A noun: its gender in the source language, 0 or 1, and its class in the target language, 0 to 2."""

    gender: int
    noun_class: int


@dataclasses.dataclass(frozen=True)
class Endings:
    """What follows the stems of one language.

    noun:       by number.
    adjective:  by number and kind of the noun (gender or class).
    verb:       by tense, and number and kind of the subject.
    determiner: by case, number and kind; the source language has one case.
    """

    noun: tuple[str, ...]
    adjective: tuple[tuple[str, ...], ...]
    verb: tuple[tuple[tuple[str, ...], ...], ...]
    determiner: tuple[tuple[tuple[str, ...], ...], ...]


@dataclasses.dataclass(frozen=True)
class Lexicon:
    """All words of both languages. Different stems and endings make different words.

    Particles, prepositions (postpositions in the target language) and adverbs have no endings.
    """

    nouns: tuple[Noun, ...]
    adjectives: tuple[Stem, ...]
    verbs: tuple[Stem, ...]
    determiners: tuple[Stem, ...]
    prepositions: tuple[Stem, ...]
    adverbs: tuple[Stem, ...]
    question: Stem
    negation: Stem
    conjunction: Stem
    source: Endings
    target: Endings

    @classmethod
    def drawn(cls, seed: int) -> "Lexicon":
        """The languages of a seed."""
        dice = random.Random(f"lexicon {seed}")
        count = NOUNS + ADJECTIVES + VERBS + DETERMINERS + PREPOSITIONS + ADVERBS + 3
        starts = zip(
            *(iter(_starts(letters, count, dice)) for letters in (_SOURCE_LETTERS, _TARGET_LETTERS)), strict=True
        )

        def stems(number: int, syllables: int) -> tuple[Stem, ...]:
            return tuple(
                Stem(first + _more(_SOURCE_LETTERS, syllables, dice), second + _more(_TARGET_LETTERS, syllables, dice))
                for first, second in (next(starts) for _ in range(number))
            )

        def noun(stem: Stem) -> Noun:
            return Noun(stem.source, stem.target, dice.randrange(GENDERS), dice.randrange(CLASSES))

        (question, negation, conjunction) = stems(3, 0)
        return cls(
            nouns=tuple(map(noun, stems(NOUNS, 1))),
            adjectives=stems(ADJECTIVES, 1),
            verbs=stems(VERBS, 1),
            determiners=stems(DETERMINERS, 0),
            prepositions=stems(PREPOSITIONS, 0),
            adverbs=stems(ADVERBS, 1),
            question=question,
            negation=negation,
            conjunction=conjunction,
            source=_endings(_SOURCE_LETTERS, GENDERS, 1, dice),
            target=_endings(_TARGET_LETTERS, CLASSES, CASES, dice),
        )


def _starts(letters: tuple[str, str], count: int, dice: random.Random) -> list[str]:
    """Beginnings of stems, no two alike, so that no word of one stem is one of another."""
    consonants, vowels = letters
    return dice.sample([a + b + c for a in consonants for b in vowels for c in consonants], count)


def _more(letters: tuple[str, str], syllables: int, dice: random.Random) -> str:
    consonants, vowels = letters
    return "".join(dice.choice(vowels) + dice.choice(consonants) for _ in range(syllables))


def _endings(letters: tuple[str, str], kinds: int, cases: int, dice: random.Random) -> Endings:
    consonants, vowels = letters
    pool = [*vowels, *(vowel + consonant for vowel in vowels for consonant in consonants)]

    def table(rows: int) -> tuple[tuple[tuple[str, ...], ...], ...]:
        drawn: Sequence[str] = dice.sample(pool, rows * NUMBERS * kinds)
        ends = iter(drawn)
        return tuple(tuple(tuple(next(ends) for _ in range(kinds)) for _ in range(NUMBERS)) for _ in range(rows))

    return Endings(tuple(dice.sample(pool, NUMBERS)), table(1)[0], table(TENSES), table(cases))
