"""What a benchmark found, as text and as the panels of a picture."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch

from experiments.base.terminal import columns
from experiments.benchmark.cases import SIZES, Case
from experiments.figures.growth import GrowthPanel

Row: TypeAlias = dict[str, Any]
MIB = 1 << 20
_MILLION = 1e6


def machine(device: str) -> str:
    """The processor, or the GPU, by name."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()} ({os.cpu_count()} cores)"


def time_text(rows: Sequence[Row], where: str) -> str:
    """A table for every case, beneath a line about the machine."""
    return "\n\n".join([where, *map(_time_table, rows)])


def _time_table(row: Row) -> str:
    flop = row["flop"]
    lines = [["", "median ms", "quartiles ms", "times the floor", "eager / this", "this / base", "samples"]]
    for found in row["variants"]:
        low, high = map(number, found["quartiles_ms"])
        way = found["name"] if found["name"] == found["used"] else f"{found['name']} ({found['used']})"
        ratios = [number(found[name]) for name in ("over_floor", "eager_over_this", "over_base")]
        lines.append([way, number(found["median_ms"]), f"{low} to {high}", *ratios, str(found["samples"])])
    return "\n".join(
        [
            f"{row['case']}, {row['dtype']}",
            f"{number(flop['total'] / _MILLION)} MFLOP ({number(flop['products'] / _MILLION)} in matrix products) "
            f"at {number(row['peak_gflop_per_second'])} GFLOP/s, the machine's best product: "
            f"floor {number(row['floor_ms'])} ms",
            columns(lines),
            *_left_out(row),
        ]
    )


def memory_text(rows: Sequence[Row], where: str) -> str:
    """A table of all cases, each with its ratio to the first case of the same model."""
    lines = [["", "backend", "gradient", "peak MiB", "to the first", "kept KiB a step"]]
    first: dict[tuple[str, ...], float] = {}
    for row in rows:
        for found in row["variants"]:
            key = (row["model"], found["name"], found["gradient"])
            start = first.setdefault(key, found["peak_mib"])
            ratio = number(found["peak_mib"] / start) if start else "-"
            kept = found["kept_mib_a_step"]
            per_step = "-" if kept is None else number(1024 * kept)
            lines.append([row["case"], *key[1:], number(found["peak_mib"]), ratio, per_step])
    notes = dict.fromkeys(note for row in rows for note in _left_out(row))
    return "\n".join([where, "", columns(lines), *notes])


def growth_panels(found: Mapping[Case, Row]) -> list[GrowthPanel]:
    """A panel for every model, mode and size that has several values; found: what was measured, by case."""
    panels = []
    for name in dict.fromkeys(case.name for case in found):
        own = [case for case in found if case.name == name]
        for size in SIZES:
            # The first is the base.
            along = [case for case in own if dataclasses.replace(case, **{size: getattr(own[0], size)}) == own[0]]
            if len(along) > 1:
                base = [words for kind, words in own[0].sizes().items() if kind != size]
                title = f"{name}\n{', '.join(base)}"
                words = own[0].unit if size == "length" else SIZES[size]
                panels.append(GrowthPanel(title, words, _lines([found[case] for case in along], size)))
    return panels


def _lines(rows: Sequence[Row], size: str) -> dict[str, list[tuple[float, float, float, float]]]:
    lines: dict[str, list[tuple[float, float, float, float]]] = {}
    for row in rows:
        for found in row["variants"]:
            if "median_ms" in found:
                lines.setdefault(found["name"], []).append((row[size], found["median_ms"], *found["quartiles_ms"]))
                continue
            for what, value in ((found["gradient"], found["peak_mib"]), ("kept a step", found["kept_mib_a_step"])):
                if value:
                    lines.setdefault(f"{found['name']}, {what}", []).append((row[size], *[value] * 3))
        if "floor_ms" in row:
            lines.setdefault("floor", []).append((row[size], *[row["floor_ms"]] * 3))
    return lines


def _left_out(row: Row) -> list[str]:
    return [f"{row['model']}: without {way}, {reason}" for way, reason in row["left_out"].items()]


def number(value: float) -> str:
    """Three digits, all of those before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
