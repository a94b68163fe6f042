"""Learning curves as numbers: of one run, and of many seeds together, with no more points than a screen shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# (sequences seen in thousands, bits per sequence), in the order of the first
Curve: TypeAlias = list[tuple[float, float]]
Numbers: TypeAlias = NDArray[np.float64]
# Points of one run's curve in a band, and of the band.
POINTS = 150
_BUCKETS = 60
_GRID = 4000
# Beyond it whole numbers are no counts.
_MOST = 2**63


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


def thinned(curve: Curve) -> Curve:
    """At most about 120 points of the curve: the lowest and the highest of each stretch, and both ends.

    Where a stretch has values that are not finite, the first of them stays, too.
    """
    if len(curve) <= 2 * _BUCKETS:
        return curve
    _, y = columns(curve)
    keep = {0, len(y) - 1}
    for stretch in np.array_split(np.arange(len(y)), _BUCKETS):
        finite = np.isfinite(y[stretch])
        if finite.any():
            known = stretch[finite]
            keep |= {int(known[y[known].argmin()]), int(known[y[known].argmax()])}
        if not finite.all():
            keep.add(int(stretch[~finite][0]))
    return [curve[k] for k in sorted(keep)]


def smoothed(curve: Curve) -> Curve:
    """A long curve as its running median, a short one as it is; a last value that is not finite stays."""
    if len(curve) <= POINTS:
        return curve
    lost = [curve[-1]] if not np.isfinite(curve[-1][1]) else []
    return running_median(curve, POINTS) + lost


def band(curves: Sequence[Curve]) -> dict[str, list[float | None]] | None:
    """Median and middle half of the seeds, see `quartiles_of_seeds`, on at most POINTS places; None without values.

    curves: of every seed, as from `smoothed`.
    """
    known = [curve for curve in curves if curve]
    if not known:
        return None
    most = max(20, min(POINTS, _GRID // len(known)))
    x, quartiles = quartiles_of_seeds([[curve[k] for k in _places(len(curve), most)] for curve in known])
    places = _places(len(x), POINTS)
    lines = (x, *quartiles)
    return {name: rounded(line[places]) for name, line in zip(("x", "low", "middle", "high"), lines, strict=True)}


def pairs(curve: Curve) -> list[list[float | None]]:
    """A curve as [x values, y values]."""
    return [rounded(values) for values in columns(curve)]


def rounded(values: Numbers | Sequence[float]) -> list[float | None]:
    """Numbers with five digits, for a file; None for what is not finite."""
    return [short(value) for value in np.asarray(values, dtype=float).tolist()]


def short(value: Any) -> float | int | None:
    """A number with five digits; None for what is no finite number. Whole numbers keep all digits."""
    if not is_number(value) or not np.isfinite(value):
        return None
    if isinstance(value, int) or value.is_integer():
        return int(value)
    return float(f"{value:.5g}")


def is_number(value: object) -> bool:
    """Whether what a file holds is a number that can be computed with, finite or not."""
    return type(value) is float or (type(value) is int and abs(value) < _MOST)


def _places(count: int, most: int) -> list[int]:
    """At most so many of the indices below `count`, evenly, both ends among them."""
    found: list[int] = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)).tolist()
    return found
