"""From a configuration to questions with their stories: the release, generated stories, or the world model."""

import dataclasses
import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from experiments.base.files import UserError
from experiments.base.progress import working
from experiments.base.seeds import generator_for
from experiments.domains.stories.config import GENERATED, StoryConfig
from experiments.domains.stories.released import is_released
from experiments.domains.stories.unknown import Unknown
from tasks.babi import (
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

_SIZES = {"1k": 1000, "10k": 10_000}
# Questions by task (1..20), or by length of the world model's stories.
Tests: TypeAlias = Mapping[int, "Questions"]


class Questions(NamedTuple):
    """Questions with their stories, oldest sentence first, padded at the end with zeros.

    story:    (question, sentence, word) word numbers, int16 where they are kept, int64 where they are used.
    lengths:  (question,) sentences of each story.
    question: (question, word) as story.
    answer:   (question,) int64.
    """

    story: Tensor
    lengths: Tensor
    question: Tensor
    answer: Tensor

    def rows(self, index: Tensor | slice) -> "Questions":
        """Some of them, ready for a model and no longer than the longest story and sentence among them."""
        lengths = self.lengths[index]
        story, question = self.story[index, : int(lengths.max())], self.question[index]
        return Questions(_cut(story).long(), lengths, _cut(question).long(), self.answer[index])

    def to(self, device: torch.device | str) -> "Questions":
        """The same on another device."""
        return Questions(*(tensor.to(device) for tensor in self))


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What of a model follows from its data.

    vocab_size:    all words and nil.
    max_words:     of the longest sentence or question.
    max_sentences: of the longest training story (world model: of the longest test story).
    """

    vocab_size: int
    max_words: int
    max_sentences: int


@dataclasses.dataclass(frozen=True)
class StoryData:
    """What a run trains, chooses and is tested on.

    name:          where the stories are from: "bAbI 1k" (the released questions and nothing else), "generated 1k",
                   "files 1k" (others in the release's format) or "world model". Stands with every result.
    vocabulary:    all words, those of the test questions included, as in every published result.
    sizes:         of a model for it.
    draw:          makes so many training questions from a generator.
    train:         all training questions, None where every batch is new.
    valid, tests:  by task or length.
    """

    name: str
    vocabulary: Vocabulary
    sizes: Sizes
    draw: Callable[[int, torch.Generator], Questions]
    train: Questions | None
    valid: Tests
    tests: Tests

    @property
    def epoch(self) -> int | None:
        """Training questions of an epoch, None where every batch is new."""
        return None if self.train is None else len(self.train.answer)

    def digest(self) -> str:
        """The same for the same words and training questions, so that a run goes on with its own."""
        mixed = hashlib.sha256("\n".join(self.vocabulary.to_list()).encode())
        for tensor in self.train or ():
            mixed.update(tensor.numpy().tobytes())
        return mixed.hexdigest()[:16]


def settled(config: StoryConfig) -> StoryConfig:
    """The configuration with its data settled: --babi-data, else MEMNET_BABI, else generated; tasks in one spelling."""
    if config.task != "babi":
        return config
    path = config.babi_data or os.environ.get("MEMNET_BABI") or GENERATED
    path = path if path == GENERATED else os.path.abspath(path)
    return dataclasses.replace(config, babi_data=path, numbers=spelled(config.task_numbers))


@working("reading the stories")
def load_data(config: StoryConfig) -> StoryData:
    """The stories of a configuration. UserError for a release, or a file of it, that is missing or cannot be read."""
    return _world_model(config) if config.task == "world-model" else _babi(config)


@working("reading the test stories")
def load_tests(config: StoryConfig, vocabulary: Vocabulary, lengths: Sequence[int] = ()) -> tuple[str, Tests, Unknown]:
    """Name and test questions of a configuration alone, for a model that has its vocabulary already.

    lengths: of the world model's stories; none for the usual ones.
    Returns  also what of the questions the vocabulary lacks, which is left out.
    """
    unknown = Unknown(vocabulary)
    if config.task == "world-model":
        world = _world_model(config, lengths)
        return world.name, world.tests, unknown
    examples = test_examples(config)
    tests = {
        task: _encoded(unknown.answerable(task, one), vocabulary, config, f"task {task}")
        for task, one in examples.items()
    }
    return _name(config, {("test", task): one for task, one in examples.items()}), tests, unknown


def test_examples(config: StoryConfig) -> dict[int, list[Example]]:
    """Every test question of bAbI by task. UserError for a file of a release that is missing or cannot be read."""
    release = _release(config)
    return {task: _examples(config, release, task, "test") for task in config.task_numbers}


def example_batch(config: StoryConfig, vocabulary: Vocabulary, count: int) -> StoryBatch:
    """Test questions worth a picture, with their supporting facts: the longest stories of the first tests."""
    if config.task == "world-model":
        return WorldModel().sample(count, length=config.max_length, generator=generator_for("test", config.data_seed))
    release, tasks = _release(config), config.task_numbers[:count]
    share = -(-count // len(tasks))
    chosen: list[Example] = []
    for task in tasks:
        first = _examples(config, release, task, "test")[: 10 * count]
        chosen += sorted(first, key=lambda one: len(one.facts), reverse=True)[:share]
    try:
        return encode(chosen[:count], vocabulary)
    except ValueError as error:
        raise UserError(str(error)) from None


def _babi(config: StoryConfig) -> StoryData:
    tasks, release = config.task_numbers, _release(config)
    if release is not None:
        _check_files(config, release)
    train, valid, test = dict[int, list[Example]](), dict[int, list[Example]](), dict[int, list[Example]]()
    files: dict[tuple[str, int], list[Example]] = {}
    for task in tasks:
        # As published: the last tenth of a single task, a random one of each where they are trained jointly.
        mixed = generator_for("valid", config.data_seed, task) if len(tasks) > 1 else None
        examples, test[task] = (_examples(config, release, task, split) for split in ("train", "test"))
        files |= {("train", task): examples, ("test", task): test[task]}
        train[task], valid[task] = split_validation(examples, generator=mixed)
        if not train[task] or not valid[task]:
            raise UserError(
                f"task {task} has {len(examples)} training questions, too few to keep a tenth for validation"
            )
    everything = [one for part in (train, valid, test) for examples in part.values() for one in examples]
    vocabulary = Vocabulary.of(everything)
    known = joined([_encoded(examples, vocabulary, config, f"task {task}") for task, examples in train.items()])

    def draw(count: int, generator: torch.Generator) -> Questions:
        return known.rows(torch.randint(len(known.answer), (count,), generator=generator))

    words = max(len(sentence) for one in everything for sentence in (*one.facts, one.question))
    sentences = max(len(one.facts) for examples in train.values() for one in examples)
    return StoryData(
        name=_name(config, files),
        vocabulary=vocabulary,
        sizes=Sizes(len(vocabulary), words, sentences),
        draw=draw,
        train=known,
        valid={task: _encoded(examples, vocabulary, config, f"task {task}") for task, examples in valid.items()},
        tests={task: _encoded(examples, vocabulary, config, f"task {task}") for task, examples in test.items()},
    )


def _world_model(config: StoryConfig, lengths: Sequence[int] = ()) -> StoryData:
    task = WorldModel()
    trained = (config.min_length, config.max_length)

    def questions(batch: StoryBatch) -> Questions:
        return Questions(batch.story, batch.story_lengths, batch.question, batch.answer)

    def draw(count: int, generator: torch.Generator) -> Questions:
        return questions(task.sample(count, length=trained, generator=generator))

    def test(length: int) -> Questions:
        generator = generator_for("test", config.data_seed, length)
        try:
            return questions(task.sample(config.test_questions, length=length, generator=generator))
        except ValueError as error:
            raise UserError(f"world model: {error}") from None

    tests = {length: test(length) for length in lengths or sorted({config.max_length, *task.test_lengths})}
    longest = tests[max(tests)]
    return StoryData(
        name=task.name.replace("-", " "),
        vocabulary=task.vocabulary,
        sizes=Sizes(len(task.vocabulary), max(longest.story.size(-1), longest.question.size(-1)), max(tests)),
        draw=draw,
        train=None,
        valid={config.max_length: draw(config.test_questions, generator_for("valid", config.data_seed))},
        tests=tests,
    )


def _name(config: StoryConfig, files: Mapping[tuple[str, int], list[Example]]) -> str:
    """What these stories may be called."""
    if config.babi_data == GENERATED:
        return f"generated {config.size if config.questions is None else config.questions}"
    released = all(is_released(config.size, task, split, one) for (split, task), one in files.items())
    return f"{'bAbI' if released else 'files'} {config.size}"


def _release(config: StoryConfig) -> BabiData | None:
    """The release, None for generated stories."""
    assert config.babi_data is not None
    if config.babi_data == GENERATED:
        return None
    if config.questions is not None:
        raise UserError("--questions is for generated stories; the release has as many as --size says")
    try:
        return BabiData(config.babi_data)
    except BabiError as error:
        raise UserError(str(error)) from None


def _check_files(config: StoryConfig, release: BabiData) -> None:
    """UserError that names the files that are not there, and the tasks that can do without."""
    absent = {task: release.missing([task], size=config.size) for task in config.task_numbers}
    if names := [name for missing in absent.values() for name in missing]:
        rest = [task for task, missing in absent.items() if not missing]
        hint = f"; the other tasks have theirs: --task {spelled(rest)}" if rest else ""
        raise UserError(f"{config.babi_data}: {', '.join(names)} missing{hint}")


def spelled(tasks: Sequence[int]) -> str:
    """Task numbers in order as --task takes them, "1,3-5"."""
    ranges: list[list[int]] = []
    for task in tasks:
        if ranges and task == ranges[-1][1] + 1:
            ranges[-1][1] = task
        else:
            ranges.append([task, task])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def _examples(config: StoryConfig, release: BabiData | None, task: int, split: str) -> list[Example]:
    """Every question of a file of the release, or as many generated ones."""
    if release is None:
        count = config.test_questions if split == "test" else config.questions or _SIZES[config.size]
        return examples_of(generate(task, count, seed=config.data_seed, split=split))
    try:
        examples = examples_of(release.read(task, size=config.size, split=split))
    except BabiError as error:
        raise UserError(str(error)) from None
    return _short(examples, config.most_words, f"{config.babi_data}, task {task}, {split}")


def _short(examples: list[Example], most: int, where: str) -> list[Example]:
    """The questions with sentences of at most so many words; says how many were longer."""
    long = {one for example in examples for one in (*example.facts, example.question) if len(one) > most}
    if not long:
        return examples
    print(f"{where}: {len(long):,} sentences of more than --most-words {most} are cut", file=sys.stderr)
    return [
        one._replace(facts=tuple(fact[:most] for fact in one.facts), question=one.question[:most]) for one in examples
    ]


def _encoded(examples: list[Example], vocabulary: Vocabulary, config: StoryConfig, what: str) -> Questions:
    try:
        batch = encode(examples, vocabulary, max_sentences=config.max_sentences)
    except ValueError as error:
        raise UserError(f"{what}: {error}") from None
    short = torch.int16 if len(vocabulary) <= torch.iinfo(torch.int16).max else torch.int64
    return Questions(batch.story.to(short), batch.story_lengths, batch.question.to(short), batch.answer)


def _cut(words: Tensor) -> Tensor:
    """Without the last columns, as far as no sentence (..., word) has words there."""
    return words[..., : int(words.count_nonzero(-1).max())]


def joined(parts: list[Questions]) -> Questions:
    """All of them as one, each padded to the longest."""
    sentences = max(part.story.size(1) for part in parts)
    words = max(part.story.size(2) for part in parts)
    asked = max(part.question.size(1) for part in parts)
    return Questions(
        torch.cat(
            [
                functional.pad(part.story, (0, words - part.story.size(2), 0, sentences - part.story.size(1)))
                for part in parts
            ]
        ),
        torch.cat([part.lengths for part in parts]),
        torch.cat([functional.pad(part.question, (0, asked - part.question.size(1))) for part in parts]),
        torch.cat([part.answer for part in parts]),
    )
