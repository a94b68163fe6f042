"""The invented languages and their exact translator, and the reader of parallel files."""

import random
from pathlib import Path

import pytest

from tasks.translation import (
    SHORTEST,
    Languages,
    NotTranslated,
    Pair,
    ParallelError,
    Translator,
    parted,
    read_parallel,
    read_tabbed,
)


@pytest.mark.parametrize("seed", range(4))
def test_the_translator_agrees_with_the_generator(seed: int) -> None:
    languages = Languages(seed)
    translator = Translator(languages.lexicon)
    pairs = languages.pairs(2000, length=(SHORTEST, 25), dice=random.Random(seed))
    for pair in pairs:
        assert translator.translate(pair.source) == pair.target
    assert {len(pair.source.split()) for pair in pairs} == set(range(SHORTEST, 26))
    assert len({pair.source for pair in pairs}) == len(pairs)


def words_of(languages: Languages) -> dict[str, str]:
    """Some words by hand, straight from the lexicon: two nouns of one gender, and the endings they ask for."""
    lexicon = languages.lexicon
    first = lexicon.nouns[0]
    second = next(noun for noun in lexicon.nouns[1:] if noun.gender != first.gender)
    source, target = lexicon.source, lexicon.target
    words = {"and": lexicon.conjunction.source, "ask": lexicon.question.source, "not": lexicon.negation.source}
    for name, noun, number in (("one", first, 0), ("others", second, 1)):
        words[name] = noun.source + source.noun[number]
        words[f"the-{name}"] = lexicon.determiners[0].source + source.determiner[0][number][noun.gender]
        words[f"sees-{name}"] = lexicon.verbs[0].source + source.verb[0][number][noun.gender]
        for k in (0, 1):
            words[f"good{k}-{name}"] = lexicon.adjectives[k].source + source.adjective[number][noun.gender]
            words[f"GOOD{k}-{name}"] = lexicon.adjectives[k].target + target.adjective[number][noun.noun_class]
        words[name.upper()] = noun.target + target.noun[number]
        words[f"SEES-{name}"] = lexicon.verbs[0].target + target.verb[0][number][noun.noun_class]
        for case, mark in enumerate(("THE", "THE-OBJECT")):
            words[f"{mark}-{name}"] = lexicon.determiners[0].target + target.determiner[case][number][noun.noun_class]
    words |= {"in": lexicon.prepositions[0].source, "IN": lexicon.prepositions[0].target}
    return words | {"ASK": lexicon.question.target, "NOT": lexicon.negation.target}


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("the-one one sees-one", "ONE THE-one SEES-one"),
        (
            "the-others good0-others good1-others others sees-others",
            "OTHERS GOOD1-others GOOD0-others THE-others SEES-others",
        ),
        (
            "ask the-one one not sees-one the-others others",
            "ONE THE-one OTHERS THE-OBJECT-others SEES-one NOT ASK",
        ),
        (
            "the-others others in the-one one sees-others",
            "ONE THE-one IN OTHERS THE-others SEES-others",
        ),
    ],
)
def test_words_change_their_order_and_their_endings(source: str, target: str) -> None:
    languages = Languages(5)
    words = words_of(languages)
    text = " ".join(words[word] for word in source.split())
    assert Translator(languages.lexicon).translate(text) == " ".join(words[word] for word in target.split())


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("the-others one sees-one", "word 1, .* does not agree"),
        ("the-one good0-others one sees-one", "word 2, .* does not agree"),
        ("the-one one sees-others", "word 3, .* does not agree"),
        ("one sees-one", "word 1, .* stands where a determiner is expected"),
        ("the-one one", "the sentence ends where a verb was expected"),
        ("the-one one sees-one and", "the sentence ends where a determiner was expected"),
        ("the-one one sees-one ask", "word 4, .* stands where the end of the sentence is expected"),
        ("the-one ONE sees-one", "word 2, .* is not of the source language"),
    ],
)
def test_what_is_no_sentence_is_not_translated(source: str, complaint: str) -> None:
    languages = Languages(5)
    words = words_of(languages)
    with pytest.raises(NotTranslated, match=complaint):
        Translator(languages.lexicon).translate(" ".join(words[word] for word in source.split()))


def test_one_seed_makes_one_language_and_another_another() -> None:
    def first(language: int, sentence: int) -> Pair:
        return Languages(language).pair(9, random.Random(sentence))

    assert first(0, 0) == first(0, 0)
    assert len({first(0, 0), first(1, 0), first(0, 1)}) == 3


