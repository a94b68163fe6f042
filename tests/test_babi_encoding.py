"""Encoded stories, decoded again by slow reading."""

import json

import pytest
import torch

from tasks.babi import Example, StoryBatch, Vocabulary, encode, examples_of, generate, word_sequence
from tests.babi_release import needs_release, released

EXAMPLES = [
    Example((("a", "b", "c"), ("d",)), ("who", "d"), "x,y", (1, 0)),
    Example((("d",), ("b", "a"), ("c", "c", "a")), ("what",), "a", (2,)),
]


def sentences(vocabulary: Vocabulary, batch: StoryBatch, row: int) -> list[tuple[str, ...]]:
    """The story of a row; whatever lies behind its words and sentences must be empty."""
    story, length = batch.story[row].tolist(), int(batch.story_lengths[row])
    assert not any(map(any, story[length:]))
    return [words(vocabulary, sentence) for sentence in story[:length]]


def words(vocabulary: Vocabulary, numbers: list[int]) -> tuple[str, ...]:
    count = next((k for k, number in enumerate(numbers) if number == 0), len(numbers))
    assert not any(numbers[count:])
    return tuple(vocabulary.words[number] for number in numbers[:count])


def test_vocabulary() -> None:
    vocabulary = Vocabulary.of(EXAMPLES)
    assert vocabulary.words == ("<nil>", "a", "b", "c", "d", "what", "who", "x,y")
    assert len(vocabulary) == 8
    assert [vocabulary.number(word) for word in ("a", "x,y")] == [1, 7]
    assert "x,y" in vocabulary
    assert "x" not in vocabulary
    split = Vocabulary.of(EXAMPLES, answers="words", unknown=True)
    assert split.words == ("<nil>", "<unknown>", "a", "b", "c", "d", "what", "who", "x", "y")
    assert split.number("zebra") == 1
    for one in (vocabulary, split):
        again = Vocabulary.from_list(json.loads(json.dumps(one.to_list())))
        assert again.words == one.words
        assert again.unknown == one.unknown
    with pytest.raises(ValueError, match="the word 'zebra' is not in the vocabulary"):
        vocabulary.number("zebra")
    with pytest.raises(ValueError, match="the word 'a' comes twice"):
        Vocabulary(["a", "b", "a"])
    for broken in ([], ["a"], ["<nil>", 3]):
        with pytest.raises(ValueError, match="no vocabulary"):
            Vocabulary.from_list(broken)


@pytest.mark.parametrize("task", [1, 3, 8, 14, 19, 20])
@pytest.mark.parametrize("answers", ["one-class", "words"])
@pytest.mark.parametrize("max_sentences", [None, 1, 7])
def test_encoded_stories_read_back(task: int, answers: str, max_sentences: int | None) -> None:
    examples = examples_of(generate(task, 60, seed=0))
    vocabulary = Vocabulary.of(examples, answers=answers)
    batch = encode(examples, vocabulary, answers=answers, max_sentences=max_sentences)
    most = min(max(len(one.facts) for one in examples), max_sentences or 1000)
    assert batch.story.shape[:2] == batch.supports.shape == (60, most)
    assert [tensor.dtype for tensor in batch] == [*[torch.int64] * 4, torch.bool]
    for row, example in enumerate(examples):
        dropped = max(0, len(example.facts) - most)
        assert sentences(vocabulary, batch, row) == list(example.facts[dropped:])
        assert words(vocabulary, batch.question[row].tolist()) == example.question
        kept = {fact - dropped for fact in example.supports if fact >= dropped}
        assert set(batch.supports[row].nonzero().flatten().tolist()) == kept
        if answers == "words":
            assert words(vocabulary, batch.answer[row].tolist()) == tuple(example.answer.split(","))
        else:
            assert vocabulary.words[batch.answer[row]] == example.answer


@pytest.mark.parametrize("answers", ["one-class", "words"])
def test_word_by_word(answers: str) -> None:
    examples = examples_of(generate(8, 80, seed=1))
    vocabulary = Vocabulary.of(examples, answers=answers)
    sequence = word_sequence(encode(examples, vocabulary, answers=answers))
    assert sequence.words.shape == sequence.targets.shape
    assert sequence.words.shape[1] == sequence.lengths.max()
    for row, example in enumerate(examples):
        told = [word for fact in example.facts for word in fact] + [*example.question]
        given, due = sequence.words[row].tolist(), sequence.targets[row].tolist()
        answer = example.answer.split(",") if answers == "words" else [example.answer]
        assert words(vocabulary, given) == tuple(told)
        first = len(told) if answers == "words" else len(told) - 1
        assert [vocabulary.words[number] for number in due[first : first + len(answer)]] == answer
        assert not any(due[:first] + due[first + len(answer) :])
        assert sequence.lengths[row] == first + len(answer)


def test_rows_and_devices() -> None:
    batch = encode(EXAMPLES, Vocabulary.of(EXAMPLES))
    chosen = batch.rows(torch.tensor([1, 1, 0]))
    assert torch.equal(chosen.story, batch.story[[1, 1, 0]])
    assert chosen.answer.tolist() == [1, 1, 7]
    assert batch.rows(batch.answer == 7).story_lengths.tolist() == [2]
    assert [tensor.device.type for tensor in batch.to("meta")] == ["meta"] * 5


def test_words_never_seen() -> None:
    vocabulary = Vocabulary.of(EXAMPLES)
    strange = EXAMPLES[0]._replace(question=("who", "zebra"))
    with pytest.raises(ValueError, match="the word 'zebra' is not in the vocabulary"):
        encode([strange], vocabulary)
    with pytest.raises(ValueError, match="the word 'zebra' is not in the vocabulary"):
        encode([strange._replace(facts=(("zebra",),), question=("who",), supports=())], vocabulary)
    open_minded = Vocabulary.of(EXAMPLES, unknown=True)
    assert encode([strange], open_minded).question.tolist() == [[open_minded.number("who"), 1]]
    for one in (vocabulary, open_minded):
        with pytest.raises(ValueError, match="the answer 'zebra' is not in the vocabulary: it was never seen"):
            encode([EXAMPLES[0]._replace(answer="zebra")], one)


@pytest.mark.parametrize(
    ("examples", "options", "message"),
    [
        ([], {}, "no examples"),
        ([EXAMPLES[0], EXAMPLES[1]._replace(facts=(), supports=())], {}, "no facts before the question 'what'"),
        (EXAMPLES, {"answers": "letters"}, "answers must be one of one-class, words, got 'letters'"),
        (EXAMPLES, {"max_sentences": 0}, "max_sentences must be a whole number of at least 1, got 0"),
    ],
)
def test_what_cannot_be_encoded(examples: list[Example], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode(examples, Vocabulary.of(EXAMPLES), **options)


@needs_release
def test_words_of_the_whole_release() -> None:
    """145 types in facts and questions (babi-tasks.md, 1.4)."""
    examples = [example for task in range(1, 21) for example in examples_of(released(task, "test"))]
    types = {word for example in examples for sentence in (*example.facts, example.question) for word in sentence}
    assert len(types) == 145
    assert len(Vocabulary.of(examples)) == 1 + len(types | {example.answer for example in examples})
