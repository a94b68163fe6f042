"""Runs on captions, to be looked into: test scenes, and which places of a picture every word was read from."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from experiments.domains.captions.testing import describe_scenes, seen
from experiments.figures.view import View
from experiments.runs.folder import RunFolder
from experiments.training.loading import load_run
from experiments.training.showing import Shown
from memnet import Captioner
from tasks.captions import CaptionBatch

# Scenes among which those that are shown are chosen.
_TRIED = 60


class ShownCaptions(Shown):
    """A run on captions; an example is a scene, and a batch of it alone."""

    model: Captioner

    def __init__(self, folder: RunFolder) -> None:
        self.config, self.world, self.model = load_run(folder.path)
        self.title = self.world.name

    def examples(self, length: int | None, seed: int) -> Mapping[str, Sequence[tuple[Any, CaptionBatch]]]:
        """Scenes of the test part."""
        scenes, batch = self.world.sample(_TRIED, part="test", seed=("inspect", seed))
        alone = [CaptionBatch(*(array[place : place + 1] for array in batch)) for place in range(len(scenes))]
        return {self.title: list(zip(scenes, alone, strict=True))}

    def right(self, examples: Sequence[tuple[Any, CaptionBatch]]) -> list[bool]:
        return [self._described(one).verdict.right for one in examples]

    def view(self, example: tuple[Any, CaptionBatch]) -> View:
        described = self._described(example)
        verdict, words = described.verdict, described.caption.split()
        images, lengths = seen(self.model, example[1])
        with torch.inference_mode():
            trace = self.model.trace(images, torch.from_numpy(self.world.encode([words])), lengths=lengths)
        return View(
            asked="; ".join(" ".join(map(str, thing)) for thing in self.world.describe(example[0])),
            verdict=f"{described.caption}: {'right' if verdict.right else f'wrong, {verdict.reason}'}",
            right=verdict.right,
            parts=trace.parts,
            names={"word": [*words, "(end)"]},
        )

    def _described(self, example: tuple[Any, CaptionBatch]) -> Any:
        scene, batch = example
        return describe_scenes(self.model, self.world, [scene], batch)[0]
