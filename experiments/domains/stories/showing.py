"""Runs on stories, to be looked into: test questions, of bAbI as the release has them, of a world of any length."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from experiments.base.files import UserError
from experiments.base.seeds import generator_for
from experiments.domains.stories.pictures import story_view
from experiments.figures.view import View
from experiments.runs.folder import RunFolder
from experiments.training.loading import load_run
from experiments.training.showing import Shown
from memnet import StoryModel
from memnet.abilities import HasBackend, ReadsWords
from tasks.babi import TASK_NAMES, StoryBatch, WorldModel, encode

# Questions of a task among which those that are shown are chosen.
_TRIED = 60


class ShownStories(Shown):
    """A run on stories; an example is one of bAbI, or a batch of one question of a world."""

    model: StoryModel

    def __init__(self, folder: RunFolder) -> None:
        self.config, self.vocabulary, self.model = load_run(folder.path)
        if isinstance(self.model, HasBackend):
            self.model.backend = "eager"
        self.task = self.config.learned
        self.by_length = self.task.tested_by == "length"
        if self.by_length:
            self.title, self.unit = "world model", "sentences"
            self.lengths = self.task.max_length, 2 * self.task.max_length
        else:
            self.title = f"bAbI {self.task.numbers}, {self.task.source}"

    def beside(self, others: Sequence[Shown]) -> None:
        """Only the tasks that all are on."""
        if self.by_length or not others:
            return
        tasks = [one.config.learned for one in (self, *others)]
        shared = set.intersection(*(set(one.task_numbers) for one in tasks))
        if not shared:
            told = " and ".join(one.numbers for one in tasks)
            raise UserError(f"the runs are on bAbI tasks {told}: expected runs with a task in common")
        self.task = self.config.changed(numbers=",".join(map(str, sorted(shared)))).learned
        self.title = f"bAbI {self.task.numbers}, {self.task.source}"

    def examples(self, length: int | None, seed: int) -> Mapping[str, Sequence[Any]]:
        """Test questions by task."""
        if length is not None:
            generator = generator_for("test", seed, length)
            try:
                batch = WorldModel().sample(_TRIED, length=length, generator=generator)
            except ValueError as error:
                raise UserError(f"world model: {error}") from None
            return {self.title: [batch.rows(torch.tensor([row])) for row in range(_TRIED)]}
        found = {}
        for task, examples in self.task.test_examples().items():
            order = torch.randperm(len(examples), generator=generator_for("test", seed, task))
            found[f"task {task}, {TASK_NAMES[task]}"] = [examples[k] for k in order[:_TRIED].tolist()]
        return found

    def steps(self, example: Any) -> int:
        if not isinstance(self.model, ReadsWords):
            return 0
        batch = self._batch([example])
        return self.model.stream(batch.story[:, : int(batch.story_lengths)], batch.question)[0].size(1)

    def right(self, examples: Sequence[Any]) -> list[bool]:
        batch = self._batch(examples)
        with torch.inference_mode():
            logits = self.model(batch.story, batch.question, story_lengths=batch.story_lengths)
        found: list[bool] = (logits[:, 1 : len(self.vocabulary)].argmax(-1) + 1 == batch.answer).tolist()
        return found

    def view(self, example: Any) -> View:
        return story_view(self.model, self.vocabulary, self._batch([example]))

    def _batch(self, examples: Sequence[Any]) -> StoryBatch:
        """As the run itself reads them in its tests."""
        if self.by_length:
            return StoryBatch(*map(torch.cat, zip(*examples, strict=True)))
        try:
            return encode(examples, self.vocabulary, max_sentences=self.config.learned.max_sentences)
        except ValueError as error:
            raise UserError(f"the stories do not fit a run on {self.config.label}: {error}") from None
