"""python -m experiments inspect: what a run did step by step, or two side by side, as a file or served."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import tyro

from experiments.base.files import UserError
from experiments.config.command_line import parse
from experiments.config.fields import check_least
from experiments.config.registry import DOMAINS, at
from experiments.inspector.inspector import Inspector
from experiments.inspector.serve import InspectorServer, page
from experiments.runs.folder import RunFolder
from experiments.training.loading import read_config
from experiments.training.running import prepare
from experiments.training.showing import Shown
from experiments.web.document import check_place, write_page


@dataclasses.dataclass(frozen=True)
class InspectOptions:
    """Look into the memory of a trained run step by step, or of two on the same task side by side.

    The page is one file that needs no network, and holds the lengths, seeds and slots given; with --serve any are
    computed as they are chosen. Where training has not ended, the latest checkpoint is looked into.
    """

    runs: tyro.conf.Positional[tuple[str, ...]]
    """The folder of a run, or of two."""
    out: str | None = None
    """The file to write; by default inspect.html in the run's folder, of two inspect-SECOND.html in the first's."""
    length: tuple[int, ...] = ()
    """Lengths of sequences, texts and the world model's stories; none for usual ones. At most 20,000 steps are
    shown."""
    seed: tuple[int, ...] = ()
    """Seeds of the examples, or of the choice among those of the test; none for 0 and 1."""
    num_slots: tuple[int, ...] = ()
    """Memory rows of an NTM; none for those it was trained with and, but for stories, twice as many."""
    serve: bool = False
    """Serve the page on this machine alone, until Ctrl-C; any length, seed and slots can then be chosen."""
    port: int = 8766
    """Where to serve; 0 takes a free one."""


def inspect(args: Sequence[str]) -> int:
    """Write the page and print where it is, or serve it."""
    options = parse(InspectOptions, "inspect", args, flags=True)
    check_least(options, 1, "length", "num_slots")
    check_least(options, 0, "seed")
    if options.serve and options.out is not None:
        raise UserError(f"--out {options.out} and --serve: a served page is no file; take one of them")
    prepare("cpu", 1)
    inspector = open_runs(options.runs)
    choices = inspector.choices(options.length, options.seed, options.num_slots)
    if options.serve:
        with InspectorServer(inspector, choices, options.port) as server:
            server.run(" and ".join(options.runs))
        return 0
    first, *others = (folder.path for folder in inspector.folders)
    name = "-".join(["inspect", *(path.resolve().name for path in others)])
    out = Path(options.out) if options.out is not None else first / f"{name}.html"
    check_place(out)
    write_page(out, page(inspector.page_data(choices, live=False)))
    return 0


def open_runs(runs: Sequence[str]) -> Inspector:
    """One run or two of the same task, ready to be looked into; UserError for anything else."""
    if not 1 <= len(runs) <= 2:
        raise UserError(f"inspect takes one run's folder or two, not {len(runs)}")
    folders = [RunFolder(run) for run in runs]
    configs = [read_config(folder) for folder in folders]
    if len({config.task.name for config in configs}) > 1:
        told = " and ".join(
            f"{folder.path} on {config.task.short}" for folder, config in zip(folders, configs, strict=True)
        )
        raise UserError(f"expected runs on the same task, not {told}")
    shown: Callable[[RunFolder], Shown] = at(DOMAINS[configs[0].domain].shown)
    return Inspector(folders, [shown(folder) for folder in folders])
