"""Which memory for what: a page from the registry, the results and a benchmark, which nobody writes by hand."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.base.reading import read_json
from experiments.base.tables import marked
from experiments.config.registry import DOMAINS, MODEL_FAMILIES, Model, at
from memnet import SequenceModule
from memnet.abilities import HasSlots

CHOICE = "choose.md"
# What `benchmark --json` wrote, in the folder of results.
COSTS = "benchmarks/models.json"
# Tasks that need a state followed step by step, and such that need what was seen to be said again without a mistake.
_FOLLOWED = ("parity", "even-pairs", "cycle-navigation", "modular-arithmetic", "group-product", "flip-flop")
_RECALLED = (
    "copy",
    "duplicate-string",
    "reverse-string",
    "associative-recall",
    "mqar",
    "induction-heads",
    "autoencode",
)
_SIZES = {"input_size": 8, "output_size": 8}
_HEAD = ("model", "state, numbers", "steps at once", "slots may be more", "follows a state", "recalls exactly", "cost")
_ABOUT = """\
Made by `python -m experiments results`: what a model is, from its code as its constructor makes it for {inputs} inputs,
a memory's controller an LSTM; what it does, from the results in this folder; what it costs, by the command below.

- **state, numbers**: what is carried from step to step for one sequence; it does not grow with the length.
- **steps at once**: whether many steps of a sequence are computed together; else they go one after the other.
- **slots may be more**: whether a memory may have more slots in a test than in training, so that what it holds is not
  bounded by its weights; attention's slots are the steps that it sees.
- **follows a state**, **recalls exactly**: per cent of test sequences without any mistake, of the worst seed, at the
  longest tested length; of several results on a task the best. A dash: nothing was measured, not: it cannot.
- **cost**: a training step with the fastest way to run it over that of the LSTM, {batch_size} sequences of {length}
  steps, each measured in products of matrices that were timed beside it.
"""


def choice(folder: Path, results: Mapping[str, Any]) -> str:
    """The page of a folder of results.

    results: by name.
    """
    measured = read_json(folder / COSTS)
    costs, case = _costs(measured["cases"]), measured["cases"][0]
    lines = ["# Choose a memory", ""]
    lines += _ABOUT.format(inputs=_SIZES["input_size"], **case).splitlines()
    for family, models in MODEL_FAMILIES.items():
        own = {name: model for name, model in models.items() if DOMAINS["sequences"].models.get(name) == model}
        if own:
            lines += ["", f"## {family}", "", _line(_HEAD), _line(["---"] * len(_HEAD))]
            lines += [_line(_cells(name, model, results, costs)) for name, model in own.items()]
    return "\n".join([*lines, "", "## The costs", "", "```", measured["command"], "```", ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(name: str, model: Model, results: Mapping[str, Any], costs: Mapping[str, float]) -> list[str]:
    make = at(model.place)
    controlled = {"controller": "lstm"} if "controller" in inspect.signature(make).parameters else {}
    made: SequenceModule = make(**_SIZES, **controlled, **model.fixed)
    cost = f"{costs[name]:.0f}" if costs[name] >= 10 else f"{costs[name]:.2g}"
    yes = {True: "yes", False: "-"}
    told = [f"{made.state_floats:,}", yes[made.cell.has_scan], yes[isinstance(made, HasSlots)]]
    seen = [_tested(name, tasks, results) for tasks in (_FOLLOWED, _RECALLED)]
    return [f"`{name}`", *told, *seen, cost]


def _tested(model: str, tasks: Sequence[str], results: Mapping[str, Any]) -> str:
    """What the results say of a model on some tasks, each with a link."""
    told = []
    for task in tasks:
        of_task = [
            (share, length, name)
            for name, result in results.items()
            if (_name(result, "model"), _name(result, "task")) == (model, task)
            for length, share in _longest(result)
        ]
        if of_task:
            share, length, name = max(of_task)
            told.append(f"[{marked(task)}]({name}.md) {100 * share:.3g} at {length:,}")
    return ", ".join(told) or "-"


def _name(result: Mapping[str, Any], part: str) -> str | None:
    """Of what a result is, a name now or formerly."""
    own = result.get("config", {}).get(part)
    return own.get("name") if isinstance(own, Mapping) else own


def _longest(result: Mapping[str, Any]) -> Iterator[tuple[int, float]]:
    """The longest length that was tested, and the worst seed's share of sequences without a mistake there."""
    tests = result.get("tests", [])
    found: dict[int, float] = {}
    for test in tests if isinstance(tests, list) else []:
        shares, length = test.get("scores", test).get("exact_share"), test.get("at", test).get("length")
        if shares is not None and length is not None:
            end = int(str(length).split("-")[-1])
            worst = min(one or 0.0 for one in shares["by_seed"].values())
            found[end] = max(found.get(end, 0.0), worst)
    if found:
        yield max(found.items())


def _costs(cases: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Each model's fastest training step over the LSTM's, in products timed beside it."""
    steps = {
        case["model"]: case["peak_gflop_per_second"] * min(way["median_ms"] for way in case["variants"])
        for case in cases
    }
    return {name: step / steps["lstm"] for name, step in steps.items()}
