"""Arrays small enough to lie within a page."""

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from experiments.base.files import UserError

# Steps of a sequence: a few seconds, and a tenth of a gigabyte beside the memory.
MOST_STEPS = 20_000
# Numbers of one model's memory over time: 0.7 GB while they are computed, 0.2 GB in the browser.
MOST_NUMBERS = 1 << 25
# Three digits after the point, unless the largest number would then not fit.
_FINEST, _LARGEST, _NOT_FINITE = 1e-3, 32767, -32768


def pack(values: Tensor | NDArray[Any]) -> dict[str, Any]:
    """An array as {shape, scale, data}, with the first axis that of time where it has one; decode.js is the inverse.

    data: base64 of zlib of little-endian int16: the differences along the first axis of the numbers divided by
          `scale` and rounded, first the first row itself. -32768 stands for what is not finite.
    """
    array = np.asarray(values, dtype=np.float32)
    finite = np.isfinite(array)
    largest = float(np.abs(array).max(initial=0, where=finite))
    scale = max(_FINEST, largest / _LARGEST)
    whole = np.full(array.shape, _NOT_FINITE, dtype="<i2")
    whole[finite] = np.rint(array[finite] / scale)
    # Differences wrap around, and so do their sums.
    changes = np.concatenate([whole[:1], whole[1:] - whole[:-1]])
    data = base64.b64encode(zlib.compress(changes.tobytes(), 9)).decode()
    return {"shape": list(array.shape), "scale": scale, "data": data}


def check_room(what: str, steps: int, *sizes: int) -> None:
    """UserError where so many steps, or numbers, the product of all sizes, are more than a page can show."""
    if steps > MOST_STEPS:
        raise UserError(f"{what}: {steps:,} steps, the inspector shows at most {MOST_STEPS:,}; take a smaller --length")
    count = steps
    for size in sizes:
        count *= size
    if count > MOST_NUMBERS:
        raise UserError(
            f"{what}: {count:,} numbers of memory over time, the inspector shows at most {MOST_NUMBERS:,}; "
            "take a smaller --length or --num-slots"
        )
