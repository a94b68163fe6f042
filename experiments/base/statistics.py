"""What is said of several seeds: quartiles that know of runs that never arrived, and how sure one can be."""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

RESAMPLES = 10_000
# Two-sided 95 %.
_LEVEL = 0.95
_NORMAL_QUANTILE = 1.959964


class Interval(NamedTuple):
    """Where a number lies with 95 % confidence; infinite where it may never be reached."""

    low: float
    high: float


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies, linear between neighbours; infinity is a value as any other.

    ValueError for no values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    part = place - math.floor(place)
    return high if math.isinf(high) and part > 0 else low if part == 0 else low + part * (high - low)


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation of a sample; None for less than two values, and where one is not finite."""
    return statistics.stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None


def bootstrap(values: Sequence[float], statistic: Callable[[Any], Any]) -> Interval | None:
    """Percentile bootstrap of a statistic, 10,000 samples from a fixed seed; None for less than two values.

    statistic: of an array (sample, value) along its last axis.
    """
    if len(values) < 2:
        return None
    numbers = np.asarray(values, dtype=float)
    drawn = numbers[np.random.default_rng(0).integers(len(numbers), size=(RESAMPLES, len(numbers)))]
    return percentiles(statistic(drawn))


def percentiles(drawn: Any) -> Interval:
    """Where the middle 95 % of an array of samples lie."""
    found = np.sort(drawn)
    edge = (1 - _LEVEL) / 2
    low, high = (found[min(int(share * len(found)), len(found) - 1)] for share in (edge, 1 - edge))
    return Interval(float(low), float(high))


def student_quantile(freedom: int) -> float:
    """How many standard deviations hold 95 % of Student's distribution, with so many degrees of freedom, at least 1.

    With x = sqrt(freedom) tan(a) its density is that of cos(a)^(freedom - 1), which is summed over a fine grid.
    """
    angles = np.linspace(0, math.pi / 2, 200_001)
    density = np.cos(angles) ** (freedom - 1)
    held = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return float(math.sqrt(freedom) * math.tan(np.interp(_LEVEL, held / held[-1], angles)))


def medians(drawn: Any) -> Any:
    """The median along the last axis, infinite where the upper of its middle values is."""
    ordered = np.sort(drawn, axis=-1)
    size = ordered.shape[-1]
    low, high = ordered[..., (size - 1) // 2], ordered[..., size // 2]
    return np.where(np.isinf(high), high, (low + np.where(np.isinf(high), 0, high)) / 2)


def success_interval(successes: int, tries: int) -> Interval:
    """Wilson's interval for a share (Wilson 1927), which is not certain of a share of which all tries succeeded.

        (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    tries: at least 1.
    """
    share, square = successes / tries, _NORMAL_QUANTILE**2
    middle = share + square / (2 * tries)
    width = _NORMAL_QUANTILE * math.sqrt(share * (1 - share) / tries + square / (4 * tries**2))
    whole = 1 + square / tries
    # Exactly 0 and 1 at the ends, where rounding would miss them.
    low = (middle - width) / whole if successes else 0.0
    return Interval(low, (middle + width) / whole if successes < tries else 1.0)
