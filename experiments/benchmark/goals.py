"""`python -m experiments speed`: what was asked of the speed of models, and what this machine has, as one result."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict, cast, get_args

import tyro

from experiments.base.files import UserError, write_whole
from experiments.base.provenance import command_line, without_places
from experiments.base.reading import expect, read_yaml
from experiments.base.tables import Cell, Table
from experiments.base.terminal import page
from experiments.benchmark.cases import SIZES, Case, known_models
from experiments.benchmark.commands import as_text, checked, measured
from experiments.benchmark.options import BenchmarkOptions
from experiments.benchmark.report import Row, machine, number
from experiments.benchmark.variants import Way, usual_ways
from experiments.config.command_line import parse
from experiments.runs.folder import versions

FLOOR = "floor"
GOALS = Path(__file__).resolve().parents[1] / "results" / "speed.yaml"


class Term(TypedDict):
    """One number of what a benchmark measured.

    way:      how it ran, or "floor".
    model:    which model; the first without.
    gradient: of memory, how the gradient was taken; plain without.
    memory:   "peak", or "kept" of a further step; time without.
    Sizes (batch_size, length, num_slots, seeds) tell which case; the first without.
    """

    way: str
    model: NotRequired[str]
    gradient: NotRequired[str]
    memory: NotRequired[Literal["peak", "kept"]]


class Goal(TypedDict):
    """What was asked: that one number over another is at least, or at most, some value.

    run: the arguments of `python -m experiments benchmark`. ratio: two terms, or the ways of two. aim: what was hoped.
    """

    work: str
    run: str
    ratio: list[str | dict[str, Any]]
    at_least: NotRequired[float]
    at_most: NotRequired[float]
    aim: NotRequired[float]


class Section(TypedDict):
    title: str
    about: str
    rows: list[Goal]


@dataclasses.dataclass(frozen=True)
class SpeedOptions:
    """Measure everything that was asked of the speed of models, and write one result: a table, and all benchmarks."""

    goals: tyro.conf.Positional[str] = str(GOALS)
    """A YAML file of what was asked: sections of rows, each with the arguments of a benchmark, a ratio of two numbers
    of it, and a limit."""
    out: str = "speed"
    """Path of the files to write, without an ending."""
    seconds: float | None = None
    """How long to time each case, in place of what the rows say."""


def speed(args: Sequence[str]) -> int:
    """Run every benchmark once, write OUT.md and OUT.json, and print the tables."""
    options = parse(SpeedOptions, "speed", args, flags=True)
    sections, out = read_goals(Path(options.goals)), Path(options.out)
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: expected the path of files in a folder that exists")
    asked = {row["run"]: cases_of(row, options.seconds) for section in sections for row in section["rows"]}
    begun = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    found: dict[str, dict[Case, Row]] = {}
    for run, (one, cases) in asked.items():
        print(command_line("benchmark", *shlex.split(run)), file=sys.stderr, flush=True)
        found[run] = measured(one, cases)
    rows = {section["title"]: [_judged(row, found[row["run"]]) for row in section["rows"]] for section in sections}
    made_by = without_places(command_line("speed", *args))
    tables = [_table(section, rows[section["title"]]) for section in sections]
    texts = {run: as_text(asked[run][0], list(one.values())) for run, one in found.items()}
    head = {
        "command": made_by,
        "machine": machine(next(iter(asked.values()))[0].device),
        "load_before": begun,
        "versions": versions(),
    }
    write_whole(f"{out}.md", _markdown(tables, texts, head))
    data = {"goals": rows, "benchmarks": {run: list(one.values()) for run, one in found.items()}}
    write_whole(f"{out}.json", json.dumps(head | data, indent=1) + "\n")
    print(page("\n\n".join(table.markdown() for table in tables)))
    print(f"{out}.md\n{out}.json", file=sys.stderr)
    return 0


def read_goals(path: Path) -> list[Section]:
    """What was asked; UserError, which names the place, for what is no such file."""
    sections: list[Section] = read_yaml(path, "goals")
    expect(sections, list[Section], path)
    if not any(section["rows"] for section in sections):
        raise UserError(f"{path}: nothing was asked")
    titles = [section["title"] for section in sections]
    if twice := [title for title in titles if titles.count(title) > 1]:
        raise UserError(f"{path}: two sections are called {twice[0]!r}")
    for row in (row for section in sections for row in section["rows"]):
        place = f"{path}: {row['work']}"
        if ("at_least" in row) == ("at_most" in row):
            raise UserError(f"{place}: expected one of at_least and at_most")
        if len(row["ratio"]) != 2:
            raise UserError(f"{place}: expected a ratio of two numbers, not of {len(row['ratio'])}")
        for term in map(_term, row["ratio"]):
            expect(term, Term, place)
            if term["way"] not in (FLOOR, *get_args(Way)):
                raise UserError(f"{place}: way {term['way']!r}, expected {FLOOR} or one of {', '.join(get_args(Way))}")
            if unknown := {*term} - {"way", "model", "gradient", "memory", *SIZES}:
                raise UserError(f"{place}: {min(unknown)} is no part of a number")
            if term.get("model", "ntm") not in known_models():
                raise UserError(f"{place}: there is no model {term.get('model')!r}")
    return sections


def cases_of(row: Goal, seconds: float | None) -> tuple[BenchmarkOptions, list[Case]]:
    """What a row has to be measured; UserError for what cannot be, or has not what its ratio is of."""
    try:
        options = parse(BenchmarkOptions, "benchmark", shlex.split(row["run"]), flags=True)
    except ValueError as error:
        raise UserError(f"{row['work']}: cannot read its run: {error}") from None
    if seconds is not None:
        options = dataclasses.replace(options, seconds=seconds)
    cases = checked(options)
    ways = {"eager", *(options.backend or usual_ways(options.device, max(options.seeds)))}
    for term in map(_term, row["ratio"]):
        _case(term, cases, row["work"])
        if ("memory" in term) != options.memory:
            raise UserError(f"{row['work']}: memory is of a run with --memory, and time of one without")
        if term["way"] not in ({*ways} if options.memory else {FLOOR, *ways}):
            raise UserError(f"{row['work']}: its benchmark does not run {term['way']}")
    return options, cases


def _term(term: str | dict[str, Any]) -> Term:
    return {"way": term} if isinstance(term, str) else cast(Term, term)


def _case(term: Term, cases: Sequence[Case], work: str) -> Case:
    """The first case of a term's model and sizes; UserError where there is none."""
    wanted = {name: value for name, value in term.items() if name in ("model", *SIZES)}
    for case in cases:
        if all(getattr(case, name) == value for name, value in wanted.items()):
            return case
    raise UserError(f"{work}: its benchmark has no case of {wanted}")


