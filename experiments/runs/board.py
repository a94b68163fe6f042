"""One live display over many runs at once, read from their files: metrics.jsonl tells how far each is."""

from __future__ import annotations

import math
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.base.progress import BAR_WIDTH, abridged, duration, is_live, open_live, short
from experiments.runs.about import ABOUT, About, read_about
from experiments.runs.metrics import from_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

# Seconds between two drawings in a terminal, and between two lines elsewhere.
BOARD_EVERY = 0.5
LINE_EVERY = 60.0
# Letters of a run's name that are shown, so that its bar and the time left fit beside it.
_NAME = 24


class Follower:
    """How far a run is, by the rows that its metrics have got since the last look.

    run:    its folder, which may not be there yet.
    share:  of the training that is done, 0..1; it jumps where the task is solved, since the end is nearer then.
    values: the newest of every metric.
    """

    def __init__(self, run: Path) -> None:
        self.share = 0.0
        self.values: dict[str, Any] = {}
        self._run = run
        self._about: About | None = None
        self._read = 0
        self._last_step = math.inf

    @property
    def seconds(self) -> float:
        """Of training so far."""
        return float(self.values.get("perf/seconds", 0.0))

    @property
    def left(self) -> float | None:
        """Seconds of training to come, if they are like those before; None before a row that has a time."""
        return self.seconds * (1 - self.share) / self.share if self.share and self.seconds else None

    def look(self) -> None:
        """Read what is new. A file that has become shorter is that of a run that went back to its checkpoint.

        What is no row is passed over: the run itself complains of it.
        """
        if self._about is None and (self._run / ABOUT).exists():
            self._about = read_about(self._run)
            self._last_step = self._about["last_step"]
        try:
            with (self._run / "metrics.jsonl").open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._read:
                    self._read = 0
                file.seek(self._read)
                new = file.read()
        except FileNotFoundError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for row in map(from_line, whole.splitlines()):
            if row is not None:
                self._take(row)

    def _take(self, row: Mapping[str, Any]) -> None:
        self.values.update(row)
        if self._about is not None and (solved := self._about["solved"]) is not None:
            reached = row.get(solved["metric"])
            if isinstance(reached, float) and reached < solved["under"]:
                self._last_step = min(self._last_step, row["step"] + solved["then_steps"])
        self.share = row["step"] / self._last_step

    @property
    def words(self) -> list[str]:
        """Rate, time left, loss, and what counts as solved or is learned."""
        parts = []
        if (left := self.left) is not None:
            parts = [f"{short(self.values['perf/sequences_per_second'])} seq/s", f"{duration(left)} left"]
        shown = {"train/loss": "loss"}
        if self._about is not None:
            curve, solved = self._about["curve"], self._about["solved"]
            own = {f"valid/{curve['metric']}": f"valid {curve['unit']}"}
            shown |= own if solved is None else {solved["metric"]: f"valid {solved['unit']}"}
        scores = ((label, self.values[key]) for key, label in shown.items() if key in self.values)
        return parts + [f"{label} {value:.3g}" for label, value in scores if isinstance(value, int | float)]


class Board:
    """A context manager that shows many runs: in a terminal a line for all, with a bar, and one for each that is at
    work; elsewhere what happens, and every minute a line for all.

    runs:    the folder of each, by name.
    at_once: how many are at work at the same time.
    kind:    what they are called.
    console: where to draw, stderr by default.
    """

    def __init__(
        self, runs: Mapping[str, Path], at_once: int, kind: str = "jobs", console: Console | None = None
    ) -> None:
        self._at_once, self._kind, self._console = at_once, kind, console
        self._runs = {name: Follower(path) for name, path in runs.items()}
        self._results = {name: path / "result.json" for name, path in runs.items()}
        self._drawn = -math.inf
        self._live: Live | None = None

    def __enter__(self) -> Board:
        if is_live(self._console.file if self._console else sys.stderr):
            self._live = open_live(self._picture([]), self._console)
        self._drawn = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        # Gives the cursor back, whatever happened.
        if self._live is not None:
            self._live.stop()

    def tell(self, line: str) -> None:
        """Print a line, above the display if there is one."""
        if self._live is not None:
            self._live.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=self._console.file if self._console else sys.stderr, flush=True)

    def show(self, running: Sequence[str]) -> None:
        """Draw, if it is time to."""
        now = time.monotonic()
        if now - self._drawn < (BOARD_EVERY if self._live else LINE_EVERY):
            return
        self._drawn = now
        for name in running:
            self._runs[name].look()
        if self._live is not None:
            self._live.update(self._picture(running), refresh=True)
        else:
            each = [f"{name} {self._runs[name].share:.0%}" for name in running]
            self.tell("  ".join([*self._whole(running), *each]))

    def _whole(self, running: Sequence[str]) -> list[str]:
        """How far all of them are."""
        done = [name for name, result in self._results.items() if result.exists()]
        for name in done:
            self._runs[name].look()
        parts = [f"{len(done)} of {len(self._runs)} {self._kind} done", f"{len(running)} running"]
        if (left := self._left(done, running)) is not None:
            parts.append(f"about {duration(left)} left")
        return parts

    def _left(self, done: Sequence[str], running: Sequence[str]) -> float | None:
        """Seconds until all is done: runs that wait are taken to be like those that are known."""
        known = {name: left for name in running if (left := self._runs[name].left) is not None}
        whole = [self._runs[name].seconds + left for name, left in known.items()]
        whole += [self._runs[name].seconds for name in done if self._runs[name].seconds]
        if not whole:
            return None
        unknown = len(self._runs) - len(done) - len(known)
        total = sum(known.values()) + unknown * statistics.fmean(whole)
        return max(total / self._at_once, *known.values(), 0.0)

    def _picture(self, running: Sequence[str]) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        for name in running:
            run = self._runs[name]
            words = Text("  ".join(run.words), no_wrap=True, overflow="ellipsis")
            grid.add_row(
                Text(abridged(name, _NAME), no_wrap=True),
                ProgressBar(1.0, run.share, BAR_WIDTH),
                Text(f"{run.share:4.0%}"),
                words,
            )
        return Group(grid, Text("  ".join(self._whole(running)), style="bold"))
