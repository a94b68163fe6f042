"""What single units of a model do along a text, and which of them people can read something into."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.files import UserError
from experiments.looks import at_rest
from memnet import LanguageModel, LSTMState, RNNState
from memnet.cells import State
from memnet.ntm import NTMState

Values = NDArray[np.float64]

# Units that are drawn where nothing is known to look for.
_LIVELIEST = 4


class Unit(NamedTuple):
    """One unit to draw. layer, number: counted from 1. why: what it was chosen for. values: (character,)."""

    layer: int
    number: int
    why: str
    values: Values


def activations(model: LanguageModel, symbols: Tensor) -> list[Values]:
    """What every unit is after each symbol of a text, layer by layer (character, unit).

    Of an LSTM it is the memory cell, of other networks the hidden state; of an NTM its controller's. Layers without a
    state have none.
    symbols: (character,) int64.
    """
    layers: list[list[Tensor]] = []
    with at_rest(model):
        state = None
        for symbol in symbols.view(-1, 1, 1).to(model.sequence.readout.weight.device).unbind():
            _, state = model(symbol, state)
            layers.append([one[0].double().cpu() for one in _units(state)])
    return [torch.stack(steps).numpy() for steps in zip(*layers, strict=True)]


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


def choose_units(layers: Sequence[Values], text: str) -> list[Unit]:
    """For each feature of the text the unit with the largest correlation with it; without features the liveliest.

    Correlation is Pearson's r over the text, of which the sign does not count; lively is a large standard deviation.
    """
    named = [(layer, number) for layer, values in enumerate(layers) for number in range(values.shape[1])]
    if not named:
        return []
    values = np.concatenate(layers, 1)
    deviation = values.std(0)
    chosen = []
    for name, feature in features(text).items():
        together = ((values - values.mean(0)) * (feature - feature.mean())[:, None]).mean(0)
        correlation = np.where(deviation > 1e-9, together / (np.maximum(deviation, 1e-9) * feature.std()), 0.0)
        best = int(np.abs(correlation).argmax())
        chosen.append((best, f"{name}, r = {correlation[best]:.2f}"))
    if not chosen:
        liveliest = np.argsort(-deviation)[:_LIVELIEST].tolist()
        chosen = [(unit, f"deviation {deviation[unit]:.2f}") for unit in liveliest]
    return [Unit(named[unit][0] + 1, named[unit][1] + 1, why, values[:, unit]) for unit, why in chosen]


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


def _units(state: State) -> list[Tensor]:
    """The units of every layer in a cell's state: (batch, unit)."""
    if isinstance(state, NTMState):
        return _units(state.controller)
    if isinstance(state, LSTMState):
        return [state.cell]
    if isinstance(state, RNNState):
        return [state.hidden]
    return [unit for layer in state for unit in _units(layer)]
