"""The page: one HTML file with all inside, or from a server that only this machine reaches, with the data of now."""

import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any

from experiments.dashboard.collect import Collector
from experiments.runs.reading import FILES
from experiments.web.document import document, to_json
from experiments.web.server import LocalHandler, LocalServer

_SCRIPTS = ("first.js", "charts.js", "heat.js", "main.js")


def page(data: dict[str, Any], *, live: bool = False) -> str:
    """The whole HTML document.

    data: as from Collector.read.
    live: whether a server behind the page has newer data at data.json.
    UserError where plotly is not installed.
    """
    return document(Path(__file__).parent / "page", _SCRIPTS, data | {"live": live})


_TYPES = {
    ".yaml": "text/plain",
    ".json": "application/json",
    ".jsonl": "text/plain",
    ".png": "image/png",
    ".html": "text/html",
}


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
