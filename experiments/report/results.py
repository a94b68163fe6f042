"""python -m experiments results: what was measured here beside what is published, as a page that nobody writes by hand.

tables.yaml   in the folder of results: which number of which result stands beside which published one, how, and what
              needs words; see `Row` and `Comparison`
NAME.json     results as `summarize` writes them
README.md     the page: everything in it is from these two
choose.md     which memory for what, where there is a benchmark of the models, see `choose`
NAME.png      a picture of all rows of a table that names one
"""

from __future__ import annotations

import dataclasses
import math
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict, get_args, is_typeddict

import tyro

from experiments.base.files import UserError, write_whole
from experiments.base.names import nearest
from experiments.base.reading import expect, read_json, read_yaml
from experiments.base.statistics import deviation
from experiments.base.tables import marked
from experiments.config.command_line import parse
from experiments.figures.results import HeatCell, StatePoint, heat_figure, states_figure
from experiments.figures.style import Figure, save_figure
from experiments.report.choose import CHOICE, COSTS, choice
from experiments.report.measured import (
    Comparison,
    Control,
    Margin,
    Measured,
    Result,
    Row,
    best_is,
    control_of,
    is_share,
    measured,
)
from experiments.report.verdict import RULE, Verdict, mean

RESULTS = Path(__file__).parents[1] / "results"
TABLES, PAGE = "tables.yaml", "README.md"
_HEAD = ["what", "measured", "state, numbers", "published", "ours", "95 %", "mean ± sd of all", "best", "worst", "runs"]
_HEAD += ["failed (published)", "without memory", "verdict"]
_MADE_BY = "python -m experiments results"
_HEAT = "per cent right, the mean of our seeds (the worst one); a dash: not run; empty: not asked for"
# Verdicts that may be of some tasks alone.
_PARTLY = ("beaten", "reproduced", "better, with other settings", "as good, with other settings")


class _Words(TypedDict):
    """A result without a number for a table: what there is to tell."""

    what: str
    result: str
    words: str


class Content(TypedDict):
    """What tables.yaml holds. about: paragraphs at the top. short: what falls short and no table tells."""

    about: list[str]
    tables: list[Comparison]
    more: NotRequired[list[_Words]]
    short: NotRequired[list[str]]


_Told = Sequence[tuple[Comparison, Sequence[tuple[Row, Measured]]]]


class Read(NamedTuple):
    """A folder of results.

    content: what tables.yaml holds. found: the results by name. told: what they say of every row of every table.
    """

    folder: Path
    content: Content
    found: dict[str, Result]
    told: _Told


@dataclasses.dataclass(frozen=True)
class ResultsOptions:
    """Write the page of a folder of results: all rows of its tables.yaml beside what is published, with verdicts."""

    folder: tyro.conf.Positional[str] = str(RESULTS)
    """Where tables.yaml and the results are; the page is README.md there."""


