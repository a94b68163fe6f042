"""What runs learned beside how far gradients reached back in them: one figure and one table."""

import json
from collections.abc import Sequence
from pathlib import Path

from experiments.base.files import UserError, write_whole
from experiments.base.tables import Cell, Table, coded
from experiments.figures.gradients import Learner, flows_figure, norms_by_lag
from experiments.figures.style import Measure, figure_name, save_figure
from experiments.runs.about import read_about
from experiments.runs.folder import RunFolder, versions
from experiments.runs.metrics import read_metrics
from experiments.runs.tests import without_learning

_HEAD = (
    *("run", "learned", "last validation", "without learning", "steps back"),
    *("gradient there / one step back, at first", "at the end"),
)
_NOTE = (
    "Gradient: norm of a sequence's loss by the state, mean of a few fixed sequences, float64; its ratio between the "
    "first step and the last one of a sequence, before much training and at the end of it."
)


def compare_runs(runs: Sequence[str], out: Path, made_by: str) -> tuple[str, str]:
    """Write OUT/trained-gradients.md, .json and a figure of runs that were trained with --gradient-flow-every.

    Returns the Markdown and the JSON. UserError for a run that has no such rows.
    """
    learners, rows = [], []
    for place, run in enumerate(runs):
        learner, cells = _read(RunFolder(run), place)
        learners.append(learner)
        rows.append(cells)
    table = Table("Learning and gradients", list(_HEAD), rows, [_NOTE])
    content = {"command": made_by, "versions": versions(), "table": table.data(runs)}
    picture = f"![learning curves beside gradient norms by steps back]({figure_name('trained-gradients')})"
    text = f"Made by {coded(made_by)}.\n\n{picture}\n\n{table.markdown()}\n"
    write_whole(out / "trained-gradients.md", text)
    data = json.dumps(content, indent=1) + "\n"
    write_whole(out / "trained-gradients.json", data)
    figure = flows_figure(learners, "What was learned, and how far gradients reached")
    save_figure(figure, out / figure_name("trained-gradients"))
    return text, data


def _read(folder: RunFolder, place: int) -> tuple[Learner, list[Cell]]:
    about, rows = read_about(folder.path), read_metrics(folder.metrics)
    measure = Measure.of_learning(about)
    looks = [norms for row in rows if (norms := norms_by_lag(row))]
    valid = [row for row in rows if f"valid/{measure.name}" in row]
    if not looks or not valid:
        raise UserError(
            f"{folder.path} has no looks at its gradients: expected a run that was trained with --gradient-flow-every"
        )
    tests = about["tests"]
    baseline = without_learning(about, folder.read_tests())
    reached = valid[-1][f"valid/{measure.name}"]
    at = f" at {tests['trained'][1]} {tests['unit']}" if tests["trained"] else ""
    title = f"{about['subject']}{at}, {about['model']}, seed {about['seed']}"
    runs = (place,)
    cells = [
        Cell(title, None, runs),
        Cell(f"{valid[-1]['sequences']:,} {about['examples']}", valid[-1]["sequences"], runs),
        Cell(f"{reached:.3g} {measure.unit}", reached, runs),
        Cell("-" if baseline is None else f"{baseline:.4g}", baseline, runs),
        Cell(str(max(looks[0])), max(looks[0]), runs),
        *(Cell(f"{ratio:.2g}", ratio, runs) for ratio in map(_reach, (looks[0], looks[-1]))),
    ]
    return Learner(title, rows, measure, baseline), cells


def _reach(norms: dict[int, float]) -> float:
    """How much of the gradient is left at the largest lag, of that one step back."""
    return norms[max(norms)] / norms[min(norms)] if norms[min(norms)] else 0.0
