"""metrics.jsonl, the record of truth of a run: one JSON object a line, one line a logged step.

    {"step": 100, "sequences": 1600, "train/loss": 0.31, "perf/seconds": 12.5}

`step` counts optimiser steps, `sequences` the training sequences seen so far. Keys that begin with
"perf/" hold wall-clock values, which differ from machine to machine; all others are reproducible.
JSON has no NaN or infinity, so these are the strings "NaN", "Infinity" and "-Infinity".
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from experiments.files import UserError, write_whole

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a metrics file, in the order in which they were written.

    What follows the last newline is the torn end of a killed run: it is left out unless it is a
    whole row. Any other line that is no JSON object is a UserError, as is a missing file.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        raise UserError(f"no such file: {path}") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        row = from_line(line)
        if row is not None:
            rows.append(row)
        elif number < len(lines):
            start = line[:60].decode(errors="replace")
            raise UserError(f"{path}, line {number}: not a JSON object: {start!r}")
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
    """The row in a line, None where it holds none."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict):
        return None
    return {key: _value(value) for key, value in row.items()}


def _value(stored: object) -> object:
    return _NOT_FINITE.get(stored, stored) if isinstance(stored, str) else stored