def results(args: Sequence[str]) -> int:
    """Write the page and say where it is, and what the verdicts are."""
    folder = Path(parse(ResultsOptions, "results", args).folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder of results")
    found = read(folder)
    text, counts = page(found)
    for name, figure in list(pictures(found)):
        save_figure(figure, folder / name)
    write_whole(folder / PAGE, text)
    if (folder / COSTS).is_file():
        write_whole(folder / CHOICE, choice(folder, found.found))
    print(counts)
    print(folder / PAGE, file=sys.stderr)
    return 0


def read(folder: Path) -> Read:
    """UserError for what cannot be read."""
    content = read_content(folder / TABLES)
    found = {path.stem: _result(path) for path in sorted(folder.glob("*.json"))}
    told = [(one, [(row, measured(row, one, found)) for row in one["rows"]]) for one in content["tables"]]
    return Read(folder, content, found, told)


def page(what: Read) -> tuple[str, str]:
    """The page of a folder of results, and its verdicts in one line."""
    folder, content, found, told = what
    lines = ["# Results", "", f"Made by `{_MADE_BY}` from the results' own files and [{TABLES}]({TABLES}).", ""]
    lines += [part for words in content["about"] for part in (*_wrapped(words), "")]
    lines += ["## The rule", "", *_wrapped(RULE), "", *(overview := _overview(told)), ""]
    for table, rows in told:
        lines += [*_table(folder, table, rows, found), ""]
    every = [row for table in content["tables"] for row in table["rows"]]
    named = {row["result"] for row in every} | {row.get("control", {}).get("result", "") for row in every}
    more = content.get("more", [])
    others = sorted(found.keys() - named - {one["result"] for one in more})
    if more or others:
        lines += ["## More", ""]
        lines += [f"- {_links(folder, one['result'], marked(one['what']))}: {one['words']}" for one in more]
        lines += [f"- {_links(folder, name, name)}" for name in others]
        lines.append("")
    lines += ["## What falls short", "", *_short(told), *(f"- {one}" for one in content.get("short", []))]
    return "\n".join(lines) + "\n", overview[0]


def pictures(what: Read) -> Iterator[tuple[str, Figure]]:
    """The pictures of a folder's tables with their files' names; UserError for what cannot be drawn."""
    for table, rows in what.told:
        if "picture" in table:
            cells = {_task_and_model(row): _heat(found) for row, found in rows}
            yield f"{table['picture']}.png", heat_figure(cells, table["title"], _HEAT)
        if points := _points(table, rows):
            yield f"{table['states']}.png", states_figure(points, table["title"])


def _points(table: Comparison, rows: Sequence[tuple[Row, Measured]]) -> dict[tuple[str, str], StatePoint]:
    """What is measured of a table that has a picture of states."""
    return {
        _task_and_model(row): StatePoint(found.state, mean(found.ours.values), found.ours.ends)
        for row, found in rows
        if "states" in table and found.ours is not None and found.state is not None
    }


def _task_and_model(row: Row) -> tuple[str, str]:
    task, comma, model = row["what"].rpartition(", ")
    if not comma:
        raise UserError(f"a row of a picture is called 'task, model', not {row['what']!r}")
    return task, model


def _heat(found: Measured) -> HeatCell:
    ours, published = found.ours, None if found.published is None else found.published.value
    return HeatCell(None, None, published) if ours is None else HeatCell(mean(ours.values), ours.ends[0], published)


def read_content(path: Path) -> Content:
    """tables.yaml; UserError for what it cannot hold."""
    content: Content = read_yaml(path, "tables of results")
    expect(content, Content, path)
    _check_names(content, Content, path)
    for table in content["tables"]:
        _check_names(table, Comparison, path)
        _check_names(table.get("margin", {}), Margin, path)
        if ("best_of" in table) != ("by" in table):
            raise UserError(f"{path}: table {table['title']!r} needs both best_of and by, or none of them")
        if {"picture", "states"} & table.keys() and not is_share(table.get("score", "")):
            raise UserError(f"{path}: table {table['title']!r} has a picture, and no score that is a share")
        for row in table["rows"]:
            _check_names(row, Row, path)
            _check_names(row.get("control", {}), Control, path)
            if "after" in row and (other := {"at", "tested_on"} & row.keys()):
                raise UserError(f"{path}: {row['what']!r} has both after and {min(other)}; expected one of them")
    return content


def _check_names(value: Mapping[str, Any], kind: Any, path: Path) -> None:
    assert is_typeddict(kind)
    for name in value:
        if name not in kind.__annotations__:
            raise UserError(f"{path}: no field is called {name!r}{nearest(name, kind.__annotations__)}")


def _result(path: Path) -> Result:
    content: Result = read_json(path)
    expect(content, Result, path)
    return content


def _overview(told: _Told) -> list[str]:
    """How many rows of each table have which verdict."""
    verdicts = [one for one in get_args(Verdict) if any(found.verdict == one for _, rows in told for _, found in rows)]
    every = Counter(found.verdict for _, rows in told for _, found in rows)
    lines = ["Of " + f"{every.total()} rows: " + ", ".join(f"{every[one]} {one}" for one in verdicts) + ".", ""]
    lines += _grid(["table", *verdicts])
    for table, rows in told:
        own = Counter(found.verdict for _, found in rows)
        anchor = "".join(sign for sign in table["title"].lower().replace(" ", "-") if sign.isalnum() or sign in "-_")
        lines += _grid(
            [f"[{marked(table['title'])}](#{anchor})", *(str(own[one] or "") for one in verdicts)], head=False
        )
    return lines


def _grid(cells: Sequence[str], head: bool = True) -> list[str]:
    line = "| " + " | ".join(cells) + " |"
    return [line, "|---" * len(cells) + "|"] if head else [line]


def _table(
    folder: Path, table: Comparison, rows: Sequence[tuple[Row, Measured]], results: Mapping[str, Any]
) -> list[str]:
    """A heading, what is measured and how, a line a row, and what needs words."""
    told = [table["about"], *(_protocol(table) if any(found.published for _, found in rows) else [])]
    if "suite" in table:
        told.append(f"By `python -m experiments suite {table['suite']}` where a result names no other.")
    lines = [f"## {marked(table['title'])}", "", *_wrapped(" ".join(told)), ""]
    controls = [control_of(row, table, results) for row, _ in rows]
    shown = [_cells(folder, table, *one, control) for one, control in zip(rows, controls, strict=True)]
    if "picture" in table:
        lines += [f"![{marked(table['title'])}]({table['picture']}.png)", ""]
    if _points(table, rows):
        lines += [f"![{marked(table['title'])}]({table['states']}.png)", ""]
    kept = [head for head in _HEAD if any(cells[head] != "-" for cells in shown)]
    lines += _grid(kept)
    lines += [line for cells in shown for line in _grid([cells[head] for head in kept], head=False)]
    notes = [(row, [row[part] for part in ("differs", "settings", "remark") if part in row]) for row, _ in rows]
    words = [f"- {marked(row['what'])}: {'; '.join(told)}" for row, told in notes if told]
    return [*lines, "", *words] if words else lines


def _protocol(table: Comparison) -> list[str]:
    """Of what the published numbers are, and the margin."""
    if "best_of" in table:
        learned = {"train": "training", "valid": "validation"}[table["by"]]
        told = [f"Published: the best of {table['best_of']} restarts by {learned} error."]
    else:
        told = [f"Published: {table.get('chosen', 'one run')}."]
    told += [f"Ours: {table['settings']}."] if "settings" in table else []
    margin = table.get("margin", {})
    parts = [f"{100 * margin['share']:g} % of the published number"] if "share" in margin else []
    parts += [f"{'at least ' if parts else ''}{margin['least']:g}"] if "least" in margin else []
    told += [f"Margin: {', '.join(parts)}."] if parts else []
    return told


def _cells(
    folder: Path, table: Comparison, row: Row, found: Measured, control: tuple[str, float] | None
) -> dict[str, str]:
    """A line of a table by heading."""
    published, ours = found.published, found.ours
    part = f" on {found.tests} of {row['of']} tasks" if 0 < found.tests < row.get("of", 0) else ""
    cells = dict.fromkeys(_HEAD, "-") | {
        "what": _links(folder, row["result"], marked(row["what"])),
        "measured": marked(found.where) or "-",
        "state, numbers": "-" if found.state is None else f"{found.state:,}",
        "failed (published)": found.failed or "-",
        "verdict": f"**{found.verdict}**" + (part if found.verdict in _PARTLY else ""),
    }
    if published is not None:
        cells["published"] = _number(published.value) + (f" (margin {row['margin']:g})" if "margin" in row else "")
    if control is not None:
        words = _link(folder, row["control"].get("result", ""), control[0])
        cells["without memory"] = f"{_number(control[1])} ({words})"
    if ours is None:
        return cells
    values, high = ours.values, best_is(row.get("score", table.get("score", ""))) == "high"
    spread = deviation(values)
    middle = _number(mean(values)) + ("" if spread is None else f" ± {_number(spread)}")
    cells |= {"ours": _number(ours.value) if "best_of" in table else middle, "runs": str(ours.runs)}
    if ours.interval is not None:
        cells["95 %"] = f"{_number(max(ours.interval.low, 0))} to {_number(ours.interval.high)}"
    if ours.runs > 1:
        cells |= {"best": _number(ours.ends[high]), "worst": _number(ours.ends[not high])}
        cells["mean ± sd of all"] = middle if "best_of" in table else "-"
    return cells


def _links(folder: Path, result: str, words: str) -> str:
    """Words that lead to a result, and to its picture, as far as they are there."""
    link = _link(folder, result, words)
    return f"{link} ([picture]({result}.png))" if link != words and (folder / f"{result}.png").is_file() else link


def _link(folder: Path, result: str, words: str) -> str:
    return f"[{words}]({result}.md)" if (folder / f"{result}.md").is_file() else words


def _number(value: float) -> str:
    """Three digits; what is infinite was never reached."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "never"
    return f"{value:,.1f}".removesuffix(".0") if abs(value) >= 100 else f"{value:.3g}"


def _short(told: _Told) -> list[str]:
    """What was not reached, and how far it is, and what has not been run or measured."""
    lines = []
    for table, rows in told:
        for row, found in rows:
            if found.verdict == "not reached" and found.ours is not None and found.published is not None:
                numbers = f"{_number(found.ours.value)} where {_number(found.published.value)} is published"
                where = marked(", ".join(filter(None, (table["title"], row["what"], found.where))))
                lines.append(f"- {where}: {numbers}.")
        for missing in ("not run", "not measured"):
            if names := dict.fromkeys(row["what"] for row, found in rows if found.verdict == missing):
                lines.append(f"- {marked(table['title'])}, {missing}: {marked('; '.join(names))}.")
    return lines


def _wrapped(words: str) -> list[str]:
    return textwrap.wrap(words, 120, break_long_words=False, break_on_hyphens=False)
