"""Reading a page as a browser would."""

import json
from html.parser import HTMLParser
from typing import Any


class Reader(HTMLParser):
    """Collects the addresses that a page would load and the text of its script elements."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.addresses += [value or "" for key, value in known.items() if key in ("src", "href")]
        if tag in ("script", "style"):
            self.scripts.append((known, ""))
        if tag not in ("meta", "link", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)


def data_of(document: str) -> dict[str, Any]:
    reader = Reader()
    reader.feed(document)
    content: dict[str, Any] = json.loads(next(text for known, text in reader.scripts if known.get("id") == "data"))
    return content
