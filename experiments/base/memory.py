"""What is told where there is not enough memory, or a size is beyond all memory."""

import re

from experiments.base.files import first_line

_ASKED = re.compile(r"tried to allocate (\d[\d.]*) ?(\w*)", re.IGNORECASE)
_BEYOND = re.compile("out of memory|allocate memory|overflow|invalid shape dimension|unable to allocate", re.IGNORECASE)


def shortage(error: BaseException) -> str | None:
    """One line about an error that comes of too large a size, None for any other error."""
    text = " ".join(str(error).split())
    if not isinstance(error, MemoryError | OverflowError) and not _BEYOND.search(text):
        return None
    asked = _ASKED.search(text)
    told = f": {_bytes(asked[1], asked[2])} were asked for at once" if asked else ""
    return f"not enough memory{told}; smaller sizes, batches or lengths need less"


def in_one_line(error: BaseException) -> str:
    """Why something could not be made or run: that memory is short, else the first line that the error has."""
    return shortage(error) or first_line(error)


def no_model(error: Exception) -> str:
    """One line about why a model of these sizes cannot be."""
    return f"no such model: {in_one_line(error)}"


def _bytes(number: str, unit: str) -> str:
    """52000000000000 bytes as 52 TB; what has another unit as it is."""
    if unit != "bytes":
        return f"{number} {unit}".strip()
    size = float(number)
    for name, one in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= one:
            return f"{size / one:,.3g} {name}"
    return f"{number} bytes"
