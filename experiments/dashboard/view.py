"""Which charts a workspace or report of W&B has, by what the runs have logged."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal

from experiments.runs.about import About
from experiments.runs.folder import RunFolder
from experiments.runs.handover import outcome, test_points
from experiments.runs.tracking import TRAINING_PICTURES

# Their curves are one chart each.
_WATCHED = {
    "gradient": "Norm of the gradient by part",
    "entropy": "Entropy of weightings, bits",
    "memory": "Slots used",
    "gate": "Gates",
}


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
    """The charts by section, of nothing but the given names."""
    known = set(keys)
    lines = [
        Chart("line", "Bits per validation sequence", ["valid/bits_per_sequence"], log_y=True),
        Chart("line", "Wrong bits per validation sequence", ["valid/wrong_bits_per_sequence"], log_y=True),
        Chart("line", "Validation error, %", ["valid/error_percent"]),
        Chart("line", "Nats per scored step of validation", ["valid/nats_per_step"], log_y=True),
        Chart("line", "Mean squared error of validation", ["valid/mse"], log_y=True),
        Chart("line", "Bits per validation character", ["valid/bits_per_character"]),
        Chart("line", "Training loss", ["train/loss"], log_y=True),
    ]
    success = [
        Chart("bars", "Share of seeds that solved the task", ["outcome/solved"]),
        Chart("bars", "Sequences to solve, median", ["outcome/sequences_to_solve"], together="median"),
        Chart("bars", "Failed tests (over 5 % wrong)", ["outcome/failed_tests"]),
        Chart("bars", "Error over all tests, %", ["outcome/error_percent"]),
    ]
    tests = [
        Chart("line", "Bit error rate by length", ["test/bit_error_rate"], x="test/length", log_x=True, log_y=True),
        Chart("line", "Sequences exactly right by length", ["test/exact_share"], x="test/length", log_x=True),
        Chart("line", "Test error by length, %", ["test/error_percent"], x="test/length", log_x=True),
    ]
    by_task = sorted((key for key in known if key.startswith("test/error_percent/task-")), key=_number)
    babi = [Chart("bars", "Test error by bAbI task, %", by_task, by="setting")]
    pictures = [Chart("pictures", "Memory, attention or gates in training", [TRAINING_PICTURES])]
    drawn = sorted(key for key in known if key.startswith("figures/") and key != TRAINING_PICTURES)
    pictures += [Chart("pictures", key.removeprefix("figures/"), [key]) for key in drawn]
    watched = [
        Chart("line", title, sorted(key for key in known if key.startswith(f"{prefix}/")), log_y=prefix == "gradient")
        for prefix, title in _WATCHED.items()
    ]
    watched.append(Chart("line", "Sequences per second", ["perf/sequences_per_second"]))
    tables = [Chart("table", name, [f"tables/{name}"]) for name in ("failures", "answers")]
    every = {
        "Learning": lines,
        "Success": success,
        "Error against length": tests,
        "bAbI": babi,
        "Pictures": pictures,
        "Inside the model": watched,
        "Answers and failures": tables,
    }
    kept = {name: [chart for chart in charts if _shown(chart, known)] for name, charts in every.items()}
    return {name: charts for name, charts in kept.items() if charts}


def _shown(chart: Chart, known: set[str]) -> bool:
    needed = {*chart.metrics, *([chart.x] if chart.kind == "line" else [])}
    return bool(chart.metrics) and needed <= known


def _number(key: str) -> int:
    return int(key.rpartition("-")[2])
