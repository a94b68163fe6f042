"""How far gradients reach in untrained networks, and what clipping does to them."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.base.seeds import generator_for
from experiments.gradients.networks import Network
from memnet.diagnostics.gradients import log_norms, propagation, weight_contributions

# Lags of the curves, evenly spaced on a logarithmic axis, and those of the table.
_POINTS, TOLD_LAGS = 40, (1, 10, 100, 500)


class Clipped(NamedTuple):
    """One network's gradient of a loss at the last step, by seed.

    norms:   (seed, lag) log10 of its norm when it is propagated through so many steps, for the lags of `lags_of`.
    clipped: (seed, lag) the same after clipping.
    old, old_clipped: (seed,) log10 of the share of it that comes from the older half of the steps, before and after.
    """

    norms: NDArray[np.float64]
    clipped: NDArray[np.float64]
    old: NDArray[np.float64]
    old_clipped: NDArray[np.float64]


def lags_of(steps: int) -> list[int]:
    """The lags at which a curve over so many steps is computed."""
    return sorted({round(lag) for lag in np.geomspace(1, steps, _POINTS)} | {lag for lag in TOLD_LAGS if lag <= steps})


def propagated(network: Network, seeds: Sequence[int], steps: int, before: int) -> NDArray[np.float64]:
    """log10 of the spectral norms of the propagation terms, (seed, lag) for the lags of `lags_of`."""
    curves = []
    for seed in seeds:
        cell, input, state = network.drawn(seed, steps, before)
        curves.append(log_norms(propagation(cell, input, state, lags=lags_of(steps)))[0].numpy() / math.log(10))
    return np.array(curves)


def half_life(lags: Sequence[int], curve: NDArray[np.float64]) -> float | None:
    """The lag beyond which a norm stays below one half, interpolated; None where it does not.

    curve: log10 of the norm at the lags; at lag 0 it is 1.
    """
    half = math.log10(0.5)
    above = [place for place, value in enumerate([0.0, *curve]) if value >= half]
    if above[-1] == len(curve):
        return None
    points = [(0, 0.0), *zip(lags, curve, strict=True)]
    (before, high), (after, low) = points[above[-1] : above[-1] + 2]
    return float(before + (after - before) * (half - high) / (low - high))


def clipping(network: Network, seeds: Sequence[int], steps: int, before: int, clip_norm: float) -> Clipped:
    """The gradient of a random direction of the last output, by all weights, clipped to a norm."""
    found = []
    for seed in seeds:
        cell, input, state = network.drawn(seed, steps, before)
        direction = torch.randn(cell.output_size, generator=generator_for("test", seed, 1), dtype=input.dtype)
        direction /= direction.norm()
        parts = weight_contributions(cell, input, partial(_last_along, direction), state)
        # One line a step, the last step first.
        by_step = torch.cat([part[1:].flatten(1) for part in parts.values()], 1).flip(0)
        norms = torch.linalg.vector_norm(by_step.cumsum(0), dim=1)[torch.tensor(lags_of(steps)) - 1]
        factors = (clip_norm / norms).clamp(max=1.0)
        found.append(
            Clipped(
                norms.log10().numpy(),
                (norms * factors).log10().numpy(),
                np.array(_old_share(by_step)),
                np.array(_old_share(by_step * factors[-1])),
            )
        )
    return Clipped(*(np.array(values) for values in zip(*found, strict=True)))


def _last_along(direction: Tensor, outputs: Tensor) -> Tensor:
    return outputs[0, -1] @ direction


def _old_share(by_step: Tensor) -> float:
    """Of contributions (step, weight), the last step first: log10 of the older half's norm in that of both halves."""
    middle = (len(by_step) + 1) // 2
    new, old = (torch.linalg.vector_norm(half.sum(0)) for half in (by_step[:middle], by_step[middle:]))
    return float((old / (old + new)).log10())
