"""Serving a page to this machine alone."""

import select
import socket
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from experiments.base.files import UserError

_ADDRESS = "127.0.0.1"


class LocalServer(ThreadingHTTPServer):
    """A server that only this machine reaches.

    port:    0 takes a free one.
    handler: what answers.
    UserError where the port cannot be used.
    """

    daemon_threads = True

    def __init__(self, port: int, handler: type["LocalHandler"]) -> None:
        if not 0 <= port < 65536:
            raise UserError(f"--port must be from 0 to 65535, not {port}")
        try:
            super().__init__((_ADDRESS, port), handler)
        except OSError as error:
            raise UserError(f"--port {port} cannot be used: {error.strerror}; --port 0 takes a free one") from None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing where the reader has gone."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def run(self, shown: str) -> None:
        """Tell where the page is and what it shows, and serve it until Ctrl-C."""
        try:
            print(f"http://{_ADDRESS}:{self.server_address[1]}/ shows {shown}; stop with Ctrl-C", flush=True)
            self.serve_forever()
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)


class LocalHandler(BaseHTTPRequestHandler):
    """Answers to GET by `answer`; a UserError there is told with status 503.

    timeout: seconds that a reader may say and take nothing.
    """

    timeout = 30

    def answer(self, place: str, query: str) -> None:
        """Send what is at a place, as it stands in the address before and after the question mark."""
        raise NotImplementedError

    def check_wanted(self) -> None:
        """ConnectionAbortedError where the reader has gone, who says nothing more as long as he waits."""
        said = select.select([self.connection], [], [], 0)[0]
        if said and not self.connection.recv(1, socket.MSG_PEEK):
            raise ConnectionAbortedError

    def do_GET(self) -> None:
        # A page of another site may not read this one through a name that it points here.
        host = self.headers.get("Host", "").rsplit(":", 1)[0]
        if host not in (_ADDRESS, "localhost"):
            self.send(HTTPStatus.FORBIDDEN, "text/plain", b"this page is for this machine alone\n")
            return
        try:
            address = urlsplit(self.path)
            self.answer(unquote(address.path), address.query)
        except UserError as error:
            self.send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{error}\n".encode())
        except ConnectionError:
            # The reader has gone.
            self.close_connection = True

    def send(self, status: HTTPStatus, kind: str, content: bytes, tag: str = "") -> None:
        """Send content of a MIME type; tag: its ETag."""
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
