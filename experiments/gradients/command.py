"""python -m experiments gradients: why gates and memories were invented, as one figure and two tables."""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from experiments.base.files import UserError, write_whole
from experiments.base.progress import working
from experiments.base.provenance import command_line, without_places
from experiments.base.tables import Table, coded
from experiments.base.terminal import page
from experiments.config.command_line import parse
from experiments.config.fields import check_least, check_positive
from experiments.figures.gradients import LagPanel, propagation_figure
from experiments.figures.style import DrawingOptions, figure_name, save_figure
from experiments.gradients.measuring import Clipped, clipping, lags_of, propagated
from experiments.gradients.networks import ABOUT, AT_REST, DRIVEN, GATED, NETWORKS, Network
from experiments.gradients.tables import clipping_table, plain, propagation_table
from experiments.gradients.trained import compare_runs
from experiments.runs.folder import RUNS, versions
from experiments.training.running import prepare

_LONGEST = 2000
Curves = Mapping[str, NDArray[np.float64]]


@dataclasses.dataclass(frozen=True)
class GradientsOptions(DrawingOptions):
    """Show how far gradients reach back through time in untrained networks: plain, gated, and with a memory.

    Writes OUT/gradients.md, .json and a figure. With runs, that were trained with --gradient-flow-every, their learning
    curves beside their gradients: OUT/trained-gradients.md, .json and a figure, and nothing of untrained networks.
    """

    runs: tyro.conf.Positional[tuple[str, ...]] = ()
    """Run folders; none for untrained networks."""

    steps: int = 500
    """The most steps that a gradient goes back."""
    before: int = 100
    """Steps that a network has taken before those that are measured. A state fresh from its start is unlike all later
    ones: ReLU units stand at zero, and an NTM's memory is empty, so that a small change of it turns its keys far."""
    seed: int = 0
    """The first seed of weights and inputs."""
    seeds: int = 10
    """How many seeds, from --seed on; the figure shows their median and quartiles."""
    clip_norm: float = 1.0
    """The norm to which gradients are clipped where that is shown."""
    out: str = str(RUNS)
    """The folder of the files; it is made if it is absent."""
    json: bool = False
    """Print JSON instead of the tables."""

    def check(self) -> None:
        """UserError for what cannot be."""
        check_least(self, 1, "steps", "seeds")
        check_least(self, 0, "seed", "before")
        check_positive(self, "clip_norm")
        for name in ("steps", "before"):
            if getattr(self, name) > _LONGEST:
                raise UserError(f"--{name} must be at most {_LONGEST}, not {getattr(self, name)}")


def gradients(args: Sequence[str]) -> int:
    """Measure, write the three files and print the tables."""
    options = parse(GradientsOptions, "gradients", args, flags=True)
    options.check()
    with options.drawn():
        return _measure(options, args)


def _measure(options: GradientsOptions, args: Sequence[str]) -> int:
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    made_by = without_places(command_line("gradients", *args))
    if options.runs:
        text, data = compare_runs(options.runs, out, made_by)
        return _tell(data if options.json else page(text), out / "trained-gradients")
    prepare("cpu", 1)
    terms, clipped = _measured(options)
    lags = lags_of(options.steps)
    tables = [propagation_table(terms, lags), clipping_table(clipped, options.steps, options.clip_norm)]
    text = _markdown(tables, options, made_by)
    data = json.dumps(_data(options, made_by, lags, terms, clipped), indent=1, allow_nan=False) + "\n"
    write_whole(out / "gradients.md", text)
    write_whole(out / "gradients.json", data)
    save_figure(_figure(options, lags, terms, clipped), out / figure_name("gradients"))
    return _tell(data if options.json else page(text), out / "gradients")


def _tell(text: str, files: Path) -> int:
    print(text, end="")
    for ending in ("md", "json"):
        print(f"{files}.{ending}", file=sys.stderr)
    print(figure_name(str(files)), file=sys.stderr)
    return 0


def _measured(options: GradientsOptions) -> tuple[Curves, dict[str, Clipped]]:
    """By network the propagation terms and, of those at rest, what clipping does."""
    seeds = range(options.seed, options.seed + options.seeds)
    terms, clipped = {}, {}
    for network in NETWORKS:
        with working(f"measuring {network.name}"):
            terms[network.name] = propagated(network, seeds, options.steps, options.before)
    for network in AT_REST:
        with working(f"clipping {network.name}"):
            clipped[network.name] = clipping(network, seeds, options.steps, options.before, options.clip_norm)
    return terms, clipped


def _markdown(tables: Sequence[Table], options: GradientsOptions, made_by: str) -> str:
    last = options.seed + options.seeds - 1
    seeds = f"seeds {options.seed} to {last}" if options.seeds > 1 else f"seed {last}"
    lines = [
        f"Made by {coded(made_by)}; {', '.join(f'{name} {value}' for name, value in versions().items())}.",
        f"Untrained networks, {seeds}, float64: {ABOUT}. Measured after {options.before} steps; "
        "how far the start matters shows `--before 0`.",
        "",
        f"![norms of the propagation term over the steps that a gradient goes back]({figure_name('gradients')})",
    ]
    return "\n\n".join(["\n".join(lines), *(table.markdown() for table in tables)]) + "\n"


def _data(
    options: GradientsOptions, made_by: str, lags: list[int], terms: Curves, clipped: Mapping[str, Clipped]
) -> dict[str, Any]:
    return {
        "command": made_by,
        "versions": versions(),
        "options": without_places(dataclasses.asdict(options)),
        "lags": lags,
        "log10_norms": {name: plain(curves) for name, curves in terms.items()},
        "clipping": {
            name: {f"log10_{key}": plain(values) for key, values in one._asdict().items()}
            for name, one in clipped.items()
        },
    }


def _figure(options: GradientsOptions, lags: list[int], terms: Curves, clipped: Mapping[str, Clipped]) -> Any:
    def panel(title: str, networks: Sequence[Network]) -> LagPanel:
        lines = {network.name: terms[network.name] for network in networks}
        return LagPanel(title, "norm of the propagation term", lags, lines, {})

    clipping_panel = LagPanel(
        f"The same clipped to {options.clip_norm:g} (dashed: before)",
        "norm of the gradient of a loss",
        lags,
        {name: one.clipped for name, one in clipped.items()},
        {name: one.norms for name, one in clipped.items()},
    )
    panels = [
        panel("At rest, without inputs", AT_REST),
        clipping_panel,
        panel("With inputs: how weights are drawn", DRIVEN),
        panel("With inputs: gates and memory", GATED),
    ]
    note = f"untrained; median and quartiles of {options.seeds} seeds"
    return propagation_figure(panels, "How far a gradient reaches back through time", note)
