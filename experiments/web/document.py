"""One HTML file with its look, its program, the chart library and the data inside."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.base.files import UserError, write_whole

_SHARED = Path(__file__).parent / "parts"


def document(parts: Path, scripts: Sequence[str], data: dict[str, Any]) -> str:
    """The whole HTML document.

    parts:   the folder of the page's own page.html, page.css and scripts; the look and the script that all pages
             share come before them.
    scripts: names of files, in the order in which they run.
    data:    JSON-ready but for numbers that are not finite.
    UserError where plotly is not installed.
    """
    program = [_SHARED / "base.js", *(parts / name for name in scripts)]
    filled = {
        "CSS": _text(_SHARED / "base.css") + _text(parts / "page.css"),
        "DATA": to_json(data),
        "PROGRAM": "\n".join(map(_text, program)),
        "LIBRARY": _chart_library(),
    }
    # Split once: what is put in is not searched for further marks.
    pieces = _text(parts / "page.html").split("%%")
    return "".join(piece if number % 2 == 0 else filled[piece] for number, piece in enumerate(pieces))


def check_place(out: Path) -> None:
    """UserError where --out cannot become a file."""
    if out.is_dir() or not out.parent.is_dir():
        raise UserError(f"--out {out}: expected the path of a file in a folder that exists")


def write_page(out: Path, content: str) -> None:
    """Write a page, whole or not at all, and print where it is; UserError as from `check_place`."""
    check_place(out)
    write_whole(out, content)
    print(out)


def to_json(data: Any) -> str:
    """Strict JSON that may stand within a script element: null for what is not finite, no < > & anywhere."""
    text = json.dumps(finite(data), allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def finite(value: Any) -> Any:
    """Data for JSON, with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(path: Path) -> str:
    """What a part of a page holds, whatever encoding the locale has."""
    return path.read_text(encoding="utf-8")


def _chart_library() -> str:
    try:
        from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]
    except ImportError:
        raise UserError("the pages need plotly: pip install plotly") from None
    # An end tag within the library's strings would end its script element.
    return str(get_plotlyjs()).replace("</script", "<\\/script")
