"""The page: one HTML file with its look, its program, the chart library and the data inside."""

from pathlib import Path
from typing import Any

from experiments.web.document import document

_SCRIPTS = ("first.js", "charts.js", "heat.js", "main.js")


def page(data: dict[str, Any], *, live: bool = False) -> str:
    """The whole HTML document.

    data: as from Collector.read.
    live: whether a server behind the page has newer data at data.json.
    UserError where plotly is not installed.
    """
    return document(Path(__file__).parent / "page", _SCRIPTS, data | {"live": live})
