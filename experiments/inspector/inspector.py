"""What the page needs to know about runs, whatever they learned: examples, and what every run did with each."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.base.files import UserError
from experiments.base.names import model_words
from experiments.figures.view import View, grid_of
from experiments.inspector.arrays import check_room, pack
from experiments.inspector.watch import Panel, show_parts, width_of
from experiments.runs.checkpoint import read_progress
from experiments.runs.folder import RunFolder
from experiments.training.showing import Shown

# Where none were asked for.
SEEDS = (0, 1)
# Examples shown, and of each thing that there are some about at least so many.
_SHOWN, _LEAST = 12, 2


class Choice(NamedTuple):
    """What is shown to the models: None where there is nothing to choose, or, for slots, as trained."""

    length: int | None
    seed: int
    slots: int | None

    @property
    def key(self) -> str:
        """As the page calls it."""
        return "/".join("" if value is None else str(value) for value in self)


class Choices(NamedTuple):
    """Everything that can be chosen in a page without a server; the first of each is shown at first."""

    length: Sequence[int | None]
    seed: Sequence[int]
    slots: Sequence[int | None]

    def combined(self) -> list[Choice]:
        """Each with each."""
        return [Choice(*values) for values in itertools.product(self.length, self.seed, self.slots)]


class Inspector:
    """Runs of one task, the first of which says what is shown; UserError for what cannot be."""

    def __init__(self, folders: Sequence[RunFolder], runs: Sequence[Shown]) -> None:
        self.folders, self.runs = folders, runs
        self.first = runs[0]
        self.first.beside(runs[1:])

    def choices(self, lengths: Sequence[int], seeds: Sequence[int], slots: Sequence[int]) -> Choices:
        """What was asked for; else usual lengths, two seeds, and slots as trained and where that helps twice the most
        of any run. UserError for what the runs do not have."""
        if lengths and not self.first.lengths:
            raise UserError(f"--length {lengths[0]}: the examples of {self.first.title} have the lengths they have")
        memories = self._slots()
        if slots and not memories:
            raise UserError(f"--num-slots {slots[0]}: {self.first.config.model.short} has no slots that may be set")
        usual = [None, 2 * max(memories)] if memories and self.first.more_slots else [None]
        return Choices(list(lengths or self.first.lengths) or [None], seeds or SEEDS, slots or usual)

    def view(self, choice: Choice) -> dict[str, Any]:
        """What the models did with examples, arrays packed; UserError for what cannot be."""
        runs = [one.with_slots(choice.slots) for one in self.runs]
        if choice.length is not None:
            # No example has fewer steps than its length less one.
            for one in runs:
                check_room(f"--length {choice.length}", choice.length, max(width_of(one.model), 1))
        try:
            about = self.first.examples(choice.length, choice.seed)
            most = max(_SHOWN // len(about), _LEAST)
            chosen = [(words, one) for words, every in about.items() for one in _chosen(every, runs, most)]
            return {"questions": [_shown(words, one, runs, choice) for words, one in chosen]}
        except ValueError as error:
            raise UserError(f"a model cannot read this: {error}") from None

    def page_data(self, choices: Choices, *, live: bool) -> dict[str, Any]:
        """Everything in the page; with a server behind it only the first view."""
        shown = choices.combined()[: 1 if live else None]
        asks = [
            *(["length"] if self.first.lengths else []),
            "seed",
            *(["slots"] if self._slots() else []),
        ]
        return {
            "title": self.first.title,
            "unit": self.first.unit,
            "asks": asks,
            "live": live,
            "runs": [self._run(folder, one) for folder, one in zip(self.folders, self.runs, strict=True)],
            "choices": choices._asdict(),
            "views": {choice.key: self.view(choice) for choice in shown},
        }

    def _slots(self) -> list[int]:
        """Slots of the models whose number is no part of their weights."""
        return [memory.num_slots for one in self.runs for memory in one.memories()]

    def _run(self, folder: RunFolder, run: Shown) -> dict[str, Any]:
        names = [one.name for one in self.folders]
        unfinished = not folder.weights.exists()
        return {
            "name": folder.name if names.count(folder.name) == 1 else str(folder.path),
            "path": str(folder.path),
            "model": model_words(run.config.model_label),
            "seed": run.config.run.seed,
            "step": read_progress(folder.checkpoint)["step"] if unfinished else None,
        }


def _chosen(examples: Sequence[Any], runs: Sequence[Shown], most: int) -> Sequence[Any]:
    """So many examples, of which up to half were answered wrong by some model, as far as there are any."""
    if len(examples) == 1:
        return examples
    right = [all(one) for one in zip(*(run.right(examples) for run in runs), strict=True)]
    good, wrong = ([place for place, one in enumerate(right) if one is kind] for kind in (True, False))
    half = (most + 1) // 2
    return [examples[place] for place in sorted([*wrong[:half], *good, *wrong[half:]][:most])]


def _shown(about: str, example: Any, runs: Sequence[Shown], choice: Choice) -> dict[str, Any]:
    """One example: what it is, and a panel for each run."""
    for one in runs:
        steps = one.steps(example)
        asked = f"an example of {steps:,} steps" if choice.length is None else f"--length {choice.length}"
        check_room(asked, steps, width_of(one.model))
    views = [one.view(example) for one in runs]
    moving = [view.parts for view in views if view.episode is not None]
    shown = iter(show_parts(moving))
    panels = [_panel(view) | (next(shown) if view.episode is not None else {}) for view in views]
    told = {"about": about, "question": views[0].asked, "answer": views[0].answer}
    return {**told, "panels": panels, **_signals(views[0])}


def _signals(view: View) -> Panel:
    """What went in over time and what is right, where a model goes on in time and is asked at more than its end."""
    if view.episode is None or view.answers:
        return {}
    episode = view.episode
    return {
        "input": pack(episode.inputs),
        "target": pack(episode.targets),
        "mask": pack(episode.mask),
        "channels": {"input": view.names["input"], "output": view.names["output"]},
        "kind": episode.answer,
    }


def _panel(view: View) -> Panel:
    """What a run answered, and what it looked at."""
    panel: Panel = {"right": view.right, "verdict": view.verdict, "wrong_at": [list(place) for place in view.wrong_at]}
    if view.answers:
        words, chances = zip(*view.answers, strict=True)
        panel |= {"answers": words, "chances": pack(np.array(chances))}
    if view.episode is not None:
        outputs, heard = view.episode.outputs, view.names.get("time")
        if heard is not None:
            panel["words"] = heard
        if view.answers:
            outputs = outputs[:, [list(view.names["output"]).index(word) for word in panel["answers"]]]
        panel["output"] = pack(outputs)
    elif (grid := grid_of(view)) is not None:
        below = None if grid.below is None else {"name": grid.below[0], "values": pack(grid.below[1])}
        named: Mapping[str, Any] = grid._asdict()
        panel["grid"] = {**named, "values": pack(grid.values), "below": below, "marked": view.marked}
    return panel