def _judged(row: Goal, found: Mapping[Case, Row]) -> dict[str, Any]:
    """A goal with what was measured; None where a way was left out."""
    over, under = (_number(_term(term), found, row["work"]) for term in row["ratio"])
    value = None if over is None or not under else over / under
    limit = row.get("at_least", row.get("at_most"))
    reached = None if value is None else value >= row["at_least"] if "at_least" in row else value <= row["at_most"]
    return {**row, "limit": limit, "measured": value, "reached": reached}


def _number(term: Term, found: Mapping[Case, Row], work: str) -> float | None:
    row = found[_case(term, list(found), work)]
    if term["way"] == FLOOR:
        return float(row["floor_ms"])
    for variant in row["variants"]:
        plain = "plain" if "gradient" in variant else ""
        if variant["name"] == term["way"] and variant.get("gradient", "") == term.get("gradient", plain):
            name = {"peak": "peak_mib", "kept": "kept_mib_a_step"}.get(term.get("memory", ""), "median_ms")
            return None if variant.get(name) is None else float(variant[name])
    return None


def _table(section: Section, rows: Sequence[Mapping[str, Any]]) -> Table:
    def told(row: Mapping[str, Any]) -> list[str]:
        least = "at least" if "at_least" in row else "at most"
        verdict = {True: "yes", False: "no", None: "not measured"}[row["reached"]]
        aim = f"{row['aim']:g}" if "aim" in row else "-"
        value = "-" if row["measured"] is None else number(row["measured"])
        return [row["work"], " / ".join(map(_words, row["ratio"])), f"{least} {row['limit']:g}", aim, value, verdict]

    head = ["work", "ratio", "asked", "hoped", "measured", "reached"]
    cells = [[Cell(text) for text in told(row)] for row in rows]
    return Table(section["title"], head, cells, [" ".join(section["about"].split())])


def _words(term: str | dict[str, Any]) -> str:
    if isinstance(term, str):
        return term
    sizes = [f"{SIZES[name]} {value:,}" for name, value in term.items() if name in SIZES]
    parts = [term.get("model", ""), term["way"], term.get("gradient", ""), term.get("memory", ""), *sizes]
    return " ".join(part for part in parts if part)


def _markdown(tables: Sequence[Table], texts: Mapping[str, str], head: Mapping[str, Any]) -> str:
    load = "" if head["load_before"] is None else f" The load was {head['load_before']:.2f} before."
    versions_told = ", ".join(f"{name} {value}" for name, value in head["versions"].items())
    parts = [
        "# Speed",
        f"Made by `{head['command']}` on {head['machine']}; {versions_told}.{load} Ratios within one interleaved run; "
        "milliseconds belong to this machine. Whether a goal was reached is computed from the numbers.",
    ]
    parts += [table.markdown() for table in tables]
    parts += ["### The benchmarks"]
    for run, text in texts.items():
        parts.append(f"```\n$ {command_line('benchmark', *shlex.split(run))}\n{text}\n```")
    return "\n\n".join(parts) + "\n"
