"""Runs on sequences, to be looked into: test sequences of any length."""

from collections.abc import Mapping, Sequence

import torch

from experiments.base.files import UserError
from experiments.base.seeds import generator_for
from experiments.domains.sequences.models import SequenceModel, training_lengths
from experiments.domains.sequences.pictures import sequence_view
from experiments.figures.view import View
from experiments.runs.folder import RunFolder
from experiments.training.loading import load_run
from experiments.training.showing import Shown
from tasks import Batch


class ShownSequences(Shown):
    """A run on a task of sequences; an example is a batch of one."""

    model: SequenceModel
    more_slots = True

    def __init__(self, folder: RunFolder) -> None:
        self.config, self.task, self.model = load_run(folder.path)
        self.title, self.unit = self.task.name, self.task.length_unit
        longest = training_lengths(self.config)[1]
        self.lengths = longest, self.task.within(2 * longest)

    def examples(self, length: int | None, seed: int) -> Mapping[str, Sequence[Batch]]:
        """One of the sequences that `show` draws, with seed 0."""
        assert length is not None
        generator = generator_for("test", seed, length)
        try:
            return {self.title: [self.task.sample(1, length=length, generator=generator)]}
        except ValueError as error:
            raise UserError(f"{self.title}: {error}") from None

    def steps(self, example: Batch) -> int:
        return example.input.size(1)

    def right(self, examples: Sequence[Batch]) -> list[bool]:
        with torch.inference_mode():
            played = [self.task.played(one, self.model) for one in examples]
            return [bool(self.task.metrics(self.model(one.input)[0], one)["exact"]) for one in played]

    def view(self, example: Batch) -> View:
        return sequence_view(self.model, self.task, example)
