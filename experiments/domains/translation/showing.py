"""Runs on translation, to be looked into: test sentences, and where each word of their translation was read from."""

from collections.abc import Mapping, Sequence

import torch

from experiments.base.files import UserError
from experiments.base.seeds import generator_for
from experiments.domains.translation.data import Ragged, Words
from experiments.domains.translation.testing import translations
from experiments.figures.view import View
from experiments.runs.folder import RunFolder
from experiments.training.loading import load_run
from experiments.training.showing import Shown
from memnet import EncoderDecoder
from tasks.translation import Pair


def translation_view(model: EncoderDecoder, words: Words, pair: Pair) -> View:
    """What a model did with one sentence: its greedy translation, and where it read each word from."""
    source = [[words.source.number(word) for word in pair.source.split()]]
    given = translations(model, Ragged.of(source), words)[0]
    target = [[words.target.number(word) for word in given.split()]]
    device, right = model.source_words.device, given == pair.target
    with torch.no_grad():
        trace = model.trace(torch.tensor(source, device=device), torch.tensor(target, device=device, dtype=torch.int64))
    return View(
        asked=pair.source,
        verdict=f"{given}: right" if right else f"{given}: wrong,\nit is {pair.target}",
        right=right,
        parts=trace.parts,
        names={"word": [*given.split(), "(end)"], "source": pair.source.split()},
    )


# Sentences among which those that are shown are chosen.
_TRIED = 60


class ShownTranslation(Shown):
    """A run on translation; an example is a pair of sentences."""

    model: EncoderDecoder

    def __init__(self, folder: RunFolder) -> None:
        self.config, self.words, self.model = load_run(folder.path)
        self.data = self.config.learned.data()
        self.title = self.data.name

    def examples(self, length: int | None, seed: int) -> Mapping[str, Sequence[Pair]]:
        """Test sentences."""
        pairs = self.data.test.pairs
        order = torch.randperm(len(pairs), generator=generator_for("test", seed))
        return {self.title: [pairs[place] for place in order[:_TRIED].tolist()]}

    def right(self, examples: Sequence[Pair]) -> list[bool]:
        source = Ragged.of([self._numbers(one) for one in examples])
        given = translations(self.model, source, self.words)
        return [one == pair.target for one, pair in zip(given, examples, strict=True)]

    def view(self, example: Pair) -> View:
        self._numbers(example)
        return translation_view(self.model, self.words, example)

    def _numbers(self, pair: Pair) -> list[int]:
        try:
            return [self.words.source.number(word) for word in pair.source.split()]
        except ValueError as error:
            raise UserError(f"the sentences do not fit a run on {self.config.label}: {error}") from None
