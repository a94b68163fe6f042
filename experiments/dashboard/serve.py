"""The page from a server that only this machine reaches, with the data as it is now."""

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from experiments.dashboard.collect import Collector
from experiments.dashboard.page import page, to_json
from experiments.dashboard.runs import FILES
from experiments.files import UserError

_ADDRESS = "127.0.0.1"
_TYPES = {".yaml": "text/plain", ".json": "application/json", ".jsonl": "text/plain", ".png": "image/png"}


class PageServer(ThreadingHTTPServer):
    """A server of the page at /, its data at /data.json, and the small files of runs; nothing else.

    folder: holds the runs.
    port:   0 takes a free one.
    UserError where the port is taken, or the folder holds no run.
    """

    daemon_threads = True

    def __init__(self, folder: Path, port: int) -> None:
        self.collector = Collector(folder, folder)
        self.collector.read()
        # Readings share what is known of the runs.
        self.reading = threading.Lock()
        try:
            super().__init__((_ADDRESS, port), _Handler)
        except OSError as error:
            raise UserError(f"--port {port} cannot be used: {error.strerror}; --port 0 takes a free one") from None


class _Handler(BaseHTTPRequestHandler):
    server: PageServer

    def do_GET(self) -> None:
        # A page of another site may not read this one through a name that it points here.
        host = self.headers.get("Host", "").rsplit(":", 1)[0]
        if host not in (_ADDRESS, "localhost"):
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"this page is for this machine alone\n")
            return
        try:
            self._answer(unquote(urlsplit(self.path).path))
        except UserError as error:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{error}\n".encode())
        except ConnectionError:
            # The reader has gone.
            self.close_connection = True

    def _answer(self, place: str) -> None:
        collector = self.server.collector
        if place == "/":
            with self.server.reading:
                content = page(collector.read(), live=True).encode()
            self._send(HTTPStatus.OK, "text/html", content)
        elif place == "/data.json":
            self._data(collector)
        else:
            self._file(collector.folder, place)

    def _data(self, collector: Collector) -> None:
        with self.server.reading:
            tag = f'"{collector.version()}"'
            known = self.headers.get("If-None-Match") == tag
            content = b"" if known else to_json(collector.read() | {"live": True}).encode()
        self._send(HTTPStatus.NOT_MODIFIED if known else HTTPStatus.OK, "application/json", content, tag)

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
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"no such file\n")
        else:
            self._send(HTTPStatus.OK, _TYPES[path.suffix], content)

    def _send(self, status: HTTPStatus, kind: str, content: bytes, tag: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind if kind.startswith("image/") else f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal is the user's."""
