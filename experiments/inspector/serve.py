"""The inspector's page: a file, or from a server that only this machine reaches, whatever is chosen computed."""

import re
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from torch.overrides import TorchFunctionMode

from experiments.base.files import UserError
from experiments.inspector.inspector import Choice, Choices, Inspector
from experiments.web.document import document, to_json
from experiments.web.server import LocalHandler, LocalServer

_SCRIPTS = ("decode.js", "time.js", "step.js", "story.js", "main.js")


def page(data: dict[str, Any]) -> str:
    """The whole HTML document for what Inspector.page_data gives; UserError where plotly is not installed."""
    return document(Path(__file__).parent / "page", _SCRIPTS, data)


# Views that are computed at the same time, so that a long one blocks no short one, and memory has a bound.
_AT_ONCE = 4
# Seconds between two looks whether the reader of a view is still there.
_LOOK_EVERY = 0.2


class InspectorServer(LocalServer):
    """A server of the page at / and of one view at /view.json?length=20&seed=0&slots=; nothing else.

    UserError where the port is taken, or the first view cannot be.
    """

    def __init__(self, inspector: Inspector, choices: Choices, port: int) -> None:
        self.inspector = inspector
        self.first = page(inspector.page_data(choices, live=True)).encode()
        self.room = threading.Semaphore(_AT_ONCE)
        super().__init__(port, _Handler)


class _Handler(LocalHandler):
    server: InspectorServer

    def answer(self, place: str, query: str) -> None:
        if place == "/":
            self.send(HTTPStatus.OK, "text/html", self.server.first)
        elif place == "/view.json":
            choice = _choice(query, self.server.inspector)
            while not self.server.room.acquire(timeout=_LOOK_EVERY):
                self.check_wanted()
            try:
                with _Watched(self.check_wanted):
                    view = self.server.inspector.view(choice)
            finally:
                self.server.room.release()
            self.send(HTTPStatus.OK, "application/json", to_json(view).encode())
        else:
            self.send(HTTPStatus.NOT_FOUND, "text/plain", b"no such page\n")


class _Watched(TorchFunctionMode):
    """Within it every operation of this thread may be the last one: `check` raises where nobody wants the result."""

    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__()
        self._check, self._checked = check, time.monotonic()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (now := time.monotonic()) - self._checked > _LOOK_EVERY:
            self._checked = now
            self._check()
        return func(*args, **(kwargs or {}))


def _choice(query: str, inspector: Inspector) -> Choice:
    """What a page asks for; UserError for what is no whole number, or not to be chosen for these runs."""
    asked = parse_qs(query)
    values: dict[str, list[int]] = {}
    for name, least in (("length", 1), ("seed", 0), ("slots", 1)):
        text = asked.get(name, [""])[0]
        if text and not (re.fullmatch("[0-9]{1,12}", text) and int(text) >= least):
            raise UserError(f"{name} must be a whole number from {least} up to twelve digits, not {text[:20]!r}")
        values[name] = [int(text)] if text else []
    return inspector.choices(values["length"], values["seed"], values["slots"]).combined()[0]
