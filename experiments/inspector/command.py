"""python -m experiments inspect: what a run did step by step, or two side by side, as a file or served.

Served, whatever is chosen is computed at once.
"""

import dataclasses
import re
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import tyro
from torch.overrides import TorchFunctionMode

from experiments.base.files import UserError
from experiments.config.command_line import parse
from experiments.config.fields import check_least
from experiments.config.registry import DOMAINS, at
from experiments.inspector.inspector import Choice, Choices, Inspector
from experiments.runs.folder import RunFolder
from experiments.training.loading import read_config
from experiments.training.running import prepare
from experiments.training.showing import Shown
from experiments.web.document import check_place, document, to_json, write_page
from experiments.web.server import LocalHandler, LocalServer

_SCRIPTS = ("decode.js", "time.js", "step.js", "story.js", "main.js")
# Views that are computed at the same time, so that a long one blocks no short one, and memory has a bound.
_AT_ONCE = 4
# Seconds between two looks whether the reader of a view is still there.
_LOOK_EVERY = 0.2


@dataclasses.dataclass(frozen=True)
class InspectOptions:
    """Look into the memory of a trained run step by step, or of two on the same task side by side.

    The page is one file that needs no network, and holds the lengths, seeds and slots given; with --serve any are
    computed as they are chosen. Where training has not ended, the latest checkpoint is looked into.
    """

    runs: tyro.conf.Positional[tuple[str, ...]]
    """The folder of a run, or of two."""
    out: str | None = None
    """The file to write; by default inspect.html in the run's folder, of two inspect-SECOND.html in the first's."""
    length: tuple[int, ...] = ()
    """Lengths of sequences, texts and the world model's stories; none for usual ones. At most 20,000 steps are
    shown."""
    seed: tuple[int, ...] = ()
    """Seeds of the examples, or of the choice among those of the test; none for 0 and 1."""
    num_slots: tuple[int, ...] = ()
    """Memory rows of an NTM; none for those it was trained with and, but for stories, twice as many."""
    serve: bool = False
    """Serve the page on this machine alone, until Ctrl-C; any length, seed and slots can then be chosen."""
    port: int = 8766
    """Where to serve; 0 takes a free one."""


def inspect(args: Sequence[str]) -> int:
    """Write the page and print where it is, or serve it."""
    options = parse(InspectOptions, "inspect", args, flags=True)
    check_least(options, 1, "length", "num_slots")
    check_least(options, 0, "seed")
    if options.serve and options.out is not None:
        raise UserError(f"--out {options.out} and --serve: a served page is no file; take one of them")
    prepare("cpu", 1)
    inspector = open_runs(options.runs)
    choices = inspector.choices(options.length, options.seed, options.num_slots)
    if options.serve:
        with InspectorServer(inspector, choices, options.port) as server:
            server.run(" and ".join(options.runs))
        return 0
    first, *others = (folder.path for folder in inspector.folders)
    name = "-".join(["inspect", *(path.resolve().name for path in others)])
    out = Path(options.out) if options.out is not None else first / f"{name}.html"
    check_place(out)
    write_page(out, page(inspector.page_data(choices, live=False)))
    return 0


def open_runs(runs: Sequence[str]) -> Inspector:
    """One run or two of the same task, ready to be looked into; UserError for anything else."""
    if not 1 <= len(runs) <= 2:
        raise UserError(f"inspect takes one run's folder or two, not {len(runs)}")
    folders = [RunFolder(run) for run in runs]
    configs = [read_config(folder) for folder in folders]
    if len({config.task.name for config in configs}) > 1:
        told = " and ".join(
            f"{folder.path} on {config.task.short}" for folder, config in zip(folders, configs, strict=True)
        )
        raise UserError(f"expected runs on the same task, not {told}")
    shown: Callable[[RunFolder], Shown] = at(DOMAINS[configs[0].domain].shown)
    return Inspector(folders, [shown(folder) for folder in folders])


def page(data: dict[str, Any]) -> str:
    """The whole HTML document for what Inspector.page_data gives; UserError where plotly is not installed."""
    return document(Path(__file__).parent / "page", _SCRIPTS, data)


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
