"""The exact translator: it parses the source text alone and knows nothing of how sentences are made."""

from typing import NamedTuple

from .lexicon import GENDERS, NUMBERS, TENSES, Lexicon


class NotTranslated(ValueError):
    """A text that is no sentence of the source language; the message names the word."""


class _Word(NamedTuple):
    """What a source word is.

    kind:  its part of speech. stem: its number. form: tense, number and gender as far as it has them.
    place: in the sentence, from 1.
    """

    kind: str
    stem: int
    form: tuple[int, ...] = ()
    place: int = 0


class _Phrase(NamedTuple):
    """A translated noun phrase, its determiner apart since the case decides its form, and what agrees with it."""

    words: list[str]
    determiner: int
    number: int
    gender: int
    noun_class: int


class Translator:
    """Translates sentences of the source language, those alone.

    lexicon: the words of both languages.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._known = dict(_analyses(lexicon))

    def translate(self, text: str) -> str:
        """The one translation. NotTranslated for an unknown word, or one that does not stand or agree as it must."""
        return " ".join(_Parser(text.split(), self._known, self._lexicon).sentence())


def _analyses(lexicon: Lexicon) -> list[tuple[str, _Word]]:
    """Every source word, and what it is."""
    agreeing = [(number, gender) for number in range(NUMBERS) for gender in range(GENDERS)]
    endings = lexicon.source
    found = [
        (lexicon.question.source, _Word("question particle", 0)),
        (lexicon.negation.source, _Word("negation", 0)),
        (lexicon.conjunction.source, _Word("conjunction", 0)),
    ]
    found += [(one.source, _Word("preposition", k)) for k, one in enumerate(lexicon.prepositions)]
    found += [(one.source, _Word("adverb", k)) for k, one in enumerate(lexicon.adverbs)]
    for number in range(NUMBERS):
        for k, noun in enumerate(lexicon.nouns):
            found.append((noun.source + endings.noun[number], _Word("noun", k, (number, noun.gender))))
    for number, gender in agreeing:
        for k, one in enumerate(lexicon.adjectives):
            found.append((one.source + endings.adjective[number][gender], _Word("adjective", k, (number, gender))))
        for k, one in enumerate(lexicon.determiners):
            ending = endings.determiner[0][number][gender]
            found.append((one.source + ending, _Word("determiner", k, (number, gender))))
        for k, one in enumerate(lexicon.verbs):
            for tense in range(TENSES):
                ending = endings.verb[tense][number][gender]
                found.append((one.source + ending, _Word("verb", k, (tense, number, gender))))
    return found


class _Parser:
    """Recursive descent over one text, with one word of foresight."""

    def __init__(self, text: list[str], known: dict[str, _Word], lexicon: Lexicon) -> None:
        self._text, self._lexicon = text, lexicon
        self._words: list[_Word] = []
        self._place = 0
        for place, word in enumerate(text, start=1):
            if word not in known:
                raise NotTranslated(f"word {place}, {word!r}, is not of the source language")
            self._words.append(known[word]._replace(place=place))

    def sentence(self) -> list[str]:
        """The whole text."""
        question = self._take("question particle")
        words = self._clause()
        if self._take("conjunction"):
            words += [self._lexicon.conjunction.target, *self._clause()]
        if self._place < len(self._words):
            raise self._refused("the end of the sentence")
        return [*words, self._lexicon.question.target] if question else words

    def _clause(self) -> list[str]:
        subject = self._phrase()
        negated = self._take("negation")
        verb = self._need("verb")
        tense, number, gender = verb.form
        self._agree(verb, (number, gender), subject)
        words = self._cased(subject, 0)
        if self._next() == "determiner":
            words += self._cased(self._phrase(), 1)
        if adverb := self._take("adverb"):
            words.append(self._lexicon.adverbs[adverb.stem].target)
        ending = self._lexicon.target.verb[tense][number][subject.noun_class]
        words.append(self._lexicon.verbs[verb.stem].target + ending)
        return [*words, self._lexicon.negation.target] if negated else words

    def _phrase(self) -> _Phrase:
        agreeing = [self._need("determiner")]
        while one := self._take("adjective"):
            agreeing.append(one)
        noun = self._need("noun")
        number, gender = noun.form
        entry = self._lexicon.nouns[noun.stem]
        phrase = _Phrase([], agreeing[0].stem, number, gender, entry.noun_class)
        for one in agreeing:
            self._agree(one, one.form, phrase)
        words = phrase.words
        if preposition := self._take("preposition"):
            words += [*self._cased(self._phrase(), 0), self._lexicon.prepositions[preposition.stem].target]
        words.append(entry.target + self._lexicon.target.noun[number])
        for one in agreeing[:0:-1]:
            adjective = self._lexicon.adjectives[one.stem].target
            words.append(adjective + self._lexicon.target.adjective[number][entry.noun_class])
        return phrase

    def _cased(self, phrase: _Phrase, case: int) -> list[str]:
        ending = self._lexicon.target.determiner[case][phrase.number][phrase.noun_class]
        return [*phrase.words, self._lexicon.determiners[phrase.determiner].target + ending]

    def _next(self) -> str | None:
        return self._words[self._place].kind if self._place < len(self._words) else None

    def _take(self, kind: str) -> _Word | None:
        """The next word if it is of this kind."""
        if self._next() != kind:
            return None
        self._place += 1
        return self._words[self._place - 1]

    def _need(self, kind: str) -> _Word:
        word = self._take(kind)
        if word is None:
            raise self._refused(f"a {kind}")
        return word

    def _agree(self, word: _Word, form: tuple[int, ...], phrase: _Phrase) -> None:
        if form != (phrase.number, phrase.gender):
            text = self._text[word.place - 1]
            raise NotTranslated(f"word {word.place}, {text!r}, does not agree in number and gender with its noun")

    def _refused(self, expected: str) -> NotTranslated:
        if self._place == len(self._words):
            return NotTranslated(f"the sentence ends where {expected} was expected")
        return NotTranslated(
            f"word {self._place + 1}, {self._text[self._place]!r}, stands where {expected} is expected"
        )
