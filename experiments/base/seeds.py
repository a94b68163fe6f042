"""Independent random streams from one seed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch

_STREAMS = {"weights": 0, "train": 1, "valid": 2, "test": 3, "noise": 4}


def generator_for(
    stream: Literal["weights", "train", "valid", "test", "noise"], seed: int, *more: int
) -> torch.Generator:
    """A generator for one purpose, with a stream of its own for each purpose, seed and further numbers.

    Zeros at the end of the numbers make no difference.
    """
    mixed = np.random.SeedSequence([_STREAMS[stream], seed, *more]).generate_state(1, np.uint32)
    return torch.Generator().manual_seed(int(mixed[0]))


@contextmanager
def drawing_weights(seed: int, *more: int) -> Iterator[None]:
    """Modules made within draw their weights from this seed and these numbers; torch's own stream stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator_for("weights", seed, *more).get_state())
        yield
