"""The demonstration as tables."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.base.tables import Cell, Table
from experiments.gradients.measuring import TOLD_LAGS, Clipped, half_life

# Powers of ten within which a gradient counts as kept.
_KEPT = 3


def propagation_table(found: Mapping[str, NDArray[np.float64]], lags: Sequence[int]) -> Table:
    """Norms of the propagation term; found: by network, log10 of them (seed, lag)."""
    told = sorted({lag for lag in TOLD_LAGS if lag <= lags[-1]} | {lags[-1]})
    head = ["network", *(f"{lag} step{'s' if lag > 1 else ''}" for lag in told), "half-life, steps", "its gradient"]
    rows = []
    for name, curves in found.items():
        middle = np.median(curves, 0)
        half = half_life(lags, middle)
        cells = [_power_cell(curves[:, lags.index(lag)]) for lag in told]
        life = Cell("-" if half is None else f"{half:.3g}", half)
        rows.append([Cell(name), *cells, life, Cell(_in_words(curves[:, -1]))])
    notes = [
        "Median over the seeds of the spectral norm of ds_T/ds_(T-k), by which a gradient changes at the most on its "
        "way back over k steps. Half-life: the lag beyond which this median stays below one half (- where it does "
        f"not). A gradient vanishes where the norm over all {lags[-1]} steps is below 1e-{_KEPT}, explodes where it "
        f"is above 1e{_KEPT}, and is kept in between; with the number of seeds where they differ."
    ]
    return Table(f"The propagation term over k of {lags[-1]} steps", head, rows, notes)


def clipping_table(found: Mapping[str, Clipped], steps: int, clip_norm: float) -> Table:
    """What clipping changes; found: by network."""
    head = ["network", "gradient's norm", f"clipped to {clip_norm:g}", "share of the older half", "the same, clipped"]
    rows = [
        [
            Cell(name),
            _power_cell(one.norms[:, -1]),
            _power_cell(one.clipped[:, -1]),
            _power_cell(one.old),
            _power_cell(one.old_clipped),
        ]
        for name, one in found.items()
    ]
    notes = [
        f"The gradient, by all weights, of a random direction of the last of {steps} outputs; medians. Clipping bounds "
        "the norm, and so the size of an update, and is one factor for all steps: what a step far back contributes "
        "beside a near one stays as it was, so that it brings nothing back where the gradient has vanished, nor the "
        "recent steps where those far back drown them. The propagation term is a matter of the weights: no row of the "
        "table above changes."
    ]
    return Table("Clipping", head, rows, notes)


def power(log: float) -> str:
    """A number, given by its log10, with two digits, also where it is no float any more."""
    if not math.isfinite(log):
        return "0" if log < 0 else "infinite"
    if -3 < log < 4:
        return f"{10**log:.2g}" if log < 2 else f"{10**log:,.0f}"
    exponent = math.floor(log)
    digits = f"{10 ** (log - exponent):.1f}"
    return f"1.0e{exponent + 1}" if digits == "10.0" else f"{digits}e{exponent}"


def plain(logs: NDArray[np.float64]) -> Any:
    """Numbers for JSON, to six decimals; it has no infinity: None is log10 of zero."""
    values = logs.round(6).astype(object)
    values[~np.isfinite(logs)] = None
    return values.tolist()


def _power_cell(logs: NDArray[np.float64]) -> Cell:
    """The median of numbers given by their log10, which are the value."""
    return Cell(power(float(np.median(logs))), plain(logs))


def _in_words(logs: NDArray[np.float64]) -> str:
    words = ["vanishes" if log < -_KEPT else "explodes" if log > _KEPT else "is kept" for log in logs]
    counts = Counter(words).most_common()
    return words[0] if len(counts) == 1 else ", ".join(f"{word} ({count})" for word, count in counts)
