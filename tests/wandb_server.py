"""A stand-in for the server of W&B on this machine, just enough for a run to be sent to it."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WandbServer:
    """Keeps what was sent: `runs` are the fields of each run, `history` the rows, `exit_code` the end."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.history: list[dict[str, Any]] = []
        self.exit_code: int | None = None
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.keeper = self  # type: ignore[attr-defined]
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def stop(self) -> None:
        """Be gone, as a network that fails."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/file_stream"):
            lines = message.get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
            self.history += map(json.loads, lines)
            self.exit_code = message.get("exitcode", self.exit_code)
        asked, given = message.get("query", ""), message.get("variables", {})
        if "mutation UpsertBucket" in asked:
            self.runs.append(given)
            project = {"id": "p", "name": given["project"], "entity": {"id": "e", "name": "team"}}
            bucket = {"id": "r", "name": given["name"], "project": project, "historyLineCount": 0, "config": "{}"}
            return {"data": {"upsertBucket": {"inserted": True, "bucket": bucket}}}
        if "mutation CreateRunFiles" in asked:
            files = [{"name": name, "uploadUrl": f"{self.url}/storage/{name}"} for name in given["files"]]
            return {"data": {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}}
        return {"data": {}}


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        is_json = self.path.endswith(("/graphql", "/file_stream"))
        keeper: WandbServer = self.server.keeper  # type: ignore[attr-defined]
        answer = json.dumps(keeper.answer(self.path, json.loads(body) if is_json else {})).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_PUT = do_POST

    def log_message(self, *_: object) -> None:
        pass
