"""python -m experiments dashboard: the page as a file, or served while a suite runs."""

import dataclasses
import sys
import threading
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import tyro

from experiments.base.files import UserError
from experiments.config.command_line import parse
from experiments.dashboard.collect import Collector
from experiments.runs.folder import RUNS
from experiments.runs.reading import FILES
from experiments.web.document import document, to_json, write_page
from experiments.web.server import LocalHandler, LocalServer

_SCRIPTS = ("first.js", "charts.js", "heat.js", "main.js")
_TYPES = {
    ".yaml": "text/plain",
    ".json": "application/json",
    ".jsonl": "text/plain",
    ".png": "image/png",
    ".html": "text/html",
}


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


def page(data: dict[str, Any], *, live: bool = False) -> str:
    """The whole HTML document.

    data: as from Collector.read.
    live: whether a server behind the page has newer data at data.json.
    UserError where plotly is not installed.
    """
    return document(Path(__file__).parent / "page", _SCRIPTS, data | {"live": live})


class PageServer(LocalServer):
    """A server of the page at /, its data at /data.json, and the small files of runs; nothing else.

    folder: holds the runs.
    port:   0 takes a free one.
    UserError where the port is taken, or the folder holds no run.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.collector = Collector(folder, folder)
        self.collector.read()
        # Readings share what is known of the runs.
        self.reading = threading.Lock()
        super().__init__(port, _Handler)


class _Handler(LocalHandler):
    server: PageServer

    def answer(self, place: str, query: str) -> None:
        collector = self.server.collector
        if place == "/":
            with self.server.reading:
                content = page(collector.read(), live=True).encode()
            self.send(HTTPStatus.OK, "text/html", content)
        elif place == "/data.json":
            self._data(collector)
        else:
            self._file(collector.folder, place)

    def _data(self, collector: Collector) -> None:
        with self.server.reading:
            tag = f'"{collector.version()}"'
            known = self.headers.get("If-None-Match") == tag
            content = b"" if known else to_json(collector.read() | {"live": True}).encode()
        self.send(HTTPStatus.NOT_MODIFIED if known else HTTPStatus.OK, "application/json", content, tag)

    def _file(self, folder: Path, place: str) -> None:
        """A file that the page links to, and none outside the folder."""
        root = folder.resolve()
        try:
            path = (root / place.lstrip("/")).resolve()
            linked = path.name in FILES or (path.suffix == ".png" and path.parent.name == "figures")
            content = path.read_bytes() if linked and path.is_relative_to(root) else None
        except (OSError, ValueError):
            content = None
        if content is None:
            self.send(HTTPStatus.NOT_FOUND, "text/plain", b"no such file\n")
        else:
            self.send(HTTPStatus.OK, _TYPES[path.suffix], content)
