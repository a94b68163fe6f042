"""`python -m experiments benchmark`."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from experiments.base.files import UserError
from experiments.base.progress import working
from experiments.base.provenance import command, without_places
from experiments.base.terminal import wrapped
from experiments.benchmark.cases import Case, make_model
from experiments.benchmark.flops import count_flop
from experiments.benchmark.memory import GRADIENTS, PLAIN, taken_memory
from experiments.benchmark.options import NO_MEMORY, BenchmarkOptions
from experiments.benchmark.over_slots import measure_over_slots, over_slots_panels, over_slots_text
from experiments.benchmark.report import MIB, Row, growth_panels, machine, memory_text, time_text
from experiments.benchmark.timing import time_side_by_side
from experiments.benchmark.variants import Refused, Variant, Way, make_variant, usual_ways
from experiments.config.command_line import parse
from experiments.figures.growth import growth_figure
from experiments.figures.style import save_figure
from experiments.runs.folder import versions
from experiments.training.running import prepare


def benchmark(args: Sequence[str]) -> int:
    """Measure every case and print the results."""
    options = parse(BenchmarkOptions, "benchmark", args, flags=True)
    cases = checked(options)
    if options.slots_plot is not None:
        return _over_slots(cases, options, options.slots_plot)
    found = measured(options, cases)
    name, rows = machine(options.device), list(found.values())
    if options.json:
        _print_json(rows, options)
    else:
        print(wrapped(as_text(options, rows)))
    if options.plot is not None:
        value = "memory, MiB" if options.memory else "median time, ms"
        figure = growth_figure(growth_panels(found), value, f"{value.split(',')[0].capitalize()}, {name}")
        save_figure(figure, options.plot)
        print(f"plot: {options.plot}", file=sys.stderr)
    return 0


def _over_slots(cases: Sequence[Case], options: BenchmarkOptions, path: str) -> int:
    """Measure, print and draw all cases together."""
    rows, ends = measure_over_slots(cases, options)
    if options.json:
        _print_json(rows, options)
    else:
        print(wrapped(over_slots_text(rows, ends, _where(options))))
    title = f"A step of training over the slots of the memory, {machine(options.device)}"
    save_figure(growth_figure(over_slots_panels(rows), "", title), path)
    print(f"plot: {path}", file=sys.stderr)
    return 0


def _print_json(rows: Sequence[Row], options: BenchmarkOptions) -> None:
    head = {
        "command": without_places(command()),
        "machine": machine(options.device),
        "threads": options.threads,
        "versions": versions(),
    }
    print(json.dumps(head | {"cases": rows}, indent=1))


def _where(options: BenchmarkOptions) -> str:
    return f"{machine(options.device)}, torch {torch.__version__}, threads: {options.threads}"


def checked(options: BenchmarkOptions) -> list[Case]:
    """What is to be measured; UserError for what cannot be, before the first case has taken its time."""
    options.check()
    prepare(options.device, options.threads)
    cases = options.cases()
    for case in cases:
        make_model(case, 0)
    return cases


def measured(options: BenchmarkOptions, cases: Sequence[Case]) -> dict[Case, Row]:
    """What was found of every case."""
    prepare(options.device, options.threads)
    measure = _measure_memory if options.memory else _time
    found: dict[Case, Row] = {}
    for kind in dict.fromkeys(case.name for case in cases):
        own = [case for case in cases if case.name == kind]
        found |= zip(own, measure(own, options), strict=True)
    return found


def as_text(options: BenchmarkOptions, rows: Sequence[Row]) -> str:
    """What was found as tables, beneath a line about the machine."""
    text = memory_text if options.memory else time_text
    return text(rows, _where(options))


def _time(cases: Sequence[Case], options: BenchmarkOptions) -> Iterator[Row]:
    """All times of the cases of one model and mode, the base first, side by side."""
    torch.compiler.reset()
    variants: dict[tuple[Case, str], Variant] = {}

    def attempt(case: Case, way: Way) -> None:
        variants[case, way] = make_variant(case, way)

    left_out = {case: _try_ways(case, options, partial(attempt, case)) for case in cases}
    flops = {case: count_flop(case) for case in cases}
    ways = list(dict.fromkeys(way for _, way in variants))
    what = str(cases[0]) if len(cases) == 1 else f"{len(cases)} cases of {cases[0].name}"
    print(f"timing {what}: {', '.join(ways)} ...", file=sys.stderr, flush=True)
    works = {key: variant.work for key, variant in variants.items()}
    with working("timing"):
        timings, peak = time_side_by_side(works, options.seconds * len(cases), options.dtype, options.device)
    for case in cases:
        floor = flops[case].total / peak
        found = []
        for way in ways:
            if (timing := timings.get((case, way))) is None:
                continue
            found.append(
                {
                    "name": way,
                    "used": variants[case, way].used,
                    "median_ms": 1e3 * timing.median,
                    "quartiles_ms": [1e3 * timing.low, 1e3 * timing.high],
                    "samples": timing.samples,
                    "over_floor": timing.median / floor,
                    "eager_over_this": timings[case, "eager"].median / timing.median,
                    "over_base": timing.median / timings[cases[0], way].median,
                }
            )
        yield {
            **_told(case),
            "flop": {**flops[case]._asdict(), "total": flops[case].total},
            "peak_gflop_per_second": peak / 1e9,
            "floor_ms": 1e3 * floor,
            "variants": found,
            "left_out": left_out[case],
        }


def _measure_memory(cases: Sequence[Case], options: BenchmarkOptions) -> Iterator[Row]:
    """The memory that every case takes, by every way to run it and to take its gradient."""

    def measure(case: Case, found: list[Row], way: Way) -> None:
        if way in NO_MEMORY:
            raise Refused(f"the memory of {way} steps is not measured")
        for gradient in GRADIENTS:
            try:
                taken = taken_memory(case, way, gradient, options.threads)
            except Refused:
                if gradient == PLAIN:
                    raise
            else:
                kept = None if taken.kept_a_step is None else taken.kept_a_step / MIB
                row = {"name": way, "gradient": gradient, "peak_mib": taken.peak / MIB, "kept_mib_a_step": kept}
                found.append(row)

    for case in cases:
        found: list[Row] = []
        with working(f"measuring the memory of {case}"):
            left_out = _try_ways(case, options, partial(measure, case, found))
        yield {**_told(case), "variants": found, "left_out": left_out}


def _try_ways(case: Case, options: BenchmarkOptions, attempt: Callable[[Way], None]) -> dict[str, str]:
    """Attempt every way to run a case, eager first; returns those that were left out, with the reason.

    UserError for a way that was asked for and cannot be.
    """
    left_out: dict[str, str] = {}
    asked: list[Way] = ["eager", *(options.backend or usual_ways(options.device, max(options.seeds)))]
    for way in dict.fromkeys(asked):
        try:
            attempt(way)
        except Refused as refusal:
            if way == "eager" or way in options.backend:
                raise UserError(f"--backend {way} cannot run {case}: {refusal}") from None
            left_out[way] = str(refusal)
    return left_out


def _told(case: Case) -> dict[str, Any]:
    return {"case": str(case), **dataclasses.asdict(case)}
