"""What models of stories learn: the bAbI tasks, released or generated, and the world model."""

import argparse
import dataclasses
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch

from experiments.base.files import UserError
from experiments.base.progress import working
from experiments.base.seeds import generator_for
from experiments.config.fields import check_least
from experiments.domains.stories.data import Questions, Sizes, StoryData, Tests, encoded, joined
from experiments.domains.stories.published import is_released
from experiments.domains.stories.unknown import Unknown
from tasks.babi import (
    TASK_NAMES,
    BabiData,
    BabiError,
    Example,
    StoryBatch,
    Vocabulary,
    WorldModel,
    encode,
    examples_of,
    generate,
    split_validation,
)
from tasks.babi.command_line import task_numbers

GENERATED = "generated"
_SIZES = {"1k": 1000, "10k": 10_000}


class StoryTask(ABC):
    """Stories with questions: to bring are `data`, `tests` and `examples`.

    tested_by:     what tells its tests apart, and names: what they are called, by number.
    trained:       fewest and most sentences in training, where tests are told apart by them.
    max_sentences: of a longer story the last so many are read; None for all.
    """

    domain: ClassVar[str] = "stories"
    tested_by: ClassVar[Literal["task", "length"]]
    names: ClassVar[Mapping[int, str]] = {}
    trained: tuple[int, int] | None = None
    max_sentences: int | None

    @abstractmethod
    def data(self) -> StoryData:
        """All that a run needs; UserError for files that are missing or cannot be read."""

    @abstractmethod
    def tests(self, vocabulary: Vocabulary, lengths: Sequence[int] = ()) -> tuple[str, Tests, Unknown]:
        """Name and test questions alone, for a model that has its vocabulary already.

        lengths: of the stories, where tests are told apart by them; none for the usual ones.
        Returns  also what of the questions the vocabulary lacks, which is left out.
        """

    @abstractmethod
    def examples(self, vocabulary: Vocabulary, count: int) -> StoryBatch:
        """Test questions worth a picture, with their supporting facts."""


