"""What users bring by its place, MODULE:NAME or FILE.py:NAME, and what is wrong with it in one line."""

import hashlib
import importlib
import importlib.util
import sys
import sysconfig
import traceback
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any


def found(name: str) -> Any:
    """What is at MODULE:NAME or FILE.py:NAME.

    ValueError of one line for what is not there, or cannot be imported: then it names the line that was at work.
    """
    place, _, last = name.partition(":")
    try:
        module = _from_file(Path(place).resolve()) if place.endswith(".py") else importlib.import_module(place)
    except FileNotFoundError:
        raise ValueError(f"{name}: there is no file {place}") from None
    except ModuleNotFoundError as error:
        raise ValueError(f"{name}: no module is called {error.name}") from None
    except (Exception, SystemExit) as error:
        raise ValueError(f"{name}: {told(error)}") from None
    if not hasattr(module, last):
        raise ValueError(f"{name}: {place} has nothing called {last!r}")
    return getattr(module, last)


def told(error: BaseException) -> str:
    """An error in a user's code in one line, with the line of it that was at work."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    root, libraries = Path(__file__).parents[1], sysconfig.get_paths()
    places = (*(root / name for name in ("memnet", "tasks", "experiments")), libraries["stdlib"], libraries["purelib"])
    ours = (*map(str, places), "<frozen")
    own = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith(ours)]
    line = f"{own[-1].filename}, line {own[-1].lineno}: " if own else ""
    return f"{line}{type(error).__name__}: {' '.join(str(error).split())}"


@cache
def _from_file(path: Path) -> ModuleType:
    """A file as a module, once, under a name that no other file has, by which pickle and inspect find it."""
    if not path.is_file():
        raise FileNotFoundError(path)
    name = f"user_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
