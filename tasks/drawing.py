"""Rows of characters over time, folded to the width of a page."""

from collections.abc import Sequence

from torch import Tensor


def characters(codes: Tensor, table: Sequence[str], wide: int = 1) -> str:
    """One entry of the table for each code, in columns of so many characters; -1 is its last."""
    return "".join(f"{table[code]:{wide}}" for code in codes.long().tolist())


def ruler(steps: int, wide: int = 1) -> str:
    """Step numbers, of narrow columns every tenth, each starting at its own column."""
    every = 10 if wide == 1 else 1
    return "".join(f"{step:<{every * wide}}" for step in range(0, steps, every))


def fold(rows: list[tuple[str, str]], width: int, wide: int = 1) -> list[str]:
    """Lines of (label, characters) rows, in blocks no wider than `width`.

    wide: characters of a column. A block leaves out rows that are blank in it. ValueError for a width below 40.
    """
    if not isinstance(width, int) or width < 40:
        raise ValueError(f"width must be a whole number of at least 40, got {width!r}")
    margin = max(len(label) for label, _ in rows) + 2
    block = 10 if wide == 1 else wide
    columns = max((width - margin) // block, 1) * block
    lines = []
    for start in range(0, len(rows[0][1]), columns):
        blocks = [(label, row[start : start + columns]) for label, row in rows]
        lines += ["", *(f"{label:{margin}}{block}".rstrip() for label, block in blocks if block.strip())]
    return lines
