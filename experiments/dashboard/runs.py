"""One run's folder as it is on disk: finished, running, stopped or half written."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from experiments.base.files import UserError
from experiments.base.reading import read_json
from experiments.config.parts import Config, JudgedConfig, TrainConfig
from experiments.dashboard.curves import is_number, smoothed, thinned
from experiments.domains.sequences.models import make_task
from experiments.figures.paper_curves import Curve, curve_of_rows, first_below
from experiments.runs.folder import RunFolder, is_locked
from experiments.runs.metrics import read_metrics
from experiments.runs.outcomes import check_result

Status = Literal["done", "running", "stopped", "diverged", "damaged"]
Row = dict[str, Any]

# A folder with one of these is a run's, though perhaps half written.
MARKS = ("config.yaml", "metrics.jsonl")
FILES = (*MARKS, "result.json", "evaluation.json", "inspect.html")


@dataclass(frozen=True)
class Run:
    """What one folder tells.

    troubles: what could not be read, one line each; the run is then "damaged".
    curves:   by "valid" and "train": what learning is measured in, thinned for drawing, and smoothed for bands.
    last, valid: the last row of metrics, and the last with a validation.
    logged:   the names of all metrics.
    to_solve: sequences after which validation was first under the configuration's solved_at.
    """

    path: Path
    status: Status
    config: Config | None = None
    troubles: tuple[str, ...] = ()
    curves: dict[str, tuple[Curve, Curve]] = field(default_factory=dict)
    logged: frozenset[str] = frozenset()
    last: Row = field(default_factory=dict)
    valid: Row = field(default_factory=dict)
    to_solve: float | None = None
    result: Row = field(default_factory=dict)
    tests: list[Row] = field(default_factory=list)
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
    config = _config(path, troubles)
    rows = _rows(path, troubles)
    result = _result(path, troubles)
    tests = [row for row in _json(path, "evaluation.json", list, troubles) if isinstance(row, dict)]
    files = tuple(name for name in FILES if (path / name).is_file())
    facts: dict[str, Any] = {
        "troubles": tuple(troubles),
        "config": config,
        "logged": frozenset().union(*rows),
        "last": rows[-1] if rows else {},
        "result": result,
        "tests": tests,
        "files": files,
        "figures": tuple(sorted(f"figures/{one.name}" for one in (path / "figures").glob("*.png"))),
        "changed": max((state[1] / 1e9 for state in _states(path)), default=0.0),
    }
    if config is not None:
        facts |= _learning(config, rows, result)
    return Run(path, _status(path, config, rows, bool(result), troubles), **facts)


def signature(path: Path) -> tuple[object, ...]:
    """Changes whenever `read_run` would give something else."""
    ended = (path / "result.json").exists()
    return (str(path), *_states(path), not ended and is_locked(path))


def _states(path: Path) -> list[tuple[str, int, int]]:
    """Name, time and size of whatever a run is read from."""
    states = []
    for name in (*FILES, "figures"):
        try:
            state = (path / name).stat()
        except OSError:
            continue
        states.append((name, state.st_mtime_ns, state.st_size))
    return states


def _config(path: Path, troubles: list[str]) -> Config | None:
    try:
        config = RunFolder(path).read_config()
        config.check()
        if isinstance(config, TrainConfig):
            make_task(config.task)
    except UserError as error:
        troubles.append(str(error))
        return None
    return config


def _rows(path: Path, troubles: list[str]) -> list[Row]:
    """The rows of the metrics with a step and sequences; none where the file is damaged or not there yet."""
    if not (path / "metrics.jsonl").is_file():
        return []
    try:
        rows = read_metrics(path / "metrics.jsonl")
    except (UserError, OSError) as error:
        troubles.append(str(error))
        return []
    return [row for row in rows if is_number(row.get("step")) and is_number(row.get("sequences"))]


def _json(path: Path, name: str, kind: type[Any], troubles: list[str]) -> Any:
    """A JSON file of the run, an empty `kind` where it is absent or something else."""
    try:
        content = read_json(path / name)
    except FileNotFoundError:
        return kind()
    except UserError as error:
        troubles.append(str(error))
        return kind()
    if not isinstance(content, kind):
        troubles.append(f"{path / name} is not what a run leaves: expected a JSON {kind.__name__}")
        return kind()
    return content


def _result(path: Path, troubles: list[str]) -> Row:
    """What the run says of its end, nothing where it is absent or damaged."""
    result: Row = _json(path, "result.json", dict, troubles)
    try:
        check_result(result, path / "result.json")
    except UserError as error:
        troubles.append(str(error))
        return {}
    return result


def _learning(config: Config, rows: list[Row], result: Row) -> dict[str, Any]:
    name, _, _ = config.measured
    keys = {part: f"{part}/{name}" for part in ("valid", "train")}
    curves = {part: curve_of_rows([row for row in rows if is_number(row.get(key))], key) for part, key in keys.items()}
    to_solve = result.get("sequences_to_solve")
    if not result and isinstance(config, JudgedConfig) and config.solved_at is not None:
        wrong = [row for row in rows if is_number(row.get(config.solved_by))]
        thousands = first_below(curve_of_rows(wrong, config.solved_by), config.solved_at)
        to_solve = None if thousands is None else 1000 * thousands
    return {
        "curves": {part: (thinned(curve), smoothed(curve)) for part, curve in curves.items()},
        "valid": next((row for row in reversed(rows) if is_number(row.get(keys["valid"]))), {}),
        "to_solve": to_solve if is_number(to_solve) else None,
    }


def _status(path: Path, config: Config | None, rows: list[Row], ended: bool, troubles: list[str]) -> Status:
    if troubles or config is None:
        return "damaged"
    if ended:
        return "done"
    if is_locked(path):
        return "running"
    values = rows[-1].values() if rows else ()
    return "diverged" if any(isinstance(one, float) and not math.isfinite(one) for one in values) else "stopped"