@dataclasses.dataclass
class Babi(StoryTask):
    """The twenty question-answering tasks of Weston et al. 2015, released or generated.

    numbers: which tasks, as 1 or 1-20 or 1,6,16. Several numbers are one model, trained on all of them jointly.
    babi_data: folder or tar archive of the release, or "generated"; None for MEMNET_BABI if set, else generated.
    size: training questions of a task.
    questions: generated stories: training questions of a task, if not as many as --size says.
    test_questions: generated stories: test questions of a task.
    data_seed: generated stories: their seed. It is not that of the run, so that seeds compare on the same stories.
    most_words: from files: longer sentences are cut after so many words; how many is told.
    max_sentences: of a longer story the last so many sentences are read; None for all. A memory has at most so many
        slots.
    """

    spelled: ClassVar[Mapping[str, str]] = {"numbers": "task"}
    settled: ClassVar[tuple[str, ...]] = ("babi_data", "numbers")
    changeable: ClassVar[tuple[str, ...]] = ("babi_data", "test_questions")
    tested_by: ClassVar[Literal["task", "length"]] = "task"
    names: ClassVar[Mapping[int, str]] = TASK_NAMES

    numbers: str = "1"
    babi_data: str | None = None
    size: Literal["1k", "10k"] = "1k"
    questions: int | None = None
    test_questions: int = 1000
    data_seed: int = 0
    most_words: int = 100
    max_sentences: int | None = None

    def __post_init__(self) -> None:
        """Settle where the stories are, and the spelling of the tasks; UserError for what cannot be."""
        check_least(self, 1, "questions", "test_questions", "most_words", "max_sentences")
        check_least(self, 0, "data_seed")
        path = self.babi_data or os.environ.get("MEMNET_BABI") or GENERATED
        self.babi_data = path if path == GENERATED else os.path.abspath(path)
        self.numbers = spelled(self.task_numbers)

    @property
    def task_numbers(self) -> list[int]:
        """The tasks, in order; UserError for what is no list of them."""
        try:
            return task_numbers(self.numbers)
        except argparse.ArgumentTypeError as error:
            raise UserError(f"--task {error}") from None

    @property
    def joint(self) -> bool:
        """Whether one model learns several tasks."""
        return len(self.task_numbers) > 1

    @property
    def subject(self) -> str:
        """What exactly is learned."""
        number = self.task_numbers[0]
        return f"bAbI {self.numbers}, jointly" if self.joint else f"bAbI {number}, {TASK_NAMES[number]}"

    @property
    def source(self) -> str:
        """Where the stories are from, in words."""
        assert self.babi_data is not None
        return "generated stories" if self.babi_data == GENERATED else os.path.basename(self.babi_data)

    @property
    def label(self) -> str:
        """In short."""
        return f"babi-q{self.numbers.replace(',', '_')}"

    @property
    def setting(self) -> dict[str, Any]:
        """What runs of one setting have in common: they may differ in their tasks, and in what these need."""
        own = {name: getattr(self, name) for name in ("size", "questions", "data_seed", "most_words")}
        stories = GENERATED if self.babi_data == GENERATED else "released"
        return own | {"joint": self.numbers if self.joint else None, "stories": stories}

    @working("reading the stories")
    def data(self) -> StoryData:
        tasks, release = self.task_numbers, self._release()
        if release is not None:
            self._check_files(release)
        train, valid, test = dict[int, list[Example]](), dict[int, list[Example]](), dict[int, list[Example]]()
        files: dict[tuple[str, int], list[Example]] = {}
        for task in tasks:
            # As published: the last tenth of a single task, a random one of each where they are trained jointly.
            mixed = generator_for("valid", self.data_seed, task) if len(tasks) > 1 else None
            examples, test[task] = (self._examples(release, task, split) for split in ("train", "test"))
            files |= {("train", task): examples, ("test", task): test[task]}
            train[task], valid[task] = split_validation(examples, generator=mixed)
            if not train[task] or not valid[task]:
                raise UserError(
                    f"task {task} has {len(examples)} training questions, too few to keep a tenth for validation"
                )
        everything = [one for part in (train, valid, test) for examples in part.values() for one in examples]
        vocabulary = Vocabulary.of(everything)
        known = joined([*self._encoded(train, vocabulary).values()])

        def draw(count: int, generator: torch.Generator) -> Questions:
            return known.rows(torch.randint(len(known.answer), (count,), generator=generator))

        words = max(len(sentence) for one in everything for sentence in (*one.facts, one.question))
        sentences = max(len(one.facts) for examples in train.values() for one in examples)
        return StoryData(
            name=self._name(files),
            vocabulary=vocabulary,
            sizes=Sizes(len(vocabulary), words, sentences),
            draw=draw,
            train=known,
            valid=self._encoded(valid, vocabulary),
            tests=self._encoded(test, vocabulary),
        )

    @working("reading the test stories")
    def tests(self, vocabulary: Vocabulary, lengths: Sequence[int] = ()) -> tuple[str, Tests, Unknown]:
        unknown, examples = Unknown(vocabulary), self.test_examples()
        tests = self._encoded({task: unknown.answerable(task, one) for task, one in examples.items()}, vocabulary)
        return self._name({("test", task): one for task, one in examples.items()}), tests, unknown

    def test_examples(self) -> dict[int, list[Example]]:
        """Every test question by task. UserError for a file of a release that is missing or cannot be read."""
        release = self._release()
        return {task: self._examples(release, task, "test") for task in self.task_numbers}

    def examples(self, vocabulary: Vocabulary, count: int) -> StoryBatch:
        """The longest stories of the first tests."""
        release, tasks = self._release(), self.task_numbers[:count]
        share = -(-count // len(tasks))
        chosen: list[Example] = []
        for task in tasks:
            first = self._examples(release, task, "test")[: 10 * count]
            chosen += sorted(first, key=lambda one: len(one.facts), reverse=True)[:share]
        try:
            return encode(chosen[:count], vocabulary)
        except ValueError as error:
            raise UserError(str(error)) from None

    def _encoded(self, tasks: Mapping[int, list[Example]], vocabulary: Vocabulary) -> Tests:
        """Questions as numbers, by task."""
        return {
            task: encoded(examples, vocabulary, self.max_sentences, f"task {task}") for task, examples in tasks.items()
        }

    def _name(self, files: Mapping[tuple[str, int], list[Example]]) -> str:
        """What these stories may be called."""
        if self.babi_data == GENERATED:
            return f"generated {self.size if self.questions is None else self.questions}"
        released = all(is_released(self.size, task, split, one) for (split, task), one in files.items())
        return f"{'bAbI' if released else 'files'} {self.size}"

    def _release(self) -> BabiData | None:
        """The release, None for generated stories."""
        assert self.babi_data is not None
        if self.babi_data == GENERATED:
            return None
        if self.questions is not None:
            raise UserError("--questions is for generated stories; the release has as many as --size says")
        try:
            return BabiData(self.babi_data)
        except BabiError as error:
            raise UserError(str(error)) from None

    def _check_files(self, release: BabiData) -> None:
        """UserError that names the files that are not there, and the tasks that can do without."""
        absent = {task: release.missing([task], size=self.size) for task in self.task_numbers}
        if names := [name for missing in absent.values() for name in missing]:
            rest = [task for task, missing in absent.items() if not missing]
            hint = f"; the other tasks have theirs: --task {spelled(rest)}" if rest else ""
            raise UserError(f"{self.babi_data}: {', '.join(names)} missing{hint}")

    def _examples(self, release: BabiData | None, task: int, split: str) -> list[Example]:
        """Every question of a file of the release, or as many generated ones."""
        if release is None:
            count = self.test_questions if split == "test" else self.questions or _SIZES[self.size]
            return examples_of(generate(task, count, seed=self.data_seed, split=split))
        try:
            examples = examples_of(release.read(task, size=self.size, split=split))
        except BabiError as error:
            raise UserError(str(error)) from None
        return _short(examples, self.most_words, f"{self.babi_data}, task {task}, {split}")


@dataclasses.dataclass
class World(StoryTask):
    """Agents on a grid (Henaff et al. 2017, section 4.1): where is one after all that it did?

    min_length, max_length: fewest and most sentences of a training story.
    test_questions: of each length.
    data_seed: seed of the tests. It is not that of the run, so that seeds compare on the same stories.
    epoch_updates: updates that count as an epoch.
    max_sentences: of a longer story the last so many sentences are read; None for all.
    """

    changeable: ClassVar[tuple[str, ...]] = ("test_questions",)
    tested_by: ClassVar[Literal["task", "length"]] = "length"

    min_length: int = 5
    max_length: int = 20
    test_questions: int = 1000
    data_seed: int = 0
    epoch_updates: int = 1000
    max_sentences: int | None = None

    def __post_init__(self) -> None:
        """UserError for what cannot be."""
        check_least(self, 1, "test_questions", "epoch_updates", "max_sentences")
        check_least(self, 0, "data_seed")
        self.trained = self.min_length, self.max_length
        if not 4 <= self.min_length <= self.max_length:
            told = f"{self.min_length} and {self.max_length}"
            raise UserError(f"--min-length and --max-length must be at least 4 and in order, not {told}")

    @property
    def setting(self) -> dict[str, Any]:
        """What runs of one setting have in common."""
        return {name: getattr(self, name) for name in ("min_length", "max_length", "data_seed", "epoch_updates")}

    @working("making the stories")
    def data(self) -> StoryData:
        return self._data()

    def tests(self, vocabulary: Vocabulary, lengths: Sequence[int] = ()) -> tuple[str, Tests, Unknown]:
        made = self._data(lengths)
        return made.name, made.tests, Unknown(vocabulary)

    def examples(self, vocabulary: Vocabulary, count: int) -> StoryBatch:
        return WorldModel().sample(count, length=self.max_length, generator=generator_for("test", self.data_seed))

    def _data(self, lengths: Sequence[int] = ()) -> StoryData:
        task = WorldModel()
        trained = (self.min_length, self.max_length)

        def questions(batch: StoryBatch) -> Questions:
            return Questions(batch.story, batch.story_lengths, batch.question, batch.answer)

        def draw(count: int, generator: torch.Generator) -> Questions:
            return questions(task.sample(count, length=trained, generator=generator))

        def test(length: int) -> Questions:
            generator = generator_for("test", self.data_seed, length)
            try:
                return questions(task.sample(self.test_questions, length=length, generator=generator))
            except ValueError as error:
                raise UserError(f"world model: {error}") from None

        tests = {length: test(length) for length in lengths or sorted({self.max_length, *task.test_lengths})}
        longest = tests[max(tests)]
        return StoryData(
            name=task.name.replace("-", " "),
            vocabulary=task.vocabulary,
            sizes=Sizes(len(task.vocabulary), max(longest.story.size(-1), longest.question.size(-1)), max(tests)),
            draw=draw,
            train=None,
            valid={self.max_length: draw(self.test_questions, generator_for("valid", self.data_seed))},
            tests=tests,
            new_updates=self.epoch_updates,
        )


def spelled(tasks: Sequence[int]) -> str:
    """Task numbers in order as --task takes them, "1,3-5"."""
    ranges: list[list[int]] = []
    for task in tasks:
        if ranges and task == ranges[-1][1] + 1:
            ranges[-1][1] = task
        else:
            ranges.append([task, task])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def _short(examples: list[Example], most: int, where: str) -> list[Example]:
    """The questions with sentences of at most so many words; says how many were longer."""
    long = {one for example in examples for one in (*example.facts, example.question) if len(one) > most}
    if not long:
        return examples
    print(f"{where}: {len(long):,} sentences of more than --most-words {most} are cut", file=sys.stderr)
    return [
        one._replace(facts=tuple(fact[:most] for fact in one.facts), question=one.question[:most]) for one in examples
    ]
