"""The page: one HTML file with its look, its program, the chart library and the data inside."""

import json
import math
from pathlib import Path
from typing import Any

from experiments.files import UserError

_PARTS = Path(__file__).parent / "page"
_SCRIPTS = ("first.js", "charts.js", "heat.js", "main.js")


def page(data: dict[str, Any], *, live: bool = False) -> str:
    """The whole HTML document.

    data: as from Collector.read.
    live: whether a server behind the page has newer data at data.json.
    UserError where plotly is not installed.
    """
    program = "\n".join((_PARTS / name).read_text() for name in _SCRIPTS)
    parts = {
        "CSS": (_PARTS / "page.css").read_text(),
        "DATA": to_json(data | {"live": live}),
        "PROGRAM": program,
        "LIBRARY": _chart_library(),
    }
    # Split once: what is put in is not searched for further marks.
    pieces = (_PARTS / "page.html").read_text().split("%%")
    return "".join(piece if number % 2 == 0 else parts[piece] for number, piece in enumerate(pieces))


def to_json(data: Any) -> str:
    """Strict JSON that may stand within a script element: null for what is not finite, no < > & anywhere."""
    text = json.dumps(_finite(data), allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _chart_library() -> str:
    try:
        from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]
    except ImportError:
        raise UserError("the dashboard needs plotly: pip install plotly") from None
    # An end tag within the library's strings would end its script element.
    return str(get_plotlyjs()).replace("</script", "<\\/script")