def test_no_word_has_two_meanings() -> None:
    for seed in range(20):
        lexicon = Languages(seed).lexicon
        stems = [*lexicon.nouns, *lexicon.adjectives, *lexicon.verbs, *lexicon.determiners, *lexicon.prepositions]
        stems += [*lexicon.adverbs, lexicon.question, lexicon.negation, lexicon.conjunction]
        for side in ("source", "target"):
            assert len({getattr(stem, side)[:3] for stem in stems}) == len(stems)
        for endings in (lexicon.source, lexicon.target):
            tables = [endings.adjective, *endings.verb, *endings.determiner]
            assert len(set(endings.noun)) == 2
            assert all(len({end for row in table for end in row}) == len(table) * len(table[0]) for table in tables)
            assert len({end for table in endings.verb for row in table for end in row}) == 2 * 2 * len(
                endings.verb[0][0]
            )


def test_more_sentences_than_there_are_is_an_error() -> None:
    known: set[str] = set()
    languages, dice = Languages(0), random.Random(0)
    first = languages.pairs(500, length=3, dice=dice, known=known)
    second = languages.pairs(500, length=3, dice=dice, known=known)
    assert known == {pair.source for pair in [*first, *second]}
    assert len(known) == 1000
    with pytest.raises(ValueError, match="5000 new sentences of 3 words were asked for"):
        languages.pairs(5000, length=3, dice=dice, known=known)
    with pytest.raises(ValueError, match="length must be a whole number of at least 3"):
        languages.pair(2, dice)


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_parallel_files_are_read(tmp_path: Path) -> None:
    source = written(tmp_path, "a", b"\xef\xbb\xbf  ein  Haus \r\n\r\nzwei H\xc3\xa4user\r\n")
    target = written(tmp_path, "b", "one house\n\n two\thouses\n")
    expected = [Pair("ein Haus", "one house"), Pair("zwei Häuser", "two houses")]
    assert read_parallel(source, target) == expected
    tabbed = written(tmp_path, "c", "ein Haus\tone house\n\n\nzwei Häuser\t two  houses")
    assert read_tabbed(tabbed) == expected


@pytest.mark.parametrize(
    ("source", "target", "complaint"),
    [
        ("a\nb\n", "c\n", "a has 2 lines and .*b 1: expected a translation for every line"),
        ("", "c\n", "a is empty"),
        ("a\n", "\n \n", "b is empty"),
        (b"a\nb\xff\n", "c\nd\n", "a, line 2, byte 2: expected UTF-8 text, not 0xff"),
        (b"a\nb\0\n", "c\nd\n", "a, line 2, byte 2: expected text, no binary file"),
        ("a\nb\n", "c\n \n", "line 2: there is no translation"),
        ("a\n\n", "c\nd\n", "line 2: there is no sentence"),
    ],
)
def test_files_that_are_not_parallel_are_refused(
    source: bytes | str, target: bytes | str, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(ParallelError, match=complaint):
        read_parallel(written(tmp_path, "a", source), written(tmp_path, "b", target))


def test_a_tabbed_file_has_a_tab_a_line(tmp_path: Path) -> None:
    with pytest.raises(ParallelError, match="line 2: expected a sentence, a tab and its translation, not 0 tabs"):
        read_tabbed(written(tmp_path, "a", "a\tb\nc d\n"))


def test_further_columns_are_told_of_once_and_not_read(tmp_path: Path) -> None:
    told: list[str] = []
    wide = written(tmp_path, "a", "a\tb\tfrom a book\nc\td\t\ne\tf\n")
    assert read_tabbed(wide, tell=told.append) == [Pair("a", "b"), Pair("c", "d"), Pair("e", "f")]
    assert told == [f"{wide}: 2 lines have more than two columns; the first two are read"]


def test_parts_share_no_source() -> None:
    pairs = [Pair(f"s{k % 50}", f"t{k}") for k in range(100)] * 2
    train, valid, test = parted(pairs, valid=3, test=10, seed=0)
    sources = [{pair.source for pair in part} for part in (train, valid, test)]
    assert list(map(len, sources)) == [42, 3, 5]
    assert len(set.union(*sources)) == 50
    assert len(train) + len(valid) + len(test) == 100
    assert parted(pairs, valid=3, test=10, seed=0) == (train, valid, test)
    assert parted(pairs, valid=3, test=10, seed=1)[0] != train
    with pytest.raises(ParallelError, match="9 different sentences, too few"):
        parted([Pair(str(k), "t") for k in range(9)], valid=1, test=1, seed=0)
