"""What single units of a model do along a text, and which of them people can read something into."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.base.files import UserError
from experiments.training.looks import at_rest
from memnet import LanguageModel, Part

Values = NDArray[np.float64]

# Characters of which all that the model did is kept at once.
_CHUNK = 250
# Units that are drawn where nothing is known to look for.
_LIVELIEST = 4
# How often at most any feature may seem to be followed by chance.
_CHANCE = 0.05


class Unit(NamedTuple):
    """One unit to draw. layer, number: counted from 1. why: what it was chosen for. values: (character,)."""

    layer: int
    number: int
    why: str
    values: Values


def activations(model: LanguageModel, symbols: Tensor) -> list[Values]:
    """What every unit is after each symbol of a text, layer by layer (character, unit).

    It is the last that a cell keeps by unit: of an LSTM the memory cell, of other networks the hidden state; of an NTM
    its controller's. Layers without a state have none.
    symbols: (character,) integers.
    """
    layers: list[list[Tensor]] = []
    with at_rest(model):
        state = None
        for chunk in symbols.long().to(model.sequence.readout.weight.device).split(_CHUNK):
            trace = model.trace(chunk.unsqueeze(0), state)
            layers.append([part.values[0].double().cpu() for part in _units(trace.parts)])
            state = trace.state
    return [torch.cat(chunks).numpy() for chunks in zip(*layers, strict=True)]


def features(text: str) -> dict[str, Values]:
    """What one may look for in a unit, as numbers along a text (character,); only what changes within it.

    inside brackets: how many round and square ones are open. inside quotes: 0 or 1. place in the line, place in the
    word: characters since its beginning.
    """
    depth, quoted, line, word = 0, False, 0, 0
    rows: list[list[float]] = []
    for character in text:
        depth = max(depth + (character in "([") - (character in ")]"), 0)
        quoted ^= character == '"'
        line = 0 if character == "\n" else line + 1
        word = word + 1 if re.match(r"\w", character) else 0
        rows.append([depth, quoted, line, word])
    names = ["inside brackets", "inside quotes", "place in the line", "place in the word"]
    found = dict(zip(names, np.array(rows, dtype=float).T, strict=True))
    # Without lines or words, their places only count the characters.
    if "\n" not in text:
        del found["place in the line"]
    if re.fullmatch(r"\w*", text):
        del found["place in the word"]
    return {name: values for name, values in found.items() if values.std() > 0}


def choose_units(layers: Sequence[Values], text: str) -> tuple[list[Unit], list[str]]:
    """For each feature of the text the unit that follows it best, and in words the features that no unit follows.

    Without a unit that follows something, the liveliest, which have the largest standard deviation. A unit follows a
    feature where its correlation over the text, Pearson's r, of which the sign does not count, is above what chance
    gives, see `chance_bound`.
    """
    named = [(layer, number) for layer, values in enumerate(layers) for number in range(values.shape[1])]
    if not named:
        return [], []
    values = np.concatenate(layers, 1)
    wanted = features(text)
    chosen, without = [], []
    for name, feature in wanted.items():
        correlations = correlations_by_shift(values, feature)
        best = int(np.abs(correlations[0]).argmax())
        bound = chance_bound(correlations, _CHANCE / len(wanted))
        told = f"r = {correlations[0, best]:.2f}"
        if abs(correlations[0, best]) > bound:
            chosen.append((best, f"{name}, {told} (chance: {bound:.2f})"))
        else:
            without.append(f"no unit follows '{name}': at best {told} (chance: {bound:.2f})")
    if not chosen:
        deviation = values.std(0)
        liveliest = np.argsort(-deviation)[:_LIVELIEST].tolist()
        chosen = [(unit, f"deviation {deviation[unit]:.2f}") for unit in liveliest]
    return [Unit(named[unit][0] + 1, named[unit][1] + 1, why, values[:, unit]) for unit, why in chosen], without


def correlations_by_shift(values: Values, feature: Values) -> Values:
    """Pearson's r of every unit with a feature that is moved on by 0, 1, 2, ... characters round the text.

    values: (character, unit). feature: (character,). Returns (shift, unit); 0 for a unit that does not change.
    """
    count = len(feature)
    moved = values - values.mean(0)
    spread = np.maximum(moved.std(0), 1e-9) * feature.std()
    spectrum = np.fft.rfft(moved, axis=0) * np.fft.rfft(feature - feature.mean()).conj()[:, None]
    together = np.fft.irfft(spectrum, count, axis=0) / count
    return np.where(moved.std(0) > 1e-9, together / spread, 0.0)


def chance_bound(correlations: Values, level: float) -> float:
    """The magnitude of r that the best of all units stays below by chance, but for a share `level` of cases.

    Chance is the feature at a wrong place of the text: moved on round its end it has kept its own course, but has
    nothing to do with the units any more. So the bound knows how many units were looked at, how long the text is and
    how slowly both change. A text too short for that share gives the largest r at any wrong place.
    correlations: (shift, unit), as from `correlations_by_shift`.
    """
    wrong = np.abs(correlations[1:]).max(1, initial=0)
    return float(np.quantile(wrong, 1 - level, method="higher")) if len(wrong) else math.inf


def named_units(layers: Sequence[Values], cells: Sequence[str]) -> list[Unit]:
    """The units that a person names, each as LAYER.UNIT counted from 1; UserError where there is no such one."""
    units = []
    for cell in cells:
        match = re.fullmatch(r"(\d+)\.(\d+)", cell)
        layer, number = (int(match[1]), int(match[2])) if match else (0, 0)
        if not (1 <= layer <= len(layers) and 1 <= number <= layers[layer - 1].shape[1]):
            sizes = ", ".join(f"{k}.1 to {k}.{values.shape[1]}" for k, values in enumerate(layers, start=1))
            raise UserError(f"--cells {cell}: there is no such unit, expected LAYER.UNIT: {sizes or 'there are none'}")
        units.append(Unit(layer, number, "", layers[layer - 1][:, number - 1]))
    return units


def _units(parts: Sequence[Part]) -> list[Part]:
    """The units of every layer, the last of its states (time, unit)."""
    states = [part for part in parts if part.kind == "signal" and part.axes == ("time", "unit")]
    # The names of what a layer does end in its number.
    return list({part.name.partition(", ")[2]: part for part in states}.values())
