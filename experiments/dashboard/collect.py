"""All runs below a folder as the plain data that the page shows."""

import datetime
import hashlib
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from experiments.base.curves import pairs, short
from experiments.base.files import UserError
from experiments.dashboard.look import looks
from experiments.runs.about import About, Reference
from experiments.runs.groups import copies_of, group_runs, lengths_of, told
from experiments.runs.reading import Run, find_runs, name_within, read_run, signature
from experiments.runs.restarts import settings_of_restarts
from experiments.runs.tests import headline


class Collector:
    """Reads all runs below a folder, and of those that it read before only what changed.

    folder: holds run folders at any depth, or is one.
    base:   where the page will lie; paths in the data are relative to it.
    """

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder, self.base = folder, base
        self._known: dict[Path, tuple[tuple[object, ...], Run]] = {}

    def version(self) -> str:
        """Changes whenever `read` would give something else, apart from the time. UserError as for `read`."""
        states = [signature(path) for path in find_runs(self.folder)]
        return hashlib.sha256(repr(states).encode()).hexdigest()[:16]

    def read(self) -> dict[str, Any]:
        """Everything the page shows, JSON-ready but for numbers that are not finite.

        UserError where the folder is none, holds no run that can be read, or is itself a half-written one.
        """
        paths = find_runs(self.folder)
        known: dict[Path, tuple[tuple[object, ...], Run]] = {}
        for path in paths:
            state = signature(path)
            earlier = self._known.get(path)
            known[path] = earlier if earlier is not None and earlier[0] == state else (state, read_run(path))
        self._known = known
        runs = [run for _, run in known.values()]
        if paths == [self.folder] and runs[0].troubles:
            raise UserError(runs[0].troubles[0])
        if all(run.about is None and run.troubles for run in runs):
            raise UserError(f"no run in {self.folder} can be read: {runs[0].troubles[0]}")
        copies = copies_of(runs)
        groups = group_runs(runs, copies)
        return {
            "folder": str(self.folder.resolve()),
            "read_at": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "models": looks({group["model"]: group["model_words"] for group in groups}),
            "scores": _scores(runs),
            "runs": [self._run(run) | {"copy_of": copies.get(place)} for place, run in enumerate(runs)],
            "groups": groups,
            "tables": named_tables(runs, copies),
        }

    def _run(self, run: Run) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "name": name_within(self.folder, run.path),
            "path": os.path.relpath(run.path.resolve(), self.base.resolve()),
            "status": run.status,
            "troubles": run.troubles,
            "files": run.files,
            "figures": run.figures,
            "changed": datetime.datetime.fromtimestamp(run.changed).astimezone().isoformat(timespec="minutes"),
        }
        about = run.about
        if about is None:
            return facts
        return (
            facts
            | told(about)
            | {
                "seed": about["seed"],
                "sequences": short(run.last.get("sequences")),
                "seconds": short(run.last.get("perf/seconds")),
                "judged": about["solved"] is not None,
                "to_solve": short(run.to_solve),
                "valid": short(run.valid.get(f"valid/{about['curve']['metric']}")),
                **_exact(run, about),
                "test": _test(run, about),
                "command": run.result.get("command"),
                "versions": run.result.get("versions"),
                "curves": {part: pairs(curve) for part, (curve, _) in run.curves.items()},
            }
        )


def _scores(runs: Sequence[Run]) -> dict[str, str]:
    """The scores that may be drawn over length, in words: those of which the lowest is best."""
    return {
        score["name"]: score["words"]
        for run in runs
        if run.about is not None and lengths_of(run)
        for score in run.about["tests"]["scores"]
        if score["best"] == "low"
    }


def _exact(run: Run, about: About) -> dict[str, Any]:
    """The greatest length of which every test example was right, and how many those were; none where no share tells."""
    score = about["tests"]["scores"][0]
    share = score["name"] if score["best"] == "high" and score["format"].endswith("%") else ""
    exact = [(length, row["count"]) for length, row in lengths_of(run) if row["scores"].get(share) == 1]
    length, count = max(exact, default=(None, None))
    return {"exact_to": length, "exact_of": count}


def _test(run: Run, about: About) -> dict[str, Any] | None:
    """The tests of a run in one number, and the words after it; None where it is not finite, too."""
    found = headline(run.tests, about["tests"])
    value = None if found is None else short(found.value)
    return None if found is None or value is None else {"value": value, "words": found.words}


def named_tables(runs: Sequence[Run], copies: Collection[int]) -> list[dict[str, Any]]:
    """For every family the tests of all ended runs; in a column all restarts of all seeds on a task count alike.

    A run is named by its place in `runs`; copies of others, whose places are given, are left out.
    """
    named = [run.about is not None and bool(run.about["tests"]["names"] and run.result) for run in runs]
    counting = [place for place, told_by_name in enumerate(named) if told_by_name and place not in copies]
    families: dict[str, list[dict[str, Any]]] = {}
    for one in settings_of_restarts(runs, counting):
        families.setdefault(one["about"]["task"], []).append(one)
    return [_table(family, members) for family, members in families.items()]


def _table(family: str, members: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = {key: words for one in members for key, words in one["about"]["tests"]["names"].items()}
    # Those that read word by word come last, and are never compared with the others.
    columns = sorted(map(_column, members), key=lambda column: bool(column["by_word"]))
    tests = members[0]["about"]["tests"]
    return {
        "family": family,
        "by": tests["by"],
        "tasks": list(names.items()),
        "failed_above": tests["failed_above"],
        "score": tests["scores"][0],
        "columns": columns,
    }


def _column(one: dict[str, Any]) -> dict[str, Any]:
    about, paper = one["about"], one["published"]
    cells = {str(value): row for value, row in one["rows"].items()}
    return told(about) | {
        "joint": about["setting"].get("joint") is not None,
        "trained_on": about["data"],
        "tested_on": one["tested_on"],
        "runs": sorted({place for row in cells.values() for place in row["runs"]}),
        "cells": {task: cells[task] for task in about["tests"]["names"] if task in cells},
        "published": paper and _published(paper, list(cells)),
    }


def _published(paper: Reference, tasks: Sequence[str]) -> dict[str, Any]:
    """The paper's scores on the same tasks."""
    errors = {task: paper["tests"][task] for task in tasks if task in paper["tests"]}
    return {"name": paper["name"], "source": paper["source"], "protocol": paper["protocol"], "errors": errors}
