"""bAbI word by word, a story with all its questions in one sequence (Graves et al. 2016, Nature 538:471)."""

import argparse
import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from .babi import BabiData, Fact, Story, generate, words_of
from .babi.command_line import task_numbers
from .common import Batch, Score, check_count, check_logits, check_range, draw_below, draw_range, steps_of
from .drawing import fold
from .symbols import NATS, SymbolTask
from .words import answer_of

QUESTIONS = Score("question_error_percent", "wrong questions %", "Wrong questions, %", "% of the questions wrong")
WORDS = Score("word_error_percent", "wrong words %", "Wrong words of answers, %", "% of the words wrong")
ANSWER, STOP, ASK = MARKS = ("-", ".", "?")
NOTHING = -1
SENTENCE: Literal["sentence"] = "sentence"
GENERATED = "generated"
SIZES = {"1k": 1000, "10k": 10_000}
TEST_QUESTIONS = 1000
TENTH = 10


class Stream(NamedTuple):
    """A story word by word, both (time,) int64: what is read, and what is to be answered; NOTHING for neither."""

    words: Tensor
    answers: Tensor


class BabiStream(SymbolTask):
    """Stories word by word with all their questions, the answer to each where it stands (Graves et al. 2016, bAbI).

    mary went to the office . where is mary ? -     At "-" the answer is due, one a word: an answer of two has two.

    A state is carried through a story and all its questions, whose answers are never told. Scores have their names: a
    question is wrong if any word of its answer is, and word errors are counted by words, as some papers do. Training
    mixes all chosen tasks, every one as likely, however many stories it has (Csordas and Schmidhuber 2019 draw every
    story as likely); a tenth of each task's is for validation.
    The length is the number of the task that is tested, so that tests are told by task; they have its test stories
    from the first on, as many as are asked for. On generated stories no score is a bAbI score.

    One input channel a word, and one for each mark; as many output channels. With a bag there are as many input
    channels more. Tasks are learned by one model together.

    numbers:        which tasks, as 1 or 1-20 or 1,6,16.
    babi_data:      folder or archive of the release, or "generated"; None for MEMNET_BABI if set, else generated.
    size:           training questions of a task.
    questions:      generated stories: training questions of a task, if not as many as size says.
    test_questions: generated stories: test questions of a task.
    data_seed:      generated stories: their seed.
    think:          blank steps between a question and its answer; Csordas and Schmidhuber 2019 have three.
    bag:            steps before each whose words are given beside its own, as how often each is among them, by further
                    input channels; "sentence" for all those of the same sentence, 0 for none, as the paper has it.
    """

    name = "babi-stream"
    length_unit = "task"
    scores = (QUESTIONS, WORDS, NATS)
    panels = (QUESTIONS, WORDS)
    criterion = QUESTIONS
    spelled: ClassVar[Mapping[str, str]] = {"numbers": "task"}
    settled: ClassVar[tuple[str, ...]] = ("babi_data", "numbers")
    changeable: ClassVar[tuple[str, ...]] = ("babi_data",)

    def __init__(
        self,
        numbers: str = "1",
        babi_data: str | None = None,
        size: Literal["1k", "10k"] = "10k",
        questions: int | None = None,
        test_questions: int = TEST_QUESTIONS,
        data_seed: int = 0,
        think: int = 0,
        bag: int | Literal["sentence"] = 0,
    ) -> None:
        """ValueError for what is no list of tasks, size or bag, for missing stories, and for what these ignore."""
        try:
            self.tasks = task_numbers(numbers)
        except argparse.ArgumentTypeError as error:
            raise ValueError(f"numbers {error}") from None
        self.numbers, self.think = ",".join(map(str, self.tasks)), check_count("think", think, 0)
        if isinstance(bag, bool) or not (bag == SENTENCE or (isinstance(bag, int) and bag >= 0)):
            raise ValueError(f"bag must be a whole number of at least 0, or {SENTENCE}, got {bag!r}")
        self.bag = bag
        if size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(SIZES)}, got {size!r}")
        self.size, self.data_seed = size, check_count("data_seed", data_seed, 0)
        self.counts = {
            "train": SIZES[size] if questions is None else check_count("questions", questions),
            "test": check_count("test_questions", test_questions),
        }
        path = babi_data or os.environ.get("MEMNET_BABI") or GENERATED
        self.babi_data = path if path == GENERATED else str(Path(path).absolute())
        self._release = None if path == GENERATED else BabiData(path)
        if self._release is not None:
            generated = {
                "questions": questions,
                "test_questions": test_questions != TEST_QUESTIONS,
                "data_seed": data_seed,
            }
            if given := [name for name, value in generated.items() if value]:
                raise ValueError(f"{given[0]} is for generated stories; the release has its own, as many as size says")
            if missing := self._release.missing(self.tasks, size=size):
                raise ValueError(f"{path}: {', '.join(missing)} missing")
        self.length_range, self.test_lengths = (self.tasks[0], self.tasks[-1]), tuple(self.tasks)
        self.longest = self.tasks[-1]

    # Read, or made, once they are asked for.
    @cached_property
    def _stories(self) -> dict[tuple[int, str], list[Story]]:
        """By task and split. ValueError where a task's are too few."""
        found = {(task, split): self.told(task, split) for task in self.tasks for split in self.counts}
        if few := [str(task) for task in self.tasks if len(found[task, "train"]) < TENTH]:
            raise ValueError(f"there are too few training stories of {', '.join(few)} to keep a tenth for validation")
        return found

    def told(self, task: int, split: str) -> list[Story]:
        """The stories of a task, "train" or "test"."""
        if self._release is not None:
            return self._release.read(task, size=self.size, split=split)
        return generate(task, self.counts[split], seed=self.data_seed, split=split)

    @cached_property
    def output_channels(self) -> tuple[str, ...]:  # type: ignore[override]
        words = set[str]()
        for line in (line for some in self._stories.values() for story in some for line in story):
            words.update(words_of(line.text), () if isinstance(line, Fact) else _answer(line.answer))
        return (*MARKS, *sorted(words))

    @cached_property
    def input_channels(self) -> tuple[str, ...]:  # type: ignore[override]
        words = self.output_channels
        return (*words, *(f"{word} before" for word in words)) if self.bag else words

    @cached_property
    def _streams(self) -> dict[tuple[int, str], list[Stream]]:
        """The stories as they are read; of the training a tenth is for "valid"."""
        number = {word: place for place, word in enumerate(self.output_channels)}
        found = {key: [self._stream(story, number) for story in some] for key, some in self._stories.items()}
        for task in self.tasks:
            every = found[task, "train"]
            found[task, "valid"] = every[TENTH - 1 :: TENTH]
            found[task, "train"] = [one for place, one in enumerate(every, 1) if place % TENTH]
        return found

    def _stream(self, story: Story, number: Mapping[str, int]) -> Stream:
        read, answers = list[int](), list[int]()
        for line in story:
            told = isinstance(line, Fact)
            read += [number[word] for word in (*words_of(line.text), STOP if told else ASK)]
            if not isinstance(line, Fact):
                read += [NOTHING] * self.think
                due = [number[word] for word in _answer(line.answer)]
                answers += [NOTHING] * (len(read) - len(answers)) + due
                read += [number[ANSWER]] * len(due)
        return Stream(torch.tensor(read), torch.tensor(answers))

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """Test stories at random; length: the task's number, or (low, high) for all tasks from one to another."""
        return self._drawn("test", self.lengths_between(*check_range("length", length)), batch_size, generator)

    def training_batch(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """Training stories of all tasks, whatever the length."""
        return self._drawn("train", self.tasks, batch_size, generator)

    def validation_batch(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """Stories of all tasks that are kept for validation, whatever the length."""
        return self._drawn("valid", self.tasks, batch_size, generator)

    def test_batch(
        self, first: int, batch_size: int, *, length: int, generator: torch.Generator, **more: Any
    ) -> Batch | None:
        """The test stories of a task from one on; None where there are no more, ValueError where there is no task."""
        (task,) = self.lengths_between(length, length)
        chosen = self._streams[task, "test"][first : first + batch_size]
        return self._batch(chosen).to(generator.device) if chosen else None

    def _drawn(self, split: str, tasks: Sequence[int], batch_size: int, generator: torch.Generator) -> Batch:
        """For each row a task, and of it a story."""
        pools = [self._streams[task, split] for task in tasks]
        chosen = draw_range("task", (1, len(pools)), batch_size, generator) - 1
        places = draw_below(chosen.new_tensor([len(pool) for pool in pools])[chosen], generator)
        drawn = [pools[task][place] for task, place in zip(chosen.tolist(), places.tolist(), strict=True)]
        return self._batch(drawn).to(generator.device)

    def _batch(self, streams: Iterable[Stream]) -> Batch:
        words, answers = (pad_sequence([*some], True, NOTHING) for some in zip(*streams, strict=True))
        given, target = (F.one_hot(ids + 1, 1 + self.output_size)[..., 1:].float() for ids in (words, answers))
        lengths = torch.tensor([len(one.words) for one in streams])
        if self.bag:
            real = torch.arange(given.size(1)) < lengths.unsqueeze(1)
            given = torch.cat([given, _counted_from(given, self._bagged(words)) * real.unsqueeze(-1)], -1)
        return Batch(given, target, answers != NOTHING, lengths)

    def _bagged(self, words: Tensor) -> Tensor:
        """(batch, time) int64: the first step of each one's bag."""
        steps = torch.arange(words.size(1)).expand_as(words)
        if not isinstance(self.bag, str):
            return (steps - self.bag).clamp(min=0)
        answer, stop, _ = range(len(MARKS))
        over = (words == answer) | (words == stop)
        begins = F.pad(over[:, :-1], (1, 0), value=True) & (words != answer)
        return (steps * begins).cummax(1).values

    def lengths_to_test(self, longest: int) -> tuple[int, ...]:
        """Every task."""
        return self.test_lengths

    def lengths_between(self, low: int, high: int) -> Sequence[int]:
        """The tasks from one number to another; ValueError where there are none."""
        if found := [task for task in self.tasks if low <= task <= high]:
            return found
        told = low if low == high else f"{low}-{high}"
        raise ValueError(f"length is the number of a task, one of {self.numbers}, got {told}")

    def metrics(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """As `SymbolTask.metrics`, of whole answers: wrong, and questions; and wrong_words, of scored_steps."""
        wrong = self.wrong(logits.detach(), batch).any(-1)
        question = batch.input[..., MARKS.index(ASK)].cumsum(1).long()
        questions = question.amax(1)
        by_question = torch.zeros(len(wrong), int(questions.max()) + 1, device=wrong.device)
        return super().metrics(logits, batch) | {
            "wrong": (by_question.scatter_add(1, question, wrong.float()) > 0).sum(1),
            "questions": questions,
            "wrong_words": wrong.sum(1),
        }

    def summarize(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        """question_error_percent, word_error_percent, nats_per_step of answers' words, exact_share of the stories."""
        found = super().summarize(metrics)
        words = 100 * float(metrics["wrong_words"].sum() / metrics["scored_steps"].sum())
        return {"question_error_percent": found.pop("error_percent"), "word_error_percent": words, **found}

    def baselines(self, length: int) -> dict[str, float]:
        """None: most words are no answers."""
        return {}

    def render(self, batch: Batch, index: int = 0, logits: Tensor | None = None, width: int = 80) -> str:
        """A story, each question with its answer, and with logits also what they predict, folded to `width` columns.

        ValueError for an index outside the batch, logits of the wrong shape or a width below 40.
        """
        steps = steps_of(batch, index)
        fold([("step", "")], width)
        words = batch.input[..., : self.output_size]
        given, target, mask = (tensor[index, :steps] for tensor in (words, batch.target, batch.mask))
        title = f"{self.name}: {steps} steps, {int(mask.sum())} scored"
        if logits is not None:
            check_logits(logits, batch)
            title += f", {int(self.wrong(logits, batch)[index].sum())} predicted wrong"
        lines, line = [title, ""], list[str]()
        for step in range(steps):
            word = self.output_channels[int(given[step].argmax())] if given[step].any() else ""
            if mask[step]:
                lines[-1] += f" {self.spell(target[step : step + 1])}"
                if logits is not None:
                    lines[-1] += f" (predicted {self.spell(logits[index, step : step + 1])})"
                continue
            line += [word] if word else []
            if word in (STOP, ASK):
                lines.append(" ".join(line))
                line = []
        return "\n".join(textwrap.fill(one, width, subsequent_indent="  ") for one in lines)


def _answer(answer: str) -> list[str]:
    """An answer's words, one a step."""
    return answer_of(answer).split(",")


def _counted_from(given: Tensor, first: Tensor) -> Tensor:
    """How often each channel of (batch, time, channel) was 1 before each step, from step `first` on."""
    before = given.cumsum(1) - given
    return before - before.gather(1, first.unsqueeze(-1).expand_as(given))
