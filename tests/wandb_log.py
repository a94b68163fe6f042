"""Read back the .wandb file of an offline run, to see what was really written.

The file is ":W&B", 0xBEE1, a version byte, then blocks of 32 KiB of LevelDB log records, each a
protobuf message. A killed run ends anywhere; what comes after the last whole record is left out.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_HEADER = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
_BLOCK = 32768
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


@dataclass
class RunLog:
    """What one .wandb file holds; exit_code is None if the run was cut off."""

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    step_metrics: dict[str, str] = field(default_factory=dict)
    exit_code: int | None = None


def read_run(folder: Path) -> RunLog:
    """Read the run of one `offline-run-...` folder."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("*.wandb")
    log = RunLog()
    for data in _records(path.read_bytes()):
        record = Record.FromString(data)
        match record.WhichOneof("record_type"):
            case "run":
                log.run = record.run
                _put(log.config, record.run.config.update)
            case "config":
                _put(log.config, record.config.update)
            case "history":
                log.history.append({})
                _put(log.history[-1], record.history.item)
            case "summary":
                _put(log.summary, record.summary.update)
            case "metric":
                log.step_metrics[record.metric.glob_name or record.metric.name] = record.metric.step_metric
            case "exit":
                log.exit_code = record.exit.exit_code
    return log


def _put(values: dict[str, Any], items: Any) -> None:
    for item in items:
        *outer, last = item.nested_key or [item.key]
        inner = values
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = json.loads(item.value_json)


def _records(data: bytes) -> Iterator[bytes]:
    assert data.startswith(_HEADER)
    position = len(_HEADER)
    parts: list[bytes] = []
    while True:
        if _BLOCK - position % _BLOCK < 7:
            position += _BLOCK - position % _BLOCK
        if position + 7 > len(data):
            return
        checksum, length, kind = struct.unpack_from("<IHB", data, position)
        part = data[position + 7 : position + 7 + length]
        if len(part) < length or zlib.crc32(part, zlib.crc32(bytes([kind]))) != checksum:
            return
        position += 7 + length
        parts = [part] if kind in (_FULL, _FIRST) else [*parts, part]
        if kind in (_FULL, _LAST):
            yield b"".join(parts)
