"""The released files themselves, and generated stories beside them. Skipped where the data is not at hand.

The limits are those of babi-tasks.md section 4.3, the largest distance between two runs of a right generator,
widened by what fewer questions than the release's 11,000 add to that noise.
"""

import math
from statistics import median

import pytest

from tasks.babi import TASK_NAMES, MissingFile, Question, Story, examples_of, file_name
from tests.babi_oracle import SOLVERS
from tests.babi_release import DATA, needs_release, raw, release, released
from tests.babi_statistics import COLUMNS, tables, tell_apart, template, total_variation
from tests.babi_words import WORDS_AND_ANSWERS
from tests.test_babi_generator import QUESTIONS, TASKS, generated, records, text_of

pytestmark = needs_release


def both(task: int) -> list[Story]:
    return released(task, "train") + released(task, "test")


def count_questions(stories: list[Story]) -> int:
    return sum(isinstance(line, Question) for story in stories for line in story)


@pytest.mark.parametrize("task", TASKS)
def test_files_read_and_write_back_byte_for_byte(task: int) -> None:
    for folder, size in (("en", "1k"), ("en-10k", "10k")):
        for split in ("train", "test"):
            name = f"{folder}/{file_name(task, split)}"
            if name in raw():
                stories = release().read(task, size=size, split=split)
                assert text_of(task, stories).encode() == raw()[name]
                assert count_questions(stories) == (10_000 if (size, split) == ("10k", "train") else 1000)
            else:
                with pytest.raises(MissingFile, match=name):
                    release().read(task, size=size, split=split)


def test_missing_files_are_named() -> None:
    expected = [f"en-10k/{file_name(task, split)}" for task in TASK_NAMES for split in ("train", "test")]
    assert release().missing(size="10k") == [name for name in expected if name not in raw()]
    if DATA.name == "tasks_1-20_v1-2.tar.gz":
        assert release().missing(size="10k") == ["en-10k/qa3_three-supporting-facts_train.txt"]
        assert release().missing(size="1k") == []


def test_sizes_of_the_memory() -> None:
    """Facts before a question, at most, in 1k training and test: the last story of each file included."""
    sizes = {task: [max(len(one.facts) for one in examples_of(released(task, "test")))] for task in (1, 2, 3, 5, 18)}
    assert sizes == {1: [10], 2: [88], 3: [228], 5: [94], 18: [15]}
    assert len(released(1, "train")) == 2000


@pytest.mark.parametrize("task", TASKS)
def test_the_solver_agrees_with_the_release(task: int) -> None:
    wrong = 0
    for facts, question, answer, supports in records(text_of(task, released(task, "test"))):
        found, ways = SOLVERS[task](facts, question)
        wrong += (found, supports in ways) != (answer, True)
    assert wrong <= (4 if task == 5 else 0)  # 22 of task 5's 11,000 answers are contradicted by a later gift


@pytest.mark.parametrize("task", TASKS)
def test_words_and_templates_are_the_same(task: int) -> None:
    ours, theirs = (
        {(type(line), template(line.text, task)) for story in stories for line in story}
        for stories in (generated(task), both(task))
    )
    assert ours == theirs
    words, answers = (set(text.split()) for text in WORDS_AND_ANSWERS[task])
    text = text_of(task, both(task))
    assert {line.split("\t")[1] for line in text.splitlines() if "\t" in line} == answers
    sentences = (line.split("\t")[0].split(" ", 1)[1] for line in text.splitlines())
    assert {word.strip(".?") for sentence in sentences for word in sentence.split()} == words


LIMITS = {  # fact template, question text, answer, block size, facts a story, supports, lag, order
    1: (0.014, 0.021, 0.022, 0, 0, 0, 0.017, 0),
    2: (0.013, 0.012, 0.026, 0.029, 0.059, 0, 0.015, 0.008),
    # Task 3's sizes and order: 585 of our stories against full sets. Its answers: the released ones are askew.
    3: (0.013, 0.073, 0.061, 0.046, 0.101, 0, 0.034, 0.017),
    4: (0.016, 0.048, 0.021, 0, 0, 0, 0.021, 0),
    5: (0.011, 0.044, 0.023, 0.030, 0.073, 0, 0.013, 0),  # block size: the largest of 66 pairs of our own seeds
    6: (0.019, 0.032, 0.015, 0.004, 0.016, 0, 0.016, 0),
    7: (0.017, 0.017, 0.012, 0.017, 0.044, 0.016, 0.019, 0),
    8: (0.016, 0.026, 0.024, 0.018, 0.059, 0.017, 0.025, 0.004),
    9: (0.021, 0.037, 0.018, 0, 0, 0, 0.017, 0),
    10: (0.012, 0.031, 0.016, 0, 0, 0, 0.019, 0),
    11: (0.025, 0.020, 0.026, 0, 0, 0, 0.012, 0),
    12: (0.013, 0.017, 0.017, 0, 0, 0, 0.009, 0),
    13: (0.025, 0.013, 0.018, 0, 0, 0, 0.009, 0),
    14: (0.025, 0.039, 0.026, 0.006, 0.032, 0, 0.018, 0.021),
    15: (0, 0.016, 0.027, 0, 0, 0, 0.018, 0),
    16: (0, 0.014, 0.015, 0, 0, 0, 0.017, 0.007),
    17: (0.028, 0.101, 0.017, 0, 0, 0, 0.008, 0.008),
    18: (0.035, 0.064, 0.016, 0.009, 0.025, 0, 0.035, 0.017),
    19: (0.010, 0.035, 0.021, 0, 0, 0, 0.017, 0.015),
    20: (0.018, 0.025, 0.018, 0.003, 0.070, 0, 0.016, 0),
}


@pytest.mark.parametrize("task", TASKS)
def test_tables_are_the_release_s(task: int) -> None:
    """The median over three seeds; a quarter is allowed for these being three, where the limits come from six."""
    theirs = tables(both(task), task)
    ours = [tables(generated(task, "train", seed) + generated(task, "test", seed), task) for seed in (1, 2, 3)]
    count, released_count, full = ours[0]["answer"].total(), theirs["answer"].total(), 11_000
    wider = 1.25 * math.sqrt((1 / count + 1 / released_count) / (1 / full + 1 / released_count))
    far = {column: median(total_variation(one[column], theirs[column]) for one in ours) for column in COLUMNS}
    allowed = {column: wider * (limit + 0.003) for column, limit in zip(COLUMNS, LIMITS[task], strict=True)}
    assert {column: distance for column, distance in far.items() if distance > allowed[column]} == {}


@pytest.mark.parametrize("task", TASKS)
def test_a_classifier_cannot_tell_them_apart(task: int) -> None:
    count = 2000 if QUESTIONS >= 10_000 else QUESTIONS // 10
    area = tell_apart(generated(task)[:count], both(task)[:count], folds=2)
    assert area < 0.55 + (0.04 if count < 2000 else 0)  # 300 stories a side: 0.5 +- 0.024 by chance
