"""Time and memory of one step of a sequence over slots of a memory, of several models in one table and one picture."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from time import perf_counter
from typing import Any, NamedTuple

from experiments.base.files import UserError
from experiments.base.progress import working
from experiments.base.terminal import columns
from experiments.benchmark.cases import Case
from experiments.benchmark.memory import PLAIN, taken_memory
from experiments.benchmark.options import BenchmarkOptions
from experiments.benchmark.report import Row, number
from experiments.benchmark.timing import time_side_by_side
from experiments.benchmark.variants import Refused, Variant, Way, make_variant
from experiments.figures.growth import GrowthPanel

# What a training step may take of a line's next slots, as its last ones let expect; else the line ends before them.
_MOST_SECONDS, _MOST_BYTES = 10.0, 8 << 30
_KIB = 1024


class _Tried(NamedTuple):
    """A case on its line: what one training step took, in seconds, and kept for its backward pass, in bytes."""

    slots: int
    seconds: float
    kept: float


def measure_over_slots(cases: Sequence[Case], options: BenchmarkOptions) -> tuple[list[Row], list[str]]:
    """A row for each case and way to run it, and where lines end.

    All are timed side by side. A row's numbers are of one step of the sequence.
    """
    variants: dict[tuple[Case, Way], Variant] = {}
    kept: dict[tuple[Case, Way], float] = {}
    ends: list[str] = []
    ways: list[Way] = list(dict.fromkeys(["eager", *(options.backend or ("native",))]))
    for model in dict.fromkeys(case.model for case in cases):
        own = sorted((case for case in cases if case.model == model), key=lambda case: case.num_slots or 0)
        for way in ways:
            tried: list[_Tried] = []
            for case in own:
                try:
                    _expect_little(tried, case)
                    with working(f"trying {case}, {way}"):
                        variants[case, way] = make_variant(case, way)
                        taken = taken_memory(case, way, PLAIN, options.threads)
                        seconds = _seconds(variants[case, way])
                except Refused as refusal:
                    ends.append(f"{model} {way}, not at {case.num_slots:,} slots: {refusal}")
                    break
                kept[case, way] = taken.kept_a_step or 0.0
                tried.append(_Tried(case.num_slots or 0, seconds, kept[case, way] * case.length))
    print(f"timing {len(variants)} cases ...", file=sys.stderr, flush=True)
    works = {key: variant.work for key, variant in variants.items()}
    with working("timing"):
        timings, _ = time_side_by_side(works, options.seconds * len(works), options.dtype, options.device)
    if not timings:
        raise UserError(f"--slots-plot: no case could be measured: {ends[0]}")
    rows = []
    for (case, way), timing in timings.items():
        low, middle, high = (1e3 * one / case.length for one in (timing.low, timing.median, timing.high))
        measured = {"ms_a_step": middle, "quartiles_ms_a_step": [low, high], "samples": timing.samples}
        more = {"name": way, "used": variants[case, way].used, "kept_kib_a_step": kept[case, way] / _KIB}
        rows.append({"case": str(case), **dataclasses.asdict(case), **more, **measured})
    return rows, ends


def _seconds(variant: Variant) -> float:
    start = perf_counter()
    variant.work()
    return perf_counter() - start


def _expect_little(tried: Sequence[_Tried], case: Case) -> None:
    """Refused where a case would take too much: what grows as it last grew; after one case time with the slots, and
    memory with their square."""
    if not tried:
        return
    last, slots = tried[-1], case.num_slots or 0

    def expected(values: Sequence[float], power: float) -> float:
        if len(tried) > 1 and min(values[-2:]) > 0:
            power = math.log(values[-1] / values[-2]) / math.log(last.slots / tried[-2].slots)
        return float(values[-1] * (slots / last.slots) ** power)

    if (seconds := expected([one.seconds for one in tried], 1)) > _MOST_SECONDS:
        raise Refused(f"a training step would take some {seconds:,.0f} s")
    if (size := expected([one.kept for one in tried], 2)) > _MOST_BYTES:
        raise Refused(f"a training step would keep some {number(size / 2**30)} GiB")


def _line(row: Row) -> str:
    return f"{row['model']} {row['name']}"


def over_slots_text(rows: Sequence[Row], ends: Sequence[str], where: str) -> str:
    """A table of all rows, each with its ratios to its line's first and to the last line of the first model."""
    base = next(_line(row) for row in reversed(rows) if row["model"] == rows[0]["model"])
    head = ["", "slots", "ms a step", "to the first", f"to {base}", "kept KiB a step", "to the first", f"to {base}"]
    lines: list[list[str]] = [head]
    first: dict[str, Row] = {}
    of_base = {row["num_slots"]: row for row in rows if _line(row) == base}
    for row in rows:
        start, beside = first.setdefault(_line(row), row), of_base.get(row["num_slots"])
        cells = [_line(row), f"{row['num_slots']:,}"]
        for value in ("ms_a_step", "kept_kib_a_step"):
            ratios = [number(row[value] / one[value]) if one and one[value] else "-" for one in (start, beside)]
            cells += [number(row[value]), *ratios]
        lines.append(cells)
    sizes = ", ".join(words for kind, words in _words_of(rows[0]).items() if kind != "num_slots")
    return "\n".join([where, "", f"one step of training, of {sizes}", columns(lines), *ends])


def _words_of(row: Row) -> dict[str, str]:
    fields = {field.name: row[field.name] for field in dataclasses.fields(Case)}
    return Case(**fields).sizes()


def over_slots_panels(rows: Sequence[Row]) -> list[GrowthPanel]:
    """A panel of time, and one of memory where sequences are long enough to tell what a further step keeps."""
    times: dict[str, list[Any]] = {}
    sizes: dict[str, list[Any]] = {}
    for row in rows:
        times.setdefault(_line(row), []).append((row["num_slots"], row["ms_a_step"], *row["quartiles_ms_a_step"]))
        if kept := row["kept_kib_a_step"]:
            sizes.setdefault(_line(row), []).append((row["num_slots"], *[kept] * 3))
    panels = [
        GrowthPanel("time of a training step", "slots", times, "ms a step of the sequence"),
        GrowthPanel("memory kept for the backward pass", "slots", sizes, "KiB a step of the sequence"),
    ]
    return [panel for panel in panels if panel.lines]
