"""Learning curves as numbers: of one run, and of many seeds together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# (sequences seen in thousands, bits per sequence), in the order of the first
Curve: TypeAlias = list[tuple[float, float]]
Numbers: TypeAlias = NDArray[np.float64]


def curve_of_rows(
    rows: Sequence[Mapping[str, Any]], key: str = "valid/bits_per_sequence", seen: str = "sequences"
) -> Curve:
    """One column of metrics.jsonl as a curve, by thousands of another; rows without it are left out, NaN stays."""
    pairs = [
        (row[seen] / 1000, float(row[key])) for row in rows if row.get(key) is not None and row.get(seen) is not None
    ]
    return sorted(pairs, key=lambda pair: pair[0])


def columns(curve: Sequence[tuple[float, float]]) -> tuple[Numbers, Numbers]:
    """The x and the y values of a curve, each (point,)."""
    values = np.array(curve, dtype=float).reshape(-1, 2)
    return values[:, 0], values[:, 1]


def first_below(curve: Sequence[tuple[float, float]], limit: float) -> float | None:
    """Where the curve is first under `limit`, in its x units; None if it never is."""
    return next((x for x, y in curve if y < limit), None)


def running_median(curve: Sequence[tuple[float, float]], points: int = 500) -> Curve:
    """The curve without its spikes: at most `points` medians of a twentieth of the finite values around each.

    At both ends the stretch is cut short on one side.
    """
    x, y = columns(curve)
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    half = len(y) // 40
    if not len(y):
        return []
    centres = np.unique(np.linspace(0, len(y) - 1, points).round().astype(int))
    return [(float(x[i]), float(np.median(y[max(0, i - half) : i + half + 1]))) for i in centres]


def quartiles_of_seeds(curves: Sequence[Sequence[tuple[float, float]]]) -> tuple[Numbers, Numbers]:
    """Lower quartile, median and upper quartile over seeds, at every x that any seed has.

    Returns x (point,) and the quartiles (3, point). Between its points a seed is interpolated. One
    that ended early counts with its last value, one that starts late with its first, and a value
    that is not finite counts as worse than all others: a quartile that falls on it is infinite.
    """
    known = [columns(curve) for curve in curves if len(curve)]
    if not known:
        return np.empty(0), np.empty((3, 0))
    grid = np.unique(np.concatenate([x for x, _ in known]))
    # Interpolating infinities would give NaN.
    worst = 1e300
    values = [np.interp(grid, x, np.where(np.isfinite(y), y, worst)) for x, y in known]
    quartiles = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
    return grid, np.where(quartiles > worst / 1e6, np.inf, quartiles)
