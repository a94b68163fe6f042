"""Sentences of the two invented languages, drawn as meanings and written in both.

    source                                              target
    sentence  = [question] clause [and clause]          clause [and clause] [question]
    clause    = subject [not] verb [object] [adverb]    subject [object] [adverb] verb [not]
    noun phrase = determiner adjective* noun            [noun phrase postposition] noun adjective* determiner
                  [preposition noun phrase]

In the target language adjectives stand in the reverse order. Source determiners, adjectives and verbs agree with the
noun in number and gender, target ones in number and class, and target determiners mark an object.
"""

import dataclasses
import random
from collections.abc import Sequence
from typing import NamedTuple

from ..common import check_count, check_range
from .lexicon import NUMBERS, TENSES, Lexicon

# A determiner, a noun and a verb.
SHORTEST = 3
MOST_ADJECTIVES = 2
# How often something that a sentence of this length may have is there.
_QUESTION, _NEGATION, _OBJECT, _ADVERB, _TWO_CLAUSES = 0.2, 0.25, 0.7, 0.2, 0.25
# Draws in a row that may bring nothing new.
_PATIENCE = 2000


class Pair(NamedTuple):
    """A sentence and its translation, words between single spaces."""

    source: str
    target: str


@dataclasses.dataclass(frozen=True)
class NounPhrase:
    """Indices of words in the lexicon. within: a preposition and what it goes with."""

    determiner: int
    adjectives: tuple[int, ...]
    noun: int
    number: int
    within: "tuple[int, NounPhrase] | None"


@dataclasses.dataclass(frozen=True)
class Clause:
    """Who does, or does not do, what."""

    subject: NounPhrase
    verb: int
    tense: int
    negated: bool
    object: NounPhrase | None
    adverb: int | None


@dataclasses.dataclass(frozen=True)
class Sentence:
    """One or two clauses, as a statement or a question."""

    question: bool
    clauses: tuple[Clause, ...]


class Languages:
    """Two languages and their sentences. seed: of their words."""

    def __init__(self, seed: int) -> None:
        self.lexicon = Lexicon.drawn(check_count("seed", seed, 0))

    def pair(self, length: int, dice: random.Random) -> Pair:
        """A random sentence of `length` source words; ValueError below SHORTEST."""
        sentence = _draw_sentence(self.lexicon, check_count("length", length, SHORTEST), dice)
        return Pair(
            " ".join(write_source(sentence, self.lexicon)),
            " ".join(write_target(sentence, self.lexicon)),
        )

    def pairs(
        self, count: int, *, length: int | tuple[int, int], dice: random.Random, known: set[str] | None = None
    ) -> list[Pair]:
        """So many pairs, all with different sources.

        length: of the sources in words, or (low, high) from which each draws its own, both included.
        known:  sources that may not come, to which these are added.
        ValueError where there are not so many sentences, or for a length that cannot be.
        """
        low, high = check_range("length", length, SHORTEST)
        known = set() if known is None else known
        found: list[Pair] = []
        missed = 0
        while len(found) < count:
            pair = self.pair(dice.randint(low, high), dice)
            if pair.source in known:
                missed += 1
                if missed == _PATIENCE:
                    words = f"{low}" if low == high else f"{low} to {high}"
                    raise ValueError(f"{count} new sentences of {words} words were asked for, {len(found)} were found")
                continue
            missed = 0
            known.add(pair.source)
            found.append(pair)
        return found


def write_source(sentence: Sentence, lexicon: Lexicon) -> list[str]:
    """The words of a sentence in the source language."""
    words = [lexicon.question.source] if sentence.question else []
    for number, clause in enumerate(sentence.clauses):
        words += [lexicon.conjunction.source] if number else []
        words += _source_clause(clause, lexicon)
    return words


def write_target(sentence: Sentence, lexicon: Lexicon) -> list[str]:
    """The words of a sentence in the target language."""
    words: list[str] = []
    for number, clause in enumerate(sentence.clauses):
        words += [lexicon.conjunction.target] if number else []
        words += _target_clause(clause, lexicon)
    return [*words, lexicon.question.target] if sentence.question else words


