"""Rows of characters over time, folded to the width of a page."""

from torch import Tensor


def characters(codes: Tensor, table: str) -> str:
    """One character of the table for each code; -1 is its last."""
    return "".join(table[code] for code in codes.long().tolist())


def ruler(steps: int) -> str:
    """Step numbers, every tenth, each starting at its own column."""
    return "".join(f"{step:<10}" for step in range(0, steps, 10))


def fold(rows: list[tuple[str, str]], width: int) -> list[str]:
    """Lines of (label, characters) rows, in blocks no wider than `width`.

    A block leaves out rows that are blank in it. ValueError for a width below 40.
    """
    if not isinstance(width, int) or width < 40:
        raise ValueError(f"width must be a whole number of at least 40, got {width!r}")
    margin = max(len(label) for label, _ in rows) + 2
    columns = (width - margin) // 10 * 10
    lines = []
    for start in range(0, len(rows[0][1]), columns):
        blocks = [(label, row[start : start + columns]) for label, row in rows]
        lines += ["", *(f"{label:{margin}}{block}".rstrip() for label, block in blocks if block.strip())]
    return lines
