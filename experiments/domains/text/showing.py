"""Runs on text, to be looked into: how every character of a stretch of it was foretold."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional

from experiments.base.files import UserError
from experiments.base.seeds import generator_for
from experiments.domains.text.models import own_text
from experiments.figures.memory import Episode
from experiments.figures.trace import as_array, episode_arrays
from experiments.figures.view import View
from experiments.runs.folder import RunFolder
from experiments.training.loading import load_run
from experiments.training.showing import Shown
from memnet import LanguageModel

_USUAL = (100, 200)


class ShownText(Shown):
    """A run on text; an example is a stretch of the test part."""

    model: LanguageModel
    unit, lengths = "characters", _USUAL

    def __init__(self, folder: RunFolder) -> None:
        self.config, self.known, self.model = load_run(folder.path)
        self.text = self.known.alphabet.decode(own_text(folder, self.config, self.known).test)
        self.title = self.known.text

    def examples(self, length: int | None, seed: int) -> Mapping[str, Sequence[str]]:
        """A stretch, with the character that comes after it."""
        assert length is not None
        room = len(self.text) - length
        if room < 1:
            raise UserError(f"--length {length}: the test part has {len(self.text):,} characters")
        first = int(torch.randint(room, (), generator=generator_for("test", seed, length)))
        return {self.title: [self.text[first : first + length + 1]]}

    def steps(self, example: str) -> int:
        return len(example) - 1

    def right(self, examples: Sequence[str]) -> list[bool]:
        return [bool(self.view(one).right) for one in examples]

    def view(self, example: str) -> View:
        symbols = self.known.alphabet.encode(example, "what is to be shown").long()
        with torch.inference_mode():
            trace = self.model.trace(symbols[:-1].unsqueeze(0))
        chances = trace.output[0].softmax(-1)
        came = functional.one_hot(symbols, chances.size(-1)).to(chances.dtype)
        episode = Episode(
            inputs=as_array(came[:-1]),
            targets=as_array(came[1:]),
            outputs=as_array(chances),
            mask=as_array(torch.ones(len(chances), dtype=torch.bool)),
            answer="symbols",
            **episode_arrays(trace.parts),
        )
        letters = [
            letter if letter.isprintable() and letter != " " else repr(letter)
            for letter in self.known.alphabet.characters
        ]
        wrong = np.flatnonzero(episode.wrong.any(1)).tolist()
        return View(
            asked="the next character",
            verdict=f"{len(wrong)} of {len(chances)} characters foretold wrong",
            right=not wrong,
            parts=trace.parts,
            names={"input": letters, "output": letters},
            episode=episode,
            wrong_at=[(step, int(episode.outputs[step].argmax())) for step in wrong],
        )