def _source_clause(clause: Clause, lexicon: Lexicon) -> list[str]:
    subject = clause.subject
    ending = lexicon.source.verb[clause.tense][subject.number][lexicon.nouns[subject.noun].gender]
    return [
        *_source_phrase(subject, lexicon),
        *([lexicon.negation.source] if clause.negated else []),
        lexicon.verbs[clause.verb].source + ending,
        *([] if clause.object is None else _source_phrase(clause.object, lexicon)),
        *([] if clause.adverb is None else [lexicon.adverbs[clause.adverb].source]),
    ]


def _source_phrase(phrase: NounPhrase, lexicon: Lexicon) -> list[str]:
    noun, endings, number = lexicon.nouns[phrase.noun], lexicon.source, phrase.number
    words = [
        lexicon.determiners[phrase.determiner].source + endings.determiner[0][number][noun.gender],
        *(lexicon.adjectives[one].source + endings.adjective[number][noun.gender] for one in phrase.adjectives),
        noun.source + endings.noun[number],
    ]
    if phrase.within is not None:
        preposition, inner = phrase.within
        words += [lexicon.prepositions[preposition].source, *_source_phrase(inner, lexicon)]
    return words


def _target_clause(clause: Clause, lexicon: Lexicon) -> list[str]:
    subject = clause.subject
    ending = lexicon.target.verb[clause.tense][subject.number][lexicon.nouns[subject.noun].noun_class]
    return [
        *_target_phrase(subject, 0, lexicon),
        *([] if clause.object is None else _target_phrase(clause.object, 1, lexicon)),
        *([] if clause.adverb is None else [lexicon.adverbs[clause.adverb].target]),
        lexicon.verbs[clause.verb].target + ending,
        *([lexicon.negation.target] if clause.negated else []),
    ]


def _target_phrase(phrase: NounPhrase, case: int, lexicon: Lexicon) -> list[str]:
    noun, endings, number = lexicon.nouns[phrase.noun], lexicon.target, phrase.number
    words: list[str] = []
    if phrase.within is not None:
        preposition, inner = phrase.within
        words += [*_target_phrase(inner, 0, lexicon), lexicon.prepositions[preposition].target]
    words.append(noun.target + endings.noun[number])
    for one in reversed(phrase.adjectives):
        words.append(lexicon.adjectives[one].target + endings.adjective[number][noun.noun_class])
    words.append(lexicon.determiners[phrase.determiner].target + endings.determiner[case][number][noun.noun_class])
    return words


def _draw_sentence(lexicon: Lexicon, length: int, dice: random.Random) -> Sentence:
    """A sentence of exactly so many source words."""
    question = length > SHORTEST and dice.random() < _QUESTION
    left = length - question
    lengths: Sequence[int] = (left,)
    if left > 2 * SHORTEST and dice.random() < _TWO_CLAUSES:
        first = dice.randint(SHORTEST, left - 1 - SHORTEST)
        lengths = (first, left - 1 - first)
    return Sentence(question, tuple(_draw_clause(lexicon, one, dice) for one in lengths))


def _draw_clause(lexicon: Lexicon, length: int, dice: random.Random) -> Clause:
    left = length - 1
    negated = left > 2 and dice.random() < _NEGATION
    left -= negated
    adverb = left > 2 and dice.random() < _ADVERB
    left -= adverb
    subject = left
    if left >= 4 and dice.random() < _OBJECT:
        subject = dice.randint(2, left - 2)
    return Clause(
        subject=_draw_phrase(lexicon, subject, dice),
        verb=dice.randrange(len(lexicon.verbs)),
        tense=dice.randrange(TENSES),
        negated=negated,
        object=_draw_phrase(lexicon, left - subject, dice) if left > subject else None,
        adverb=dice.randrange(len(lexicon.adverbs)) if adverb else None,
    )


def _draw_phrase(lexicon: Lexicon, length: int, dice: random.Random) -> NounPhrase:
    """Determiner and noun, and of the words left some adjectives and a phrase with a preposition, of three at least."""
    left = length - 2
    choices = [count for count in range(MOST_ADJECTIVES + 1) if left - count == 0 or left - count >= 3]
    adjectives = dice.choice(choices)
    inner = left - adjectives - 1
    return NounPhrase(
        determiner=dice.randrange(len(lexicon.determiners)),
        adjectives=tuple(dice.sample(range(len(lexicon.adjectives)), adjectives)),
        noun=dice.randrange(len(lexicon.nouns)),
        number=dice.randrange(NUMBERS),
        within=(dice.randrange(len(lexicon.prepositions)), _draw_phrase(lexicon, inner, dice)) if inner > 0 else None,
    )
