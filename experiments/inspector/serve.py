"""The inspector's page from a server that only this machine reaches, with whatever is chosen computed at once."""

import re
import threading
from http import HTTPStatus
from urllib.parse import parse_qs

from experiments.files import UserError
from experiments.inspector.inspector import Choice, Choices, Inspector
from experiments.inspector.page import page
from experiments.web.document import to_json
from experiments.web.server import LocalHandler, LocalServer


class InspectorServer(LocalServer):
    """A server of the page at / and of one view at /view.json?length=20&seed=0&slots=; nothing else.

    UserError where the port is taken, or the first view cannot be.
    """

    def __init__(self, inspector: Inspector, choices: Choices, port: int) -> None:
        self.inspector = inspector
        self.first = page(inspector.page_data(choices, live=True)).encode()
        # The slots of a model are set for one view at a time.
        self.computing = threading.Lock()
        super().__init__(port, _Handler)


class _Handler(LocalHandler):
    server: InspectorServer

    def answer(self, place: str, query: str) -> None:
        if place == "/":
            self.send(HTTPStatus.OK, "text/html", self.server.first)
        elif place == "/view.json":
            with self.server.computing:
                view = self.server.inspector.view(_choice(query, self.server.inspector))
            self.send(HTTPStatus.OK, "application/json", to_json(view).encode())
        else:
            self.send(HTTPStatus.NOT_FOUND, "text/plain", b"no such page\n")


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
