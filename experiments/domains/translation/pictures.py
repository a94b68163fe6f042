"""What a model did while it translated."""

import torch

from experiments.base.ragged import Ragged
from experiments.domains.translation.data import Words
from experiments.domains.translation.testing import translations
from experiments.figures.view import View
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
