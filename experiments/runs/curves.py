"""Curves with no more points than a screen shows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.base.curves import Curve, Numbers, columns, quartiles_of_seeds, running_median

# Points of one run's curve in a band, and of the band.
POINTS = 150
_BUCKETS = 60
_GRID = 4000
# Beyond it whole numbers are no counts.
_MOST = 2**63


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
