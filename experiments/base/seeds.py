"""Independent random streams from one seed."""

from typing import Literal

import numpy as np
import torch

_STREAMS = {"weights": 0, "train": 1, "valid": 2, "test": 3}


def generator_for(stream: Literal["weights", "train", "valid", "test"], seed: int, *more: int) -> torch.Generator:
    """A generator for one purpose, with a stream of its own for each purpose, seed and further numbers.

    Zeros at the end of the numbers make no difference.
    """
    mixed = np.random.SeedSequence([_STREAMS[stream], seed, *more]).generate_state(1, np.uint32)
    return torch.Generator().manual_seed(int(mixed[0]))
