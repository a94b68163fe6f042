"""The runs below a folder, each as it is on disk: finished, running, stopped or half written."""

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from experiments.base.curves import Curve, curve_of_rows, first_below, is_number, smoothed, thinned
from experiments.base.files import UserError
from experiments.base.reading import expect, read_json, read_yaml
from experiments.runs.about import ABOUT, About, read_about
from experiments.runs.folder import half_made, is_locked
from experiments.runs.metrics import read_metrics
from experiments.runs.outcomes import check_result
from experiments.runs.tests import TestRow, check_tests

Status = Literal["done", "running", "stopped", "diverged", "damaged"]
Row = dict[str, Any]
Told = TypeVar("Told")

# A folder with one of these is a run's, though perhaps half written.
MARKS = ("config.yaml", "metrics.jsonl")
# Folders of the tracker hold files of these names, too.
_TRACKER = "wandb"
FILES = (*MARKS, "result.json", "evaluation.json", "inspect.html")


def find_runs(folder: Path) -> list[Path]:
    """The run folders below a folder, whole or half written, in order; the folder itself where it is one.

    UserError where there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected one that holds run folders, as `train` leaves them")
    found: list[Path] = []
    for place, below, files in os.walk(folder):
        path = Path(place)
        if path != folder and set(MARKS) & set(files):
            found.append(path)
            below.clear()
        below[:] = [name for name in below if name != _TRACKER and not name.startswith(".")]
    if not found and any((folder / name).is_file() for name in MARKS):
        return [folder]
    if not found:
        raise UserError(f"{folder} holds no run: expected folders with a config.yaml, as `train` leaves them")
    return sorted(found, key=_natural)


def name_within(folder: Path, path: Path) -> str:
    """What a run below a folder, or the folder itself, is called."""
    return path.resolve().name if path == folder else os.path.relpath(path, folder)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """A key that puts s2 before s10."""
    pieces = filter(None, re.split(r"(\d+)", str(path)))
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces]


@dataclass(frozen=True)
class Run:
    """What one folder tells.

    about:    None where it cannot be read, or the run is just being made.
    troubles: what could not be read, one line each; the run is then "damaged".
    curves:   by "valid" and "train": what learning is measured in, thinned for drawing, and smoothed for bands.
    last, valid: the last row of metrics, and the last with a validation, of a run that has ended that of the weights
              that were tested.
    logged:   the names of all metrics.
    to_solve: sequences after which validation first was as what counts as solved.
    """

    path: Path
    status: Status
    about: About | None = None
    troubles: tuple[str, ...] = ()
    curves: dict[str, tuple[Curve, Curve]] = field(default_factory=dict)
    logged: frozenset[str] = frozenset()
    last: Row = field(default_factory=dict)
    valid: Row = field(default_factory=dict)
    to_solve: float | None = None
    result: Row = field(default_factory=dict)
    tests: list[TestRow] = field(default_factory=list)
    files: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    changed: float = 0.0


def read_run(path: Path) -> Run:
    """Read a run's folder without changing anything in it; what cannot be read is told in `troubles`."""
    try:
        return _read(path)
    except Exception as error:
        # Whatever is wrong with one run, those beside it are shown.
        return Run(path, "damaged", troubles=(f"cannot read {path}: {type(error).__name__} {error}",))


def _read(path: Path) -> Run:
    troubles: list[str] = []
    about = _known(lambda: _about(path), troubles, None)
    rows: list[Row] = _known(lambda: _rows(path / "metrics.jsonl"), troubles, [])
    result: Row = _known(lambda: _result(path / "result.json"), troubles, {})
    evaluation = path / "evaluation.json"
    tests: list[TestRow] = _known(lambda: check_tests(read_json(evaluation), evaluation), troubles, [])
    files = tuple(name for name in FILES if (path / name).is_file())
    facts: dict[str, Any] = {
        "troubles": tuple(troubles),
        "about": about,
        "logged": frozenset().union(*rows),
        "last": rows[-1] if rows else {},
        "result": result,
        "tests": tests,
        "files": files,
        "figures": tuple(sorted(f"figures/{one.name}" for one in (path / "figures").glob("*.png"))),
        "changed": max((state[1] / 1e9 for state in _states(path)), default=0.0),
    }
    if about is not None:
        facts |= _learning(about, rows, result)
    return Run(path, _status(path, rows, bool(result), troubles), **facts)


def signature(path: Path) -> tuple[object, ...]:
    """Changes whenever `read_run` would give something else."""
    ended = (path / "result.json").exists()
    return (str(path), *_states(path), not ended and is_locked(path))


def _states(path: Path) -> list[tuple[str, int, int]]:
    """Name, time and size of whatever a run is read from."""
    states = []
    for name in (*FILES, ABOUT, "figures"):
        try:
            state = (path / name).stat()
        except OSError:
            continue
        states.append((name, state.st_mtime_ns, state.st_size))
    return states


def _about(path: Path) -> About | None:
    """What the run tells of itself; it must have a configuration, too, though only a person reads that."""
    expect(read_yaml(path / "config.yaml", "a configuration"), dict[str, Any], path / "config.yaml")
    if not (path / ABOUT).exists() and is_locked(path) and half_made(path):
        return None
    return read_about(path)


def _known(read: Callable[[], Told], troubles: list[str], nothing: Told) -> Told:
    """What is read, or nothing where the file is not there yet, or damaged, which is told."""
    try:
        return read()
    except FileNotFoundError:
        pass
    except (UserError, OSError) as error:
        troubles.append(str(error))
    return nothing


def _rows(path: Path) -> list[Row]:
    """The rows of the metrics with a step and sequences."""
    rows = read_metrics(path) if path.is_file() else []
    return [row for row in rows if is_number(row.get("step")) and is_number(row.get("sequences"))]


def _result(path: Path) -> Row:
    """What the run says of its end."""
    result: Row = read_json(path)
    check_result(result, path)
    return result


def _learning(about: About, rows: list[Row], result: Row) -> dict[str, Any]:
    keys = {part: f"{part}/{about['curve']['metric']}" for part in ("valid", "train")}
    curves = {part: curve_of_rows([row for row in rows if is_number(row.get(key))], key) for part, key in keys.items()}
    to_solve, solved = result.get("sequences_to_solve"), about["solved"]
    if not result and solved is not None:
        judged = [row for row in rows if is_number(row.get(solved["metric"]))]
        thousands = first_below(curve_of_rows(judged, solved["metric"]), solved["under"])
        to_solve = None if thousands is None else 1000 * thousands
    valid = [row for row in reversed(rows) if is_number(row.get(keys["valid"]))]
    tested = [row for row in valid if row["step"] == result.get("weights_of_step")]
    return {
        "curves": {part: (thinned(curve), smoothed(curve)) for part, curve in curves.items()},
        "valid": next(iter([*tested, *valid]), {}),
        "to_solve": to_solve if is_number(to_solve) else None,
    }


def _status(path: Path, rows: list[Row], ended: bool, troubles: list[str]) -> Status:
    if troubles:
        return "damaged"
    if ended:
        return "done"
    if is_locked(path):
        return "running"
    values = rows[-1].values() if rows else ()
    return "diverged" if any(isinstance(one, float) and not math.isfinite(one) for one in values) else "stopped"
