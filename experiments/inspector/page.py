"""The inspector's page."""

from pathlib import Path
from typing import Any

from experiments.web.document import document

_SCRIPTS = ("decode.js", "time.js", "step.js", "story.js", "main.js")


def page(data: dict[str, Any]) -> str:
    """The whole HTML document for what Inspector.page_data gives; UserError where plotly is not installed."""
    return document(Path(__file__).parent / "page", _SCRIPTS, data)
