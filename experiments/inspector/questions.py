"""Runs on stories: test questions, right and wrong answers among them, and what was looked at for each."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from experiments.base.files import UserError
from experiments.base.seeds import generator_for
from experiments.config.form import Config
from experiments.domains.stories.loading import load_story_run
from experiments.domains.stories.pictures import (
    attention_on_sentences,
    gates_of_slots,
    heard_words,
    sentence_text,
    slot_names,
)
from experiments.inspector.arrays import check_room, pack
from experiments.inspector.inspector import SEEDS, Choice, Choices, Inspector, have_slots, with_slots
from experiments.inspector.watch import Panel, show_parts, width_of
from experiments.runs.folder import RunFolder
from memnet import StoryModel
from memnet.abilities import ReadsWords
from tasks.babi import TASK_NAMES, Example, StoryBatch, Vocabulary, WorldModel, encode

# Questions shown, questions among which they are chosen, of each task at least so many, and answers listed.
_SHOWN, _TRIED, _LEAST, _ANSWERS = 12, 60, 2, 5


class Asked(NamedTuple):
    """Questions about one task, encoded for every run.

    about: the task, in words.
    """

    about: str
    batches: list[StoryBatch]


class Reader(NamedTuple):
    """One run's configuration, words and model."""

    config: Config[Any]
    vocabulary: Vocabulary
    model: StoryModel


