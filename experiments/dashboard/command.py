"""python -m experiments dashboard: the page as a file, or served while a suite runs."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import tyro

from experiments.base.files import UserError
from experiments.config.command_line import parse
from experiments.dashboard.collect import Collector
from experiments.dashboard.serve import PageServer, page
from experiments.runs.folder import RUNS
from experiments.web.document import write_page


@dataclasses.dataclass(frozen=True)
class DashboardOptions:
    """Show all runs below a folder on one page: a file that needs no network, or with --serve one that stays fresh.

    `dashboard push FOLDER` makes a workspace and a report of Weights & Biases instead.
    """

    folder: tyro.conf.Positional[str] = str(RUNS)
    """Where the runs are, at any depth."""
    out: str | None = None
    """The file to write; by default dashboard.html in the folder."""
    serve: bool = False
    """Serve the page on this machine alone, with new data as the runs go on, until Ctrl-C."""
    port: int = 8765
    """Where to serve; 0 takes a free one."""


def dashboard(args: Sequence[str]) -> int:
    """Write the page and print where it is, or serve it; `push` makes W&B's own, a folder of that name is ./push."""
    if args and args[0] == "push":
        from experiments.dashboard.push import push

        return push(args[1:])
    options = parse(DashboardOptions, "dashboard", args, flags=True)
    folder = Path(options.folder)
    if options.serve:
        return _serve(folder, options)
    out = Path(options.out) if options.out is not None else folder / "dashboard.html"
    data = Collector(folder, out.parent).read()
    write_page(out, page(data))
    for run in data["runs"]:
        for trouble in run["troubles"]:
            print(f"half-written run: {trouble}", file=sys.stderr)
    return 0


def _serve(folder: Path, options: DashboardOptions) -> int:
    if options.out is not None:
        raise UserError(f"--out {options.out} and --serve: a served page is no file; take one of them")
    with PageServer(folder, options.port) as server:
        server.run(str(folder))
    return 0
