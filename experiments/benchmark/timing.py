"""Timing several things side by side, so that a busy machine is equally busy for all of them."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from experiments.benchmark.cases import Number
from experiments.benchmark.variants import Work

# Seconds that a sample takes at least, so that the clock and the first call's cold caches do not count.
_SHORTEST_SAMPLE = 0.02
_FEWEST_ROUNDS = 5
# Rows of the square matrices whose product is taken for the machine's peak: on one core, and on a CUDA device.
_SIZES, _CUDA_SIZES = (128, 256, 512), (2048, 4096, 8192)


class Timing(NamedTuple):
    """Seconds of one call: the median of the samples, their lower and upper quartile, and their number."""

    median: float
    low: float
    high: float
    samples: int


def time_side_by_side(
    works: Mapping[Any, Work], seconds: float, dtype: Number, device: str
) -> tuple[dict[Any, Timing], float]:
    """Time functions in rounds, each round all of them once in random order, and matrix products beside them.

    A sample is the mean of as many calls as take 20 ms.

    works:   by anything but a number.
    seconds: how long to go on; at least five rounds are made.
    Returns  the timing of each, and the machine's peak in operations a second: that of the fastest size of a square
             matrix product, by its median, too.
    """
    wait: Callable[[], object] = torch.cuda.synchronize if device == "cuda" else lambda: None
    products = _products(dtype, device)
    everything: dict[Any, Work] = {**works, **products}
    repeats = {key: math.ceil(_SHORTEST_SAMPLE / _sample(work, 1, wait)) for key, work in everything.items()}
    samples: dict[Any, list[float]] = {key: [] for key in everything}
    order, shuffle = list(everything), random.Random(0).shuffle
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < _FEWEST_ROUNDS or time.perf_counter() < end:
        shuffle(order)
        for key in order:
            samples[key].append(_sample(everything[key], repeats[key], wait))
        rounds += 1
    peak = max(2 * size**3 / statistics.median(samples[size]) for size in products)
    return {key: _timing(samples[key]) for key in works}, peak


def _sample(work: Work, repeats: int, wait: Callable[[], object]) -> float:
    wait()
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    wait()
    return (time.perf_counter() - start) / repeats


def _timing(samples: list[float]) -> Timing:
    low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
    return Timing(median, low, high, len(samples))


def _products(dtype: Number, device: str) -> dict[int, Work]:
    """Products of square matrices by their size, called once."""

    def product(size: int) -> Work:
        one, other = torch.rand(2, size, size, dtype=getattr(torch, dtype), device=device)
        result = one @ other
        return lambda: torch.mm(one, other, out=result)

    return {size: product(size) for size in (_CUDA_SIZES if device == "cuda" else _SIZES)}
