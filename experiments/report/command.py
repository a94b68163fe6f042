"""python -m experiments report: results of many runs as Markdown, LaTeX, JSON and figures."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import tyro

from experiments.base.files import UserError, write_whole
from experiments.base.provenance import command_line, without_places
from experiments.base.tables import Table, coded, marked, printable
from experiments.base.terminal import page
from experiments.config.command_line import parse
from experiments.figures.style import DrawingOptions, Figure, figure_name, save_figure
from experiments.report.pictures import report_figures
from experiments.report.restarts import has_restarts, restart_tables
from experiments.report.settings import setting_tables
from experiments.runs.folder import RUNS
from experiments.runs.groups import copies_of
from experiments.runs.reading import Run, find_runs, name_within, read_run
from experiments.runs.suites import job_names
from experiments.web.document import finite

# What is told of a run that has ended.
_TOLD = ("command", "resumed_by", "versions", "config")


@dataclasses.dataclass(frozen=True)
class ReportOptions(DrawingOptions):
    """Put all ended runs below a folder into tables for a README (Markdown) and a paper (LaTeX), and figures."""

    folder: tyro.conf.Positional[str]
    """Where the runs are, at any depth; a suite's name for its folder under runs/."""
    out: str | None = None
    """Path of the files to write, without an ending; by default report in the folder."""


def report(args: Sequence[str]) -> int:
    """Write OUT.md, OUT.tex, OUT.json and OUT-FIGURE.png, print the tables, and say where the files are."""
    options = parse(ReportOptions, "report", args)
    folder = Path(options.folder)
    if not folder.is_dir() and (RUNS / folder).is_dir():
        folder = RUNS / folder
    out = Path(options.out) if options.out is not None else folder / "report"
    paths = find_runs(folder)
    runs = [read_run(path) for path in paths]
    names = [printable(name_within(folder, path)) for path in paths]
    ended, left = _sorted_out(runs, names)
    left += [f"{name} (not begun)" for name in job_names(folder) if name not in names]
    if not ended:
        done = any(run.status == "done" for run in runs)
        raise UserError(f"{folder}: none of its {len(runs)} runs {'has a table' if done else 'has ended'}: {left[0]}")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: expected the path of files in a folder that exists")
    restarted = [place for place in ended if has_restarts(runs[place])]
    tables = [*setting_tables(runs, [place for place in ended if place not in restarted])]
    tables += restart_tables(runs, restarted)
    made_by = printable(without_places(command_line("report", options.folder)))
    with options.drawn():
        figures = _drawn(out, report_figures(runs, ended))
    text = _markdown(tables, figures, [_origin(runs[place], names[place]) for place in ended], left, made_by)
    write_whole(f"{out}.md", text)
    write_whole(f"{out}.tex", _latex(tables, names, left, made_by))
    data = finite(_data(tables, runs, names, made_by))
    write_whole(f"{out}.json", json.dumps(data, allow_nan=False, indent=1) + "\n")
    print(page("\n\n".join(table.markdown() for table in tables)))
    for ending in ("md", "tex", "json"):
        print(f"{out}.{ending}", file=sys.stderr)
    print(*figures.values(), sep="\n", file=sys.stderr)
    return 0


def _drawn(out: Path, figures: Iterable[tuple[str, Figure]]) -> dict[str, Path]:
    """Write figures beside the tables, each called by what it shows; returns their files by that."""
    files = {}
    for words, figure in figures:
        name = re.sub(r"[^a-z0-9.]+", "-", words.lower()).strip("-")
        files[words] = out.with_name(figure_name(f"{out.name}-{name}"))
        save_figure(figure, files[words])
    return files


def _sorted_out(runs: Sequence[Run], names: Sequence[str]) -> tuple[list[int], list[str]]:
    """The places of the runs that count, and why the others do not: each seed of a setting once, and only if ended."""
    copies = copies_of(runs)
    ended, left = [], []
    for place, run in enumerate(runs):
        if run.status != "done":
            left.append(f"{names[place]} ({': '.join([run.status, *map(printable, run.troubles[:1])])})")
        elif place in copies:
            left.append(f"{names[place]} (has the setting and seed of {names[copies[place]]})")
        else:
            ended.append(place)
    return ended, left


def _markdown(
    tables: Sequence[Table],
    figures: Mapping[str, Path],
    origins: Sequence[Sequence[str]],
    left: Sequence[str],
    made_by: str,
) -> str:
    lines = [f"Made by {coded(made_by)}.", ""]
    for table in tables:
        lines += [table.markdown(), ""]
    for words, path in figures.items():
        lines += [f"![{marked(words)}]({path.name})", ""]
    lines += ["### Runs", "", "| run | seed | made by | torch | commit |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in origins]
    return "\n".join([*lines, *(["", f"Not in the tables: {marked('; '.join(left))}."] if left else [])]) + "\n"


def _latex(tables: Sequence[Table], names: Sequence[str], left: Sequence[str], made_by: str) -> str:
    lines = [f"% Made by {made_by}; needs \\usepackage{{booktabs}}."]
    lines += [f"% Not in the tables: {one}" for one in left]
    return "\n\n".join(["\n".join(lines), *(table.latex(names) for table in tables)]) + "\n"


def _data(tables: Sequence[Table], runs: Sequence[Run], names: Sequence[str], made_by: str) -> dict[str, Any]:
    told = [
        {"name": name, "status": run.status}
        | {key: without_places(run.result.get(key)) for key in _TOLD if run.status == "done"}
        for run, name in zip(runs, names, strict=True)
    ]
    return {"made_by": made_by, "tables": [table.data(names) for table in tables], "runs": told}


def _origin(run: Run, name: str) -> list[str]:
    """Name, seed, command, torch and commit of an ended run, for Markdown."""
    assert run.about is not None
    told = run.result.get("versions")
    versions = told if isinstance(told, dict) else {}
    return [
        marked(name),
        str(run.about["seed"]),
        _made_by(run),
        str(versions.get("torch", "-")),
        str(versions.get("commit", "-"))[:12],
    ]


def _made_by(run: Run) -> str:
    """The command that began a run, and those that resumed it, for Markdown."""
    resumes = run.result.get("resumed_by")
    known = map(str, resumes if isinstance(resumes, list) else [])
    told = [(str(run.result.get("command", "unknown")), 1), *((one, len([*same])) for one, same in groupby(known))]
    told = [(without_places(one), count) for one, count in told]
    return ", resumed by ".join(coded(one) + (f" ({count} times)" if count > 1 else "") for one, count in told)
