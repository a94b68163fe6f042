"""Stories with questions, and the text format in which bAbI is published (Weston et al. 2015, arXiv 1502.05698)."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from ..words import answer_of, words_of

TASK_NAMES = {
    1: "single-supporting-fact",
    2: "two-supporting-facts",
    3: "three-supporting-facts",
    4: "two-arg-relations",
    5: "three-arg-relations",
    6: "yes-no-questions",
    7: "counting",
    8: "lists-sets",
    9: "simple-negation",
    10: "indefinite-knowledge",
    11: "basic-coreference",
    12: "conjunction",
    13: "compound-coreference",
    14: "time-reasoning",
    15: "basic-deduction",
    16: "basic-induction",
    17: "positional-reasoning",
    18: "size-reasoning",
    19: "path-finding",
    20: "agents-motivations",
}
TIGHT_TASKS = frozenset({4, *range(15, 21)})  # no space between the question mark and the tab
QUESTION_MARKS = ("?", "？", "؟")
LINE = re.compile(r"([1-9][0-9]*) ([^\t\r]*[^\t\r ])(?: ?\t([^\t\r]+)(?:\t([^\t\r]*))?)?")


class BabiError(ValueError):
    """Stories that cannot be read or used; the message is one line for the user."""


class Fact(NamedTuple):
    text: str  # with its full stop


class Question(NamedTuple):
    text: str  # with its question mark
    answer: str  # several words are joined by commas: "apple,milk"
    supports: tuple[int, ...]  # which facts of the story (from 0) give the answer, in order; empty where not told


Story: TypeAlias = tuple[Fact | Question, ...]


class Example(NamedTuple):
    """One question and what may be known when it is asked: the facts before it in its story, oldest first.

    Words are as `words_of` has them, the answer as `answer_of`.
    """

    facts: tuple[tuple[str, ...], ...]
    question: tuple[str, ...]
    answer: str
    supports: tuple[int, ...]  # indices into `facts`, in the order of reasoning


def file_name(task: int, split: str) -> str:
    """As in the release: qa1_single-supporting-fact_train.txt."""
    return f"qa{task}_{TASK_NAMES[task]}_{split}.txt"


def check_task(task: object) -> int:
    """The number, if it is one of a task; ValueError otherwise."""
    if isinstance(task, bool) or not isinstance(task, int) or task not in TASK_NAMES:
        raise ValueError(f"a bAbI task is a number from 1 to {len(TASK_NAMES)}, got {task!r}")
    return task


def write_stories(stories: Iterable[Story], task: int) -> Iterator[str]:
    """The published text of each story; the task decides whether a space stands before an answer's tab."""
    gap = "" if task in TIGHT_TASKS else " "
    for story in stories:
        ids: list[int] = []  # the line number of each fact
        lines = []
        for number, line in enumerate(story, start=1):
            if isinstance(line, Fact):
                ids.append(number)
                lines.append(f"{number} {line.text}\n")
            else:
                supports = " ".join(str(ids[fact]) for fact in line.supports)
                lines.append(f"{number} {line.text}{gap}\t{line.answer}\t{supports}\n")
        yield "".join(lines)


def parse_stories(text: str, source: str) -> list[Story]:
    """Read the published format; `source` names the text in errors.

    Strict: numbered lines that start again at 1 with each story, LF behind each, facts without a tab, questions
    with an answer and, where known, the numbers of facts before them in their story, and a question as every story's
    last line.
    BabiError with source and line number otherwise.
    """
    stories: list[Story] = []
    story: list[Fact | Question] = []
    facts: dict[int, int] = {}  # line number in the story -> index of the fact

    def fail(row: int, message: str) -> BabiError:
        return BabiError(f"{source}, line {row}: {message}")

    def finish(row: int) -> None:
        if story and isinstance(story[-1], Fact):
            raise fail(row, "the story ends without a question")
        if story:
            stories.append(tuple(story))

    rows = text.split("\n")
    if rows.pop():
        raise fail(len(rows) + 1, "the last line is cut off")
    if not rows:
        raise BabiError(f"{source}: there is no story in it")
    for row, line in enumerate(rows, start=1):
        match = LINE.fullmatch(line)
        if match is None or match[2].endswith(QUESTION_MARKS) != (match[3] is not None):
            raise fail(row, f"neither a fact nor a question with a tab and its answer: {line[:60]!r}")
        number, sentence, answer, supports = match.groups()
        if number == "1":
            finish(row - 1)
            story, facts = [], {}
        elif int(number) != len(story) + 1:
            raise fail(row, f"number {number} where {len(story) + 1} or 1 should stand")
        if not words_of(sentence):
            raise fail(row, f"no words: {line[:60]!r}")
        if answer is None:
            facts[int(number)] = len(facts)
            story.append(Fact(sentence))
            continue
        if not all(answer_of(answer).split(",")):
            raise fail(row, f"no answer: {answer!r}")
        if not facts:
            raise fail(row, "a question before any fact")
        chosen = supports.split(" ") if supports else []
        if not all(one.isascii() and one.isdigit() and int(one) in facts for one in chosen):
            raise fail(row, f"supporting facts must be numbers of earlier facts, got {supports!r}")
        story.append(Question(sentence, answer, tuple(facts[int(one)] for one in chosen)))
    finish(len(rows))
    return stories


def examples_of(stories: Iterable[Story]) -> list[Example]:
    """Every question of the stories, each with the facts before it; questions are not part of the memory."""
    examples = []
    for story in stories:
        facts: list[tuple[str, ...]] = []
        for line in story:
            if isinstance(line, Fact):
                facts.append(words_of(line.text))
            else:
                examples.append(Example(tuple(facts), words_of(line.text), answer_of(line.answer), line.supports))
    return examples
