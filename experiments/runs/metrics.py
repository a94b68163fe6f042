"""metrics.jsonl, the record of truth of a run: one JSON object a line, one line a logged step.

    {"step": 100, "sequences": 1600, "train/loss": 0.31, "perf/seconds": 12.5}

`step` counts optimiser steps, `sequences` the training sequences seen so far. Keys that begin with
"perf/" hold wall-clock values, which differ from machine to machine; all others are reproducible.
JSON has no NaN or infinity, so these are the strings "NaN", "Infinity" and "-Infinity".
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from experiments.base.files import UserError, write_whole
from experiments.base.reading import MOST_LINES_BYTES, expect, parse_json, read_bytes

_Flat = dict[str, float | bool | str | None]
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class _Counted(TypedDict):
    step: int
    sequences: NotRequired[int]


class MetricsFile:
    """The open metrics.jsonl of a running training, made if absent and only ever appended to.

    Each row reaches the operating system before `append` returns, so that a killed process loses
    no whole row. A torn last line, which a full disk or a power failure may have left, is removed
    on opening. OSError (full disk) passes up, and the file then ends with the last whole row.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        content = self.path.read_bytes() if self.path.exists() else b""
        if content and not content.endswith(b"\n"):
            write_rows(self.path, read_metrics(self.path))
        self._file = self.path.open("ab", buffering=0)

    def append(self, row: Mapping[str, object]) -> None:
        """Add one flat row; its values are floats, integers, booleans, strings or None."""
        line = _to_line(row)
        whole = os.fstat(self._file.fileno()).st_size
        written = 0
        try:
            written = self._file.write(line)
        finally:
            if written != len(line):
                self._file.truncate(whole)
        if written != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def close(self) -> None:
        """Close the file; every row is already on its way to the disk."""
        self._file.close()

    def __enter__(self) -> MetricsFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a metrics file, in the order in which they were written.

    What follows the last newline is the torn end of a killed run: it is left out unless it is a
    whole row. Any other line that is no flat JSON object with a step is a UserError, as is a missing file.
    """
    return _read(Path(path), _metrics_row)


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Return the rows of any file that `write_rows` wrote; otherwise as `read_metrics`."""
    return _read(Path(path), _row)


def _read(path: Path, row_of: Callable[[bytes, str], dict[str, Any]]) -> list[dict[str, Any]]:
    try:
        *lines, torn = read_bytes(path, MOST_LINES_BYTES).split(b"\n")
    except FileNotFoundError:
        raise UserError(f"no such file: {path}") from None
    rows = [row_of(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]
    with contextlib.suppress(UserError):
        rows.append(row_of(torn, str(path)))
    return rows


def write_rows(path: str | Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a file of such rows, at once or not at all."""
    write_whole(path, b"".join(map(_to_line, rows)))


def cut(path: str | Path, step: int) -> None:
    """Drop every row later than `step`, at once or not at all.

    For a run that goes on from its checkpoint of that step: what was logged after it is lost work.
    """
    path = Path(path)
    write_rows(path, [row for row in read_metrics(path) if row["step"] <= step])


def _to_line(row: Mapping[str, object]) -> bytes:
    """One line of strict JSON. repr of a float is its shortest exact form, so nothing is rounded."""
    values = {key: _finite_or_name(value) for key, value in row.items()}
    return json.dumps(values, allow_nan=False).encode() + b"\n"


def _finite_or_name(value: object) -> object:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def from_line(line: bytes) -> dict[str, Any] | None:
    """The row of metrics in a line, None where it holds none."""
    try:
        return _metrics_row(line, "a line")
    except UserError:
        return None


def _metrics_row(line: bytes, where: str) -> dict[str, Any]:
    row = _row(line, where)
    expect(row, _Counted, where)
    return row


def _row(line: bytes, where: str) -> dict[str, Any]:
    row = parse_json(line, where)
    expect(row, _Flat, where)
    return {key: _NOT_FINITE.get(one, one) if isinstance(one, str) else one for key, one in row.items()}
