"""Which charts a workspace or report of W&B has, by what the runs have logged."""

import dataclasses
import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from experiments.base.reading import read_yaml
from experiments.runs.about import About
from experiments.runs.folder import RunFolder
from experiments.runs.handover import outcome, test_points
from experiments.runs.tracking import TRAINING_PICTURES

CHARTS = Path(__file__).with_name("charts.yaml")


@dataclasses.dataclass(frozen=True)
class Chart:
    """One chart.

    kind:     a line with a band from the lowest to the highest seed, bars, pictures, or a table.
    metrics:  what is shown.
    by:       whose runs are put together: those of a "Group", one setting on one task, or of a "setting" on all.
    together: how, of lines and bars.
    x:        of lines the horizontal axis.
    """

    kind: Literal["line", "bars", "pictures", "table"]
    title: str
    metrics: Sequence[str]
    x: str = "sequences"
    log_x: bool = False
    log_y: bool = False
    by: Literal["Group", "setting"] = "Group"
    together: Literal["mean", "median"] = "mean"


def logged_keys(folder: RunFolder, about: About, logged: Iterable[str]) -> set[str]:
    """The names under which `sync` gives W&B what this run has; UserError where it is damaged.

    logged: those of its metrics.
    """
    keys = {*logged}
    if result := folder.read_result():
        tests = folder.read_tests()
        keys |= outcome(about, tests, result).keys() | {key for row in test_points(about, tests) for key in row}
    keys |= {f"figures/{path.stem}" for path in folder.figures.glob("*.png")}
    keys |= {TRAINING_PICTURES} if folder.training_pictures() else set()
    return keys | {f"tables/{path.stem}" for path in (folder.failures, folder.answers) if path.exists()}


def sections(keys: Iterable[str]) -> dict[str, list[Chart]]:
    """The charts by section, see charts.yaml, of nothing but the given names."""
    known = set(keys)
    every = read_yaml(CHARTS, "charts")
    kept = {name: [chart for told in charts for chart in _charts(told, known)] for name, charts in every.items()}
    return {name: charts for name, charts in kept.items() if charts}


def _charts(told: Mapping[str, Any], known: set[str]) -> Iterator[Chart]:
    """The chart that is asked for, or one for each name, as far as there is something to show."""
    options = {name: value for name, value in told.items() if name != "each"}
    chart = Chart(**options | {"metrics": sorted(fnmatch.filter(known, told["metrics"]), key=_in_order)})
    if not chart.metrics or (chart.kind == "line" and chart.x not in known):
        return
    if not told.get("each"):
        yield chart
    for key in chart.metrics if told.get("each") else ():
        if key != TRAINING_PICTURES:
            yield dataclasses.replace(chart, title=key.partition("/")[2], metrics=[key])


def _in_order(key: str) -> tuple[str, int, str]:
    """A key that puts task-2 before task-10."""
    name, _, number = key.rpartition("-")
    return (name, int(number), "") if number.isdecimal() else (key, 0, "")
