"""Generated stories are bAbI's in form and in distribution: what can be checked without the released files.

Numbers are those of the release (babi-tasks.md). 3,000 training and 300 test questions a task unless
MEMNET_BABI_QUESTIONS asks for another number: 10000 is the size of the release.
"""

import hashlib
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import islice, pairwise

import pytest

from tasks.babi import TALES, Difficulty, Fact, Question, Story, examples_of, generate, stream, write_stories
from tests.babi_oracle import SOLVERS
from tests.babi_statistics import tables, template
from tests.babi_words import THREES, WORDS_AND_ANSWERS

QUESTIONS = int(os.environ.get("MEMNET_BABI_QUESTIONS", 3000))
SLACK = math.sqrt(10_000 / QUESTIONS)  # how much wider than at full size a tolerance must be
TASKS = tuple(TALES)
TIGHT = {4, *range(15, 21)}  # no space before the tab
BLOCKS = {1, 2, 3, *range(5, 15)}


@pytest.fixture(scope="module", autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    generated.cache_clear()
    generated_text.cache_clear()


@cache
def generated(task: int, split: str = "train", seed: int = 1) -> list[Story]:
    return generate(task, QUESTIONS if split == "train" else QUESTIONS // 10, seed=seed, split=split)


@cache
def generated_text(task: int, split: str = "train") -> str:
    return text_of(task, generated(task, split))


def text_of(task: int, stories: list[Story]) -> str:
    return "".join(write_stories(stories, task))


def records(text: str):
    """(facts so far as (line number, sentence), question, answer, supports) of each question of a file."""
    facts = []
    for line in text.splitlines():
        number, rest = line.split(" ", 1)
        if number == "1":
            facts = []
        sentence, *answer = rest.split("\t")
        if answer:
            yield list(facts), sentence.strip(), answer[0], [int(one) for one in answer[1].split()]
        else:
            facts.append((int(number), sentence))


# Exact


@pytest.mark.parametrize("task", TASKS)
def test_format(task: int) -> None:
    text = generated_text(task)
    fact = re.compile(r"\d+ [A-Z][A-Za-z ]*\.")
    gap = "" if task in TIGHT else " "
    question = re.compile(rf"\d+ [A-Z][A-Za-z ]*\?{gap}\t[A-Za-z,]+\t\d+( \d+)*")
    assert text.endswith("\n")
    expected, facts, asked = 1, [], 0
    for line in text.splitlines():
        number = int(line.split()[0])
        if number == 1:
            expected, facts = 1, []
        assert number == expected
        expected += 1
        if "\t" in line:
            assert question.fullmatch(line), line
            assert {int(one) for one in line.split("\t")[2].split()} <= set(facts)
            asked += 1
        else:
            assert fact.fullmatch(line), line
            facts.append(number)
    assert asked == QUESTIONS


@pytest.mark.parametrize("task", TASKS)
def test_vocabulary_is_the_release_s(task: int) -> None:
    words, answers = (set(text.split()) for text in WORDS_AND_ANSWERS[task])
    lines = [line for split in ("train", "test") for story in generated(task, split) for line in story]
    assert {word for line in lines for word in re.findall(r"\w+", line.text)} == words
    found = {line.answer for line in lines if isinstance(line, Question)}
    assert found <= answers
    assert answers - found <= set(THREES)  # orders of three things: one question in 1,000 or 2,000


TEMPLATES = {
    1: (5, 1),
    2: (17, 1),
    3: (21, 1),
    4: (4, 8),
    5: (20, 5),
    6: (17, 1),
    7: (20, 1),
    8: (17, 1),
    9: (8, 1),
    10: (7, 1),
    11: (45, 1),
    12: (5, 1),
    13: (25, 1),
    14: (40, 1),
    15: (2, 1),
    16: (2, 1),
    17: (4, 4),
    18: (42, 56),
    19: (4, 1),
    20: (10, 3),
}


@pytest.mark.parametrize("task", TASKS)
def test_number_of_templates(task: int) -> None:
    found: dict[type, set[str]] = {Fact: set(), Question: set()}
    for story in generated(task):
        for line in story:
            found[type(line)].add(template(line.text, task))
    assert (len(found[Fact]), len(found[Question])) == TEMPLATES[task]


@pytest.mark.parametrize(("task", "facts", "questions"), [(17, 120, 120), (18, 42, 56), (19, 120, 30)])
def test_every_literal_sentence_occurs(task: int, facts: int, questions: int) -> None:
    found: dict[type, set[str]] = {Fact: set(), Question: set()}
    for story in islice(stream(task, seed=2), 1500):
        for line in story:
            found[type(line)].add(line.text)
    assert (len(found[Fact]), len(found[Question])) == (facts, questions)


@pytest.mark.parametrize("task", TASKS)
def test_every_answer_follows_from_the_text(task: int) -> None:
    wrong = asked = 0
    for facts, question, answer, supports in records(generated_text(task)):
        found, ways = SOLVERS[task](facts, question)
        asked += 1
        if (found, supports in ways) != (answer, True):
            assert task == 5, (facts, question, answer, supports, found, ways)
            assert question.startswith("What did")  # the release's own rule about the latest gift of a thing
            wrong += 1
    assert wrong <= 0.004 * asked


@pytest.mark.parametrize("task", TASKS)
def test_structure(task: int) -> None:
    for story in generated(task)[:-1]:
        facts = sum(isinstance(line, Fact) for line in story)
        questions = len(story) - facts
        assert questions == {4: 1, 15: 4, 16: 1, 17: 8, 19: 1, 20: facts}.get(task, max(5, questions))
        assert questions == 5 or task not in BLOCKS
        if task in (2, 3, 5, 6, 7, 8):
            assert facts >= 10
            assert facts % 2 == 0
        else:
            allowed = {4: {2}, 14: {10, 12, 14}, 15: {8}, 16: {9}, 17: {2}, 18: {*range(5, 51, 5)}, 19: {5}}
            assert facts in {**allowed, 20: {9, 10, 11, 12}}.get(task, {10})
        for line in story:
            if isinstance(line, Question):
                ordered = sorted(line.supports)
                assert line.supports == tuple(ordered) or task not in (7, 11, 13)
                assert line.supports == tuple(ordered[::-1]) or task != 15
                counts = {1: 1, 2: 2, 3: 3, 16: 3, 7: len(ordered), 8: len(ordered)}
                pairs = {11, 13, 14, 15, 17, 18, 19}
                assert len(ordered) == counts.get(task, 2 if task in pairs else 1)
                assert len(set(ordered)) == len(ordered)


def test_two_facts_of_one_person_are_told_in_reverse() -> None:
    """Task 14: a block of two facts is always swapped."""
    times = ["yesterday", "this morning", "this afternoon", "this evening"]
    checked = 0
    for story in generated(14):
        ends = [-1, *(k for k, line in enumerate(story) if isinstance(line, Question))]
        for before, end in pairwise(ends):
            block = [line.text for line in story[before + 1 : end]]
            named = [re.search("Bill|Fred|Julie|Mary", text)[0] for text in block]
            when = [next(k for k, time in enumerate(times) if time in text.lower()) for text in block]
            if len(block) == 2 and named[0] == named[1]:
                assert when[0] == when[1] + 1
                checked += 1
    assert checked > 300


# Determinism


def test_the_seed_decides_everything() -> None:
    for task in TASKS:
        first, same, other = (text_of(task, generate(task, 50, seed=seed)) for seed in (3, 3, 4))
        assert first == same
        assert first != other
        test = text_of(task, generate(task, 50, seed=3, split="test"))
        assert test not in (first, other)
        assert text_of(task, generate(task, 500, seed=3)).startswith(first.rsplit("\n", 2)[0])


def test_bytes_are_those_of_before() -> None:
    """Results name a seed; the stories behind it must not change unseen."""
    whole = "".join(text_of(task, generate(task, 20, seed=0)) for task in TASKS)
    assert hashlib.sha256(whole.encode()).hexdigest()[:16] == "ab9d1791975c9768"


def test_training_and_test_stories_differ() -> None:
    for task in (1, 2, 3, 14, 16, 18, 19):
        train = {tuple(line.text for line in story) for story in generated(task)}
        test = [tuple(line.text for line in story) for story in generated(task, "test")]
        assert not train.intersection(test)


# Distribution, by numbers of the release


def shares(counter: Counter) -> dict:
    return {key: count / counter.total() for key, count in counter.items()}


ACTIONS = {  # move, get, drop, give in facts
    1: (1, 0, 0, 0),
    2: (0.651, 0.197, 0.152, 0),
    3: (0.635, 0.189, 0.176, 0),
    5: (0.560, 0.169, 0.116, 0.155),
    6: (0.675, 0.210, 0.114, 0),
    7: (0.593, 0.183, 0.094, 0.130),
    8: (0.665, 0.210, 0.125, 0),
}


@pytest.mark.parametrize("task", ACTIONS)
def test_shares_of_actions(task: int) -> None:
    verbs = {"got": 1, "took": 1, "grabbed": 1, "picked": 1, "gave": 3, "handed": 3, "passed": 3}
    verbs |= {"dropped": 2, "discarded": 2, "put": 2, "left": 2}
    counts = Counter(
        verbs.get(line.text.split()[1], 0) for story in generated(task) for line in story if isinstance(line, Fact)
    )
    for kind, share in enumerate(ACTIONS[task]):
        assert counts[kind] / counts.total() == pytest.approx(share, abs=0.015 * SLACK)


BLOCK_SIZES = {  # share of blocks with 2, 4, 6, 8, 10 facts; mean number of facts a story
    2: (0.581, 0.153, 0.092, 0.059, 0.037, 22.0),
    3: (0.441, 0.052, 0.046, 0.039, 0.029, 73.8),
    5: (0.710, 0.045, 0.041, 0.036, 0.029, 27.2),
    6: (0.974, 0.023, 0.003, 0.0005, 0, 10.3),
    7: (0.873, 0.060, 0.029, 0.016, 0.009, 13.0),
    8: (0.851, 0.070, 0.037, 0.020, 0.009, 13.4),
}


@pytest.mark.parametrize("task", BLOCK_SIZES)
def test_facts_before_a_question(task: int) -> None:
    *sizes, mean = BLOCK_SIZES[task]
    blocks: Counter[int] = Counter()
    facts = 0
    for story in generated(task):
        since = 0
        for line in story:
            since += 1
            if isinstance(line, Question):
                blocks[since - 1] += 1
                facts += since - 1
                since = 0
    for size, share in zip((2, 4, 6, 8, 10), sizes, strict=True):
        assert blocks[size] / blocks.total() == pytest.approx(share, abs=0.015 * SLACK)
    tolerance = 0.08 if task == 3 else 0.03
    assert facts / len(generated(task)) == pytest.approx(mean, rel=tolerance * SLACK)


MEMORY = {  # facts before a question: 50 %, 90 %, 95 %, 99 %
    1: (6, 10, 10, 10),
    2: (14, 26, 30, 40),
    3: (44, 96, 116, 158),
    5: (16, 38, 46, 64),
    6: (6, 10, 10, 12),
    7: (8, 14, 18, 28),
    8: (8, 14, 18, 26),
    14: (8, 12, 12, 14),
    18: (5, 10, 10, 15),
    20: (6, 10, 11, 11),
}


@pytest.mark.parametrize("task", MEMORY)
def test_how_much_must_be_remembered(task: int) -> None:
    sizes = sorted(len(example.facts) for example in examples_of(generated(task)))
    for share, expected in zip((0.5, 0.9, 0.95, 0.99), MEMORY[task], strict=True):
        close = max(2, 0.15 * expected) if share == 0.99 or task == 3 else 2
        assert abs(sizes[int(share * len(sizes))] - expected) <= close * SLACK


ANSWERS = {  # shares of the released training answers; of tasks 1-4 and the like, alike for all places
    5: {"Mary": 0.185, "Fred": 0.175, "Bill": 0.159, "Jeff": 0.145, "apple": 0.137, "football": 0.108, "milk": 0.091},
    6: {"yes": 0.5, "no": 0.5},
    7: {"none": 0.470, "one": 0.487, "two": 0.041, "three": 0.002},
    8: {"nothing": 0.362, "milk": 0.193, "apple": 0.193, "football": 0.193},
    9: {"no": 0.627, "yes": 0.373},
    10: {"no": 0.472, "yes": 0.381, "maybe": 0.147},
    17: {"yes": 0.5, "no": 0.5},
    18: {"yes": 0.5, "no": 0.5},
    20: {"kitchen": 0.187, "hungry": 0.157, "thirsty": 0.157, "bored": 0.157, "tired": 0.157, "garden": 0.093},
}


@pytest.mark.parametrize("task", TASKS)
def test_shares_of_answers(task: int) -> None:
    found = shares(tables(generated(task), task)["answer"])
    expected = ANSWERS.get(task) or dict.fromkeys(found, 1 / len(found))
    tolerance = 0.03 if task == 3 else 0.015
    for answer, share in expected.items():
        assert found[answer] == pytest.approx(share, abs=tolerance * SLACK), answer


ENTROPY = {
    1: 2.585,
    2: 2.583,
    3: 2.576,
    4: 2.585,
    5: 2.77,
    6: 1.0,
    7: 1.223,
    8: 2.342,
    9: 0.954,
    10: 1.448,
    11: 2.585,
    12: 2.584,
    13: 2.584,
    14: 2.585,
    15: 1.999,
    16: 2.0,
    17: 1.0,
    18: 1.0,
    19: 3.585,
    20: 2.766,
}


@pytest.mark.parametrize("task", TASKS)
def test_entropy_of_answers(task: int) -> None:
    found = shares(tables(generated(task), task)["answer"]).values()
    tolerance = 0.06 if task == 8 else 0.02  # how often several things are carried varies more than words do
    assert -sum(share * math.log2(share) for share in found) == pytest.approx(ENTROPY[task], abs=tolerance * SLACK)


# Shortcuts: what no model needs to understand anything for


def share_right(task: int, rule) -> float:
    right = [rule(facts, question) == answer for facts, question, answer, _ in records(generated_text(task))]
    return sum(right) / len(right)


@pytest.mark.parametrize(
    ("task", "expected"),
    [(1, 0.172), (4, 0.194), (5, 0.373), (6, 0.5), (10, 0.475), (14, 0.212), (18, 0.914), (20, 0.722)],
)
def test_the_question_alone(task: int, expected: float) -> None:
    """The most frequent training answer to the same words, on the test questions."""
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for _, question, answer, _ in records(generated_text(task)):
        seen[question][answer] += 1
    asked = list(records(generated_text(task, "test")))
    right = sum(seen[question].most_common(1)[0][0] == answer for _, question, answer, _ in asked if seen[question])
    assert right / len(asked) == pytest.approx(expected, abs=0.04 * SLACK)


def last_place(facts: list[tuple[int, str]], question: str) -> str:
    places = WORDS_AND_ANSWERS[1][1].split()
    return next(word for _, fact in reversed(facts) for word in re.findall(r"\w+", fact)[::-1] if word in places)


def last_place_of_the_person(facts: list[tuple[int, str]], question: str) -> str:
    name = question.rstrip("?").split()[-1]
    return last_place([fact for fact in facts if name in fact[1]], question)


def majority_color(facts: list[tuple[int, str]], question: str) -> str:
    person = question.rstrip("?").split()[-1]
    species = {words[0]: words[3] for words in (fact.rstrip(".").split() for _, fact in facts) if len(words) == 4}
    colors = {words[0]: words[2] for words in (fact.rstrip(".").split() for _, fact in facts) if len(words) == 3}
    alike = Counter(colors[one] for one in species if one != person and species[one] == species[person])
    return alike.most_common(1)[0][0]


@pytest.mark.parametrize(
    ("task", "rule", "expected"),
    [
        (1, last_place_of_the_person, 1),
        (12, last_place_of_the_person, 1),
        (1, last_place, 0.542),  # shares of the released training questions from here on
        (11, last_place, 0.709),
        (12, last_place, 0.741),
        (13, last_place, 0.937),
        (16, majority_color, 0.966),
    ],
)
def test_simple_rules(task: int, rule, expected: float) -> None:
    assert share_right(task, rule) == pytest.approx(expected, abs=0.01 * SLACK if expected < 1 else 0)


# Difficulty


def words_in(stories: list[Story]) -> set[str]:
    return {word for story in stories for line in story for word in re.findall(r"\w+", line.text)}


@pytest.mark.parametrize(
    ("task", "difficulty"),
    [
        *((task, Difficulty(people=12, places=15, questions=9)) for task in (1, 9, 10, 11, 12, 13, 14)),
        *((task, Difficulty(people=7, places=3, objects=9, questions=12, noise=0.5)) for task in (2, 3, 5, 6, 7, 8)),
        *((task, Difficulty(people=1, places=2, objects=1)) for task in (2, 3, 6, 8)),
        *((task, Difficulty(people=2, places=3)) for task in (12, 13)),
        (4, Difficulty(places=20)),
        (15, Difficulty(people=15, questions=30, noise=3)),
        (16, Difficulty(people=2)),
        (16, Difficulty(people=9, noise=1)),
        (17, Difficulty(objects=12, questions=1)),
        (18, Difficulty(objects=1, questions=3)),
        (18, Difficulty(objects=10, questions=3, noise=0.1)),
        (19, Difficulty(places=11)),
        (19, Difficulty(places=3, noise=2)),
        (20, Difficulty(people=20, noise=0.3)),
    ],
)
def test_harder_and_easier_stories_are_answered_by_the_same_solver(task: int, difficulty: Difficulty) -> None:
    noise = {"struck", "rain", "wind", "Somebody", "dog", "flickered", "Music", "train"}
    stories = generate(task, 200, seed=5, difficulty=difficulty)
    assert bool(noise & words_in(stories)) == (difficulty.noise > 0)
    for facts, question, answer, supports in records(text_of(task, stories)):
        told = [fact for fact in facts if not noise.intersection(re.findall(r"\w+", fact[1]))]
        try:
            found, ways = SOLVERS[task](told, question)
        except AssertionError:
            if task != 16:  # the solver knows that the release never has exactly two others of the species
                raise
            continue
        assert answer == found or task == 5
        assert supports in ways or task == 5
    if difficulty.questions and task in BLOCKS:
        assert {sum(isinstance(line, Question) for line in story) for story in stories[:-1]} == {difficulty.questions}


def test_difficulty_counts() -> None:
    stories = generate(2, 500, seed=0, difficulty=Difficulty(people=6, places=8, objects=4))
    facts = [line.text for story in stories for line in story if isinstance(line, Fact)]
    assert len({text.split()[0] for text in facts}) == 6
    moves = [text for text in facts if re.search(" (went|journeyed|travelled|moved) ", text)]
    assert len({text.rstrip(".").split()[-1] for text in moves}) == 8
    handled = {re.search(r"the (\w+)", text)[1] for text in facts if text not in moves}
    assert len(handled) == 4
    plain, noisy = (generate(1, 2000, seed=0, difficulty=Difficulty(noise=noise)) for noise in (0, 1.5))
    lengths = [sum(isinstance(line, Fact) for story in stories for line in story) for stories in (plain, noisy)]
    assert lengths[1] / lengths[0] == pytest.approx(2.5, rel=0.03)


@pytest.mark.parametrize(
    ("task", "difficulty", "message"),
    [
        (1, Difficulty(objects=3), "task 1 has no number of objects"),
        (4, Difficulty(people=3), "task 4 has no number of people"),
        (4, Difficulty(places=2), "places must be a whole number of at least 3, got 2"),
        (1, Difficulty(people=0), "people must be a whole number of at least 1, got 0"),
        (1, Difficulty(people=2.5), "people must be a whole number .* got 2.5"),
        (1, Difficulty(people=1000), "task 1 can have .* people at most, got 1000"),
        (19, Difficulty(places=12), "task 19 can have 11 places at most, got 12"),
        (14, Difficulty(questions=7), "task 14 with 4 people can ask 6 questions a story, got 7"),
        (14, Difficulty(people=2), "task 14 with 2 people can ask 3 questions a story, got 5"),
        (16, Difficulty(questions=2), "questions in a story of task 16 cannot be chosen"),
        (1, Difficulty(questions=0), "questions must be a whole number of at least 1, got 0"),
        (1, Difficulty(noise=-1), "noise must be between 0 and 100 .* got -1"),
        (1, Difficulty(noise=math.nan), "noise must be between 0 and 100 .* got nan"),
    ],
)
def test_unusable_difficulty(task: int, difficulty: Difficulty, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(task, 5, seed=0, difficulty=difficulty)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": 21}, "a bAbI task is a number from 1 to 20, got 21"),
        ({"task": "1"}, "a bAbI task is a number from 1 to 20, got '1'"),
        ({"questions": 0}, "questions must be a whole number of at least 1, got 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"seed": None}, "seed must be a whole number of at least 0, got None"),
        ({"split": "valid"}, "split must be one of train, test, got 'valid'"),
    ],
)
def test_unusable_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(**{"task": 1, "questions": 5, "seed": 0, **arguments})