class StoryInspector(Inspector):
    """Runs on the same stories; UserError as from load_story_run, and where they share no task."""

    kind = "stories"

    def __init__(self, folders: Sequence[RunFolder], configs: Sequence[Config[Any]]) -> None:
        super().__init__(folders, configs)
        self.readers = [Reader(*load_story_run(folder.path)) for folder in folders]
        for reader in self.readers:
            model: Any = reader.model
            model.backend = "eager"
        self.task, self.by_length = configs[0].learned, configs[0].learned.tested_by == "length"
        if not self.by_length:
            self.task = configs[0].changed(numbers=_shared_tasks(configs)).learned
            self.examples = self.task.test_examples()

    def facts(self) -> dict[str, Any]:
        asks = ["seed", *(["slots"] if self._slots_change() else [])]
        if self.by_length:
            return {"title": "world model", "unit": "sentences", "asks": ["length", *asks]}
        return {"title": f"bAbI {self.task.numbers}, {self.task.source}", "unit": "", "asks": asks}

    def choices(self, lengths: Sequence[int], seeds: Sequence[int], slots: Sequence[int]) -> Choices:
        """Of the world model the trained length and twice it; two seeds, and slots as trained."""
        if lengths and not self.by_length:
            raise UserError(f"--length {lengths[0]}: the stories of bAbI have the lengths they have")
        if slots and not self._slots_change():
            raise UserError(
                f"--num-slots {slots[0]}: the slots of {self.configs[0].model.short} are those it was trained with"
            )
        usual = [self.task.max_length, 2 * self.task.max_length] if self.by_length else [None]
        return Choices(lengths or usual, seeds or SEEDS, slots or [None])

    def view(self, choice: Choice) -> dict[str, Any]:
        readers = [one._replace(model=with_slots(one.model, choice.slots)) for one in self.readers]
        try:
            return {
                "questions": [
                    self._question(asked, row, readers)
                    for asked in self._asked(choice)
                    for row in self._chosen(asked.batches, readers)
                ]
            }
        except ValueError as error:
            raise UserError(f"a model cannot read these stories: {error}") from None

    def _question(self, asked: Asked, row: int, readers: Sequence[Reader]) -> dict[str, Any]:
        batch, words = asked.batches[0], readers[0].vocabulary
        panels, sequences = [], []
        for reader, of_run in zip(readers, asked.batches, strict=True):
            panel, trace = self._panel(reader, of_run.rows(torch.tensor([row])))
            panels.append(panel)
            if "words" in panel:
                sequences.append((panel, trace.parts))
        for (panel, _), shown in zip(sequences, show_parts([parts for _, parts in sequences]), strict=True):
            panel.update(shown)
        return {
            "about": asked.about,
            "question": sentence_text(batch.question[row], words) + "?",
            "answer": words.words[int(batch.answer[row])],
            "panels": panels,
        }

    def _slots_change(self) -> bool:
        """Whether there is a model whose number of slots is no part of its weights."""
        return any(have_slots(reader.model) for reader in self.readers)

    def _asked(self, choice: Choice) -> list[Asked]:
        if self.by_length:
            assert choice.length is not None
            check_room(f"--length {choice.length}", choice.length, _TRIED, 4)
            generator = generator_for("test", choice.seed, choice.length)
            try:
                batch = WorldModel().sample(_TRIED, length=choice.length, generator=generator)
            except ValueError as error:
                raise UserError(f"world model: {error}") from None
            return [Asked("world model", [batch] * len(self.readers))]
        found = []
        for task, examples in self.examples.items():
            order = torch.randperm(len(examples), generator=generator_for("test", choice.seed, task))
            tried = [examples[k] for k in order[:_TRIED].tolist()]
            batches = [_encoded(tried, reader) for reader in self.readers]
            found.append(Asked(f"task {task}, {TASK_NAMES[task]}", batches))
        return found

    def _chosen(self, batches: Sequence[StoryBatch], readers: Sequence[Reader]) -> list[int]:
        """Questions of which up to half were answered wrong by some model, as far as there are any."""
        right = torch.ones(len(batches[0].answer), dtype=torch.bool)
        for reader, batch in zip(readers, batches, strict=True):
            with torch.inference_mode():
                logits = reader.model(batch.story, batch.question, story_lengths=batch.story_lengths)
            right &= _chances(logits, reader).argmax(-1) + 1 == batch.answer
        count = _SHOWN if self.by_length else max(_SHOWN // len(self.examples), _LEAST)
        wrong, good = ((~right).nonzero().flatten().tolist(), right.nonzero().flatten().tolist())
        half = (count + 1) // 2
        return sorted([*wrong[:half], *good, *wrong[half:]][:count])

    def _panel(self, reader: Reader, batch: StoryBatch) -> tuple[Panel, Any]:
        """One question: the story, the answers, and what was looked at; and the trace itself."""
        told = int(batch.story_lengths)
        story = batch.story[:, :told]
        with torch.inference_mode():
            if isinstance(reader.model, ReadsWords):
                heard = reader.model.stream(story, batch.question)[0].size(1)
                check_room(f"a story of {heard} words", heard, width_of(reader.model))
            trace: Any = reader.model.trace(story, batch.question)
        chances = _chances(trace.logits, reader)[0]
        best = chances.topk(min(_ANSWERS, len(chances))).indices + 1
        words = [reader.vocabulary.words[number] for number in best.tolist()]
        panel = {
            "sentences": [sentence_text(sentence, reader.vocabulary) for sentence in story[0]],
            "supports": batch.supports[0, :told].nonzero().flatten().tolist(),
            "right": int(best[0]) == int(batch.answer),
            "answers": words,
            "chances": pack(chances[best - 1]),
            **_looked(trace, best, reader, told),
        }
        return panel, trace


def _looked(trace: Any, best: Tensor, reader: Reader, story: int) -> Panel:
    """Attention by hop, gates by slot, or the words with the answer as it would be given at each.

    story: sentences in it.
    """
    words = heard_words(trace, reader.vocabulary)
    if words is not None:
        return {"words": words, "output": pack(_chances(trace.sequence.output[0], reader)[:, best - 1])}
    if (gated := gates_of_slots(trace.parts)) is not None:
        gates, look = (values[0] for values in gated)
        names = slot_names(trace, reader.vocabulary) or list(map(str, range(len(look))))
        return {"gates": pack(gates), "look": pack(look), "slots_named": names}
    attention = attention_on_sentences(trace.parts)
    return {"attention": pack(torch.zeros(0, story) if attention is None else attention[0])}


def _chances(logits: Tensor, reader: Reader) -> Tensor:
    """(..., word) probabilities of words from 1 on; nil is no answer, and time words are none either."""
    return logits.softmax(-1)[..., 1 : len(reader.vocabulary)]


def _shared_tasks(configs: Sequence[Config[Any]]) -> str:
    """The bAbI tasks of all runs, as --task takes them; UserError where there is none."""
    shared = set.intersection(*(set(config.learned.task_numbers) for config in configs))
    if not shared:
        told = " and ".join(config.learned.numbers for config in configs)
        raise UserError(f"the runs are on bAbI tasks {told}: expected runs with a task in common")
    return ",".join(map(str, sorted(shared)))


def _encoded(examples: Sequence[Example], reader: Reader) -> StoryBatch:
    """As the run itself reads them in its tests."""
    try:
        return encode(examples, reader.vocabulary, max_sentences=reader.config.learned.max_sentences)
    except ValueError as error:
        raise UserError(f"the stories do not fit a run on {reader.config.label}: {error}") from None
