"""Runs on algorithmic tasks: one test sequence, read by every run."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from experiments.base.files import UserError
from experiments.base.seeds import generator_for
from experiments.config.form import Config
from experiments.domains.sequences.loading import load_run
from experiments.domains.sequences.models import training_lengths
from experiments.inspector.arrays import check_room, pack
from experiments.inspector.inspector import SEEDS, Choice, Choices, Inspector, with_slots
from experiments.inspector.watch import Panel, show_parts, width_of
from experiments.runs.folder import RunFolder
from memnet.abilities import HasSlots
from tasks import Batch


class SequenceInspector(Inspector):
    """Runs on one algorithmic task; UserError as from load_run."""

    kind = "sequences"

    def __init__(self, folders: Sequence[RunFolder], configs: Sequence[Config[Any]]) -> None:
        super().__init__(folders, configs)
        loaded = [load_run(folder.path) for folder in folders]
        self.models: list[Any] = [model for _, _, model in loaded]
        self.task = loaded[0][1]
        self.trained = training_lengths(configs[0])[1]

    def facts(self) -> dict[str, Any]:
        task = self.task
        return {
            "title": task.name,
            "unit": task.length_unit,
            "asks": ["length", "seed", *(["slots"] if self._memories() else [])],
            "channels": {"input": task.input_channels, "output": task.output_channels},
            "answers": task.answer,
        }

    def choices(self, lengths: Sequence[int], seeds: Sequence[int], slots: Sequence[int]) -> Choices:
        """The trained length and twice it, two seeds, and slots as trained and twice the most of any run."""
        memories = self._memories()
        if slots and not memories:
            raise UserError(f"--num-slots {slots[0]}: {self.configs[0].model.short} has no memory")
        usual = [None, 2 * max(memories)] if memories else [None]
        return Choices(lengths or (self.trained, 2 * self.trained), seeds or SEEDS, slots or usual)

    def view(self, choice: Choice) -> dict[str, Any]:
        models = [with_slots(model, choice.slots) for model in self.models]
        batch = self._sample(choice, models)
        traces = [self._trace(model, batch, choice) for model in models]
        told = [self._told(trace, batch) for trace in traces]
        return {
            "input": pack(batch.input[0]),
            "target": pack(batch.target[0]),
            "mask": pack(batch.mask[0]),
            "panels": [
                one | shown for one, shown in zip(told, show_parts([trace.parts for trace in traces]), strict=True)
            ],
        }

    def _memories(self) -> list[int]:
        """Slots of the models that have any."""
        return [model.num_slots for model in self.models if isinstance(model, HasSlots)]

    def _sample(self, choice: Choice, models: Sequence[Any]) -> Batch:
        """One of the sequences that `show` draws, with seed 0; UserError for a length that there cannot be."""
        length = choice.length
        assert length is not None
        # No task's sequences have fewer steps than their length less one.
        for model in models:
            check_room(f"--length {length}", length, width_of(model))
        try:
            return self.task.sample(1, length=length, generator=generator_for("test", choice.seed, length))
        except ValueError as error:
            raise UserError(f"{self.task.name}: {error}") from None

    def _trace(self, model: Any, batch: Batch, choice: Choice) -> Any:
        check_room(f"--length {choice.length}", batch.input.size(1), width_of(model))
        with torch.inference_mode():
            return model.trace(batch.input)

    def _told(self, trace: Any, batch: Batch) -> Panel:
        """What a model answered, and where it was wrong."""
        wrong, output = self.task.wrong(trace.output, batch), self.task.predict(trace.output[0])
        # Of several channels of one answer, the mistake is where the answer was given.
        given = torch.ones_like(output) if wrong.size(-1) > 1 else F.one_hot(output.argmax(-1), output.size(-1))
        return {
            "output": pack(output),
            "wrong": int(wrong.sum()),
            # Not left to the page, whose outputs are rounded.
            "wrong_at": (wrong[0] & given.bool()).nonzero().tolist(),
            "scored": int(batch.mask.sum()) * wrong.size(-1),
        }
