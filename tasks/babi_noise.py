"""bAbI in long noise, after BABILong (Kuratov et al. 2024)."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .babi import Fact, Story, words_of
from .babi_stream import ANSWER, ASK, GENERATED, MARKS, STOP, TEST_QUESTIONS, BabiStream
from .common import Batch, steps_of
from .drawing import fold
from .invented_text import InventedLanguage
from .tokens import TokenTask
from .words import answer_of

_CHARACTERS = 200_000  # of the text that noise is from, about 4000 sentences


class Tale(NamedTuple):
    """A question with the facts before it and its answer, sentences as words and a mark."""

    facts: tuple[tuple[str, ...], ...]
    question: tuple[str, ...]
    answer: str


class Asked(NamedTuple):
    """Questions of a split, and noise, as numbers of sentences.

    facts:    (question, fact), those before each question in their order, -1 behind the last.
    question: (question,). answer: (question,) classes. noise: (sentence,).
    """

    facts: Tensor
    question: Tensor
    answer: Tensor
    noise: Tensor


class BabiNoise(TokenTask):
    """Answer bAbI from facts that stand anywhere in long noise (after Kuratov et al. 2024, arXiv 2402.10790, BABILong).

        den mola ke dun tevian rusin dirit . mary went to the office . dun gosan sirin . where is mary ? -   ->   office

    A story's facts so far stand in their order among sentences of noise, all places alike; the question comes last, and
    the answer is due at "-". A length of n is at most n words before the question, full stops among them: there are as
    many sentences as have room. Noise is grammatical text in an invented language, of which no word is one of the
    stories; in the paper it is from books. Training, validation and tests have stories of their own, and no question
    with the same facts before it; tests have sentences of noise of their own. Tests of the release are whole: of their
    1000 questions 741 of task 4, 203 of task 20, 152 of task 17 and at most 25 of others, 3 not counted, stand in the
    10k training, too; in the 1k training 134, 119, 16 and 2. On generated stories no score is a bAbI score.

    number:         which task.
    babi_data:      folder or archive of the release, or "generated"; None for MEMNET_BABI if set, else generated.
    size:           training questions.
    questions:      generated stories: training questions, if not as many as size says.
    test_questions: generated stories: test questions.
    data_seed:      of generated stories and of the noise.
    """

    name = "babi-noise"
    length_unit = "words"
    length_range = (100, 1000)
    test_lengths = (1000,)
    settled: ClassVar[tuple[str, ...]] = ("babi_data",)
    changeable: ClassVar[tuple[str, ...]] = ("babi_data",)

    def __init__(
        self,
        number: int = 1,
        babi_data: str | None = None,
        size: Literal["1k", "10k"] = "10k",
        questions: int | None = None,
        test_questions: int = TEST_QUESTIONS,
        data_seed: int = 0,
    ) -> None:
        """ValueError as of `BabiStream`."""
        self._stories = BabiStream(str(number), babi_data, size, questions, test_questions, data_seed)
        self.number, self.babi_data, self.data_seed = number, self._stories.babi_data, data_seed

    @cached_property
    def shortest(self) -> int:  # type: ignore[override]
        """The facts of the longest story."""
        return max(sum(map(len, tale.facts)) for tales in self._tales.values() for tale in tales)

    @cached_property
    def _tales(self) -> dict[str, list[Tale]]:
        """Questions by split, of a tenth of the training's stories for "valid": none of one split is in another's.

        Tests of a release are whole.
        """
        told = {split: self._stories.told(self.number, split) for split in ("train", "test")}
        parts = {
            "train": [story for place, story in enumerate(told["train"]) if place % 10 != 9],
            "valid": told["train"][9::10],
            "test": told["test"],
        }
        found, seen = dict[str, list[Tale]](), set[Tale]()
        for split, some in parts.items():
            every = [tale for story in some for tale in _tales_of(story)]
            whole = split == "test" and self.babi_data != GENERATED
            found[split] = every if whole else [tale for tale in every if tale not in seen]
            seen.update(every)
        return found

    @cached_property
    def _noise(self) -> list[tuple[str, ...]]:
        """Sentences of noise, none twice."""
        import numpy as np

        generator = np.random.default_rng(self.data_seed)
        text = InventedLanguage(generator).write(_CHARACTERS, generator)
        return list(dict.fromkeys((*words, STOP) for one in re.split(r"[.:]", text)[:-1] if (words := words_of(one))))

    @cached_property
    def _sentences(self) -> dict[tuple[str, ...], int]:
        """All that there are, and their numbers; those of noise come first."""
        every = (tale for tales in self._tales.values() for tale in tales)
        told = (sentence for tale in every for sentence in (*tale.facts, tale.question))
        return {sentence: place for place, sentence in enumerate(dict.fromkeys((*self._noise, *told)))}

    @cached_property
    def input_channels(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*MARKS, *sorted({word for sentence in self._sentences for word in sentence} - {*MARKS}))

    @cached_property
    def output_channels(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(sorted({tale.answer for tales in self._tales.values() for tale in tales}))

    @cached_property
    def _table(self) -> tuple[Tensor, Tensor]:
        """Words of every sentence, (sentence, word), -1 behind its end, and how many; at last a sentence of none."""
        number = {word: place for place, word in enumerate(self.input_channels)}
        rows = [_numbers(words, number) for words in (*self._sentences, ())]
        return pad_sequence(rows, True, -1), torch.tensor([len(row) for row in rows])

    @cached_property
    def _asked(self) -> dict[str, Asked]:
        """By split, but for one without questions; of noise every fifth sentence is for tests."""
        classes = {answer: place for place, answer in enumerate(self.output_channels)}
        noise = torch.arange(len(self._noise))
        return {
            split: Asked(
                pad_sequence([_numbers(tale.facts, self._sentences) for tale in tales], True, -1),
                _numbers([tale.question for tale in tales], self._sentences),
                _numbers([tale.answer for tale in tales], classes),
                noise[(noise % 5 == 4) == (split == "test")],
            )
            for split, tales in self._tales.items()
            if tales
        }

    def training_batch(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """Stories of the training."""
        return self.sample(batch_size, length=length, generator=generator, split="train")

    def validation_batch(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """Stories that are kept for validation."""
        return self.sample(batch_size, length=length, generator=generator, split="valid")

    def draw(
        self, rows: int, length: int, generator: torch.Generator, split: Literal["train", "valid", "test"] = "test"
    ) -> tuple[Tensor, Tensor]:
        if split not in self._asked:
            if split == "test":
                raise ValueError("every test question stands in training, too: expected more test_questions")
            raise ValueError("there are too few training stories to keep a tenth for validation")
        device = generator.device
        words, sizes = (part.to(device) for part in self._table)
        of_facts, questions, answers, hay = (part.to(device) for part in self._asked[split])
        chosen = torch.randint(len(questions), (rows,), generator=generator, device=device)
        facts, question = of_facts[chosen], questions[chosen].unsqueeze(1)
        count = (facts >= 0).sum(1, keepdim=True)
        room = length - (sizes[facts] * (facts >= 0)).sum(1, keepdim=True)
        most = length // int(sizes[hay].min()) + 1
        noise = hay[torch.randint(len(hay), (rows, most), generator=generator, device=device)]
        total = (sizes[noise].cumsum(1) <= room).sum(1, keepdim=True) + count
        # Facts at some of the places, in their order, noise at the others, and the question behind them.
        place = torch.arange(most + facts.size(1) + 1, device=device)
        wishes = torch.rand(rows, len(place), generator=generator, device=device).masked_fill(place >= total, 2.0)
        order = wishes.argsort(1)[:, : facts.size(1)]
        fact = torch.zeros_like(wishes, dtype=torch.bool).scatter(1, order, facts >= 0)
        before = fact.cumsum(1) - fact.long()
        sentence = torch.where(
            fact,
            facts.gather(1, before.clamp(max=facts.size(1) - 1)),
            noise.gather(1, (place - before).clamp(max=most - 1)),
        )
        sentence = torch.where(place == total, question, sentence).masked_fill(place > total, len(sizes) - 1)
        ends = sizes[sentence].cumsum(1)
        step = torch.arange(int(ends[:, -1].max()), device=device).expand(rows, -1).contiguous()
        at = torch.searchsorted(ends, step, right=True).clamp(max=len(place) - 1)
        offset = step - (ends - sizes[sentence]).gather(1, at)
        given = words[sentence.gather(1, at), offset.clamp(max=words.size(1) - 1)]
        target = torch.full_like(given, -1)
        return given, target.scatter(1, ends[:, -1:] - 1, answers[chosen].unsqueeze(1))

    def shares(self, length: int) -> Tensor:
        """How frequent each answer is among the test questions."""
        answers = self._asked["test"].answer
        return answers.bincount(minlength=self.output_size) / len(answers)

    def render(self, batch: Batch, index: int = 0, logits: Tensor | None = None, width: int = 80) -> str:
        """The text of one example with its answer and, with logits, the likeliest one, folded to `width` columns.

        ValueError for an index outside the batch, logits of the wrong shape or a width below 40.
        """
        steps = steps_of(batch, index)
        fold([("step", "")], width)
        words = " ".join(self.input_channels[word] for word in batch.input[index, :steps].tolist())
        title, told = f"{self.name}: {steps} steps, 1 scored", self.spell(batch.target[index, steps - 1 : steps])
        if logits is not None:
            title += f", {int(self.wrong(logits, batch)[index].sum())} predicted wrong"
            told += f" (predicted {self.spell(logits[index, steps - 1 : steps])})"
        return "\n".join([title, "", textwrap.fill(f"{words} {told}", width, break_on_hyphens=False)])


def _tales_of(story: Story) -> Iterator[Tale]:
    """Each question of a story."""
    facts: list[tuple[str, ...]] = []
    for line in story:
        if isinstance(line, Fact):
            facts.append((*words_of(line.text), STOP))
        else:
            yield Tale(tuple(facts), (*words_of(line.text), ASK, ANSWER), answer_of(line.answer))


def _numbers(things: Sequence[Any], number: Mapping[Any, int]) -> Tensor:
    """The numbers of things, int64 also of none."""
    return torch.tensor([number[one] for one in things], dtype=torch.int64)
