"""How far a training is: a live bar in a terminal, plain lines in a log. All of it on stderr."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

SHOWN = {"train/loss": "loss", "train/bits_per_sequence": "bits/seq"}

BAR_WIDTH = 16
# Seconds between two drawings of the bar, and between two plain lines.
BAR_EVERY = 0.25
LINE_EVERY = 1.0
# Seconds after which something is said though nothing has happened, and after which a terminal shows what is going on.
SILENT = 4.0
PATIENCE = 2.0
# The rate is that of the last so many seconds, so that a slow start is soon forgotten.
RATE_OVER = 30.0


class Progress:
    """A context manager that shows where a training stands, in a terminal as two live lines

        copy-ntm-s0 ━━━━━━━━━━━━━━━━  14%  16.0k sequences  1.2k seq/s  3m10s left
        step 1000/50000  loss 0.31  bits/seq 2.4  best 2.1

    and elsewhere as one line each time

        step 1000/50000  loss 0.31  bits/seq 2.4  best 2.1  16.0k sequences  1.2k seq/s  3m10s left

    total_sequences: at which number of sequences the training ends.
    console: where to draw, stderr by default.
    title:   what is trained, shown before the bar.
    start:   sequences seen before, for a resumed training.
    shown:   which keys of a row to show, and under which label.

    total_sequences may be set anew when the end comes nearer. An update costs a microsecond: the bar is
    drawn at most every BAR_EVERY seconds, a line is printed at most every LINE_EVERY seconds, and the
    last state is always shown on leaving. A step that takes long is told, too, every SILENT seconds: "step 7, 12s".
    """

    def __init__(
        self,
        total_sequences: int,
        console: Console | None = None,
        *,
        title: str = "",
        start: int = 0,
        shown: Mapping[str, str] = SHOWN,
    ) -> None:
        self.total_sequences = total_sequences
        self._title = title
        self._shown = shown
        self._console = console
        self._values: dict[str, Any] = {}
        self._sequences = start
        self._step = ""
        self._state = ""
        self._pace: deque[tuple[float, int]] = deque()
        self._drawn = -math.inf
        self._pending = False
        self._live: Live | None = None
        self._under_way = ""
        self._since = self._quiet_since = math.inf
        self._lock = threading.RLock()
        self._pulse = Pulse(self._beat)

    def __enter__(self) -> Progress:
        self._since = self._quiet_since = time.monotonic()
        self._pace.append((self._since, self._sequences))
        if is_live(self._console.file if self._console else sys.stderr):
            self._live = open_live(self._picture(), self._console)
        self._pulse.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._pulse.stop()
        try:
            if self._pending:
                self._draw(time.monotonic())
        finally:
            # Gives the cursor back, whatever happened.
            if self._live is not None:
                self._live.stop()

    def update(self, row: Mapping[str, Any], sequences: int, *, state: str = "") -> None:
        """Show where the training stands.

        row: the newest row of metrics; keys it lacks keep their last value.
        sequences: training sequences seen so far.
        state: a few words that stay until others come, like "best 0.02" or "solved".
        """
        with self._lock:
            self._values.update(row)
            self._sequences = sequences
            if row.get("step") and sequences:
                # Batches are all of one size.
                self._step = f"step {row['step']}/{round(self.total_sequences * row['step'] / sequences)}"
            self._state = state or self._state
            self._pending = True
            now = self._since = time.monotonic()
            if now - self._drawn >= (BAR_EVERY if self._live else LINE_EVERY):
                self._draw(now)

    def begin(self, step: int, sequences: int) -> None:
        """A step begins, after so many training sequences; said when it takes long, or when no row tells of it."""
        with self._lock:
            self._under_way, self._sequences, self._since = f"step {step}, ", sequences, time.monotonic()
            if self._since - max(self._drawn, self._quiet_since) >= (BAR_EVERY if self._live else SILENT):
                self._draw(self._since)

    def _beat(self) -> None:
        """Say that it is still alive, if it is time to."""
        with self._lock:
            now = time.monotonic()
            if now - max(self._drawn, self._quiet_since) >= (1.0 if self._live else SILENT):
                self._draw(now)

    def message(self, text: str) -> None:
        """Print a line of its own, above the bar if there is one."""
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            self._print(text)

    def _draw(self, now: float) -> None:
        self._drawn = now
        self._pending = False
        self._pace.append((now, self._sequences))
        while len(self._pace) > 2 and now - self._pace[1][0] > RATE_OVER:
            self._pace.popleft()
        if self._live is not None:
            self._live.update(self._picture(), refresh=True)
        else:
            title = [self._title] if self._title else []
            self._print("  ".join([*title, *self._scores(), *self._speed()]))

    def _scores(self) -> list[str]:
        known = [(label, self._values[key]) for key, label in self._shown.items() if key in self._values]
        parts = [self._step, *(f"{label} {value:.3g}" for label, value in known), self._state]
        if (taken := time.monotonic() - self._since) >= PATIENCE:
            parts.append(f"{self._under_way}{duration(taken)}")
        return [part for part in parts if part]

    def _speed(self) -> list[str]:
        parts = [f"{short(self._sequences)} sequences"]
        (earlier, before), (now, after) = self._pace[0], self._pace[-1]
        if now > earlier and after > before:
            rate = (after - before) / (now - earlier)
            left = max(self.total_sequences - self._sequences, 0) / rate
            parts += [f"{short(rate)} seq/s", f"{duration(left)} left"]
        return parts

    def _print(self, text: str) -> None:
        print(text, file=self._console.file if self._console else sys.stderr, flush=True)

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        done = min(self._sequences / max(self.total_sequences, 1), 1.0)
        words = f"{done:4.0%}  {'  '.join(self._speed())}"
        # A long title gives way to the time left.
        console = self._live.console if self._live is not None else self._console
        room = (console.width if console is not None else 80) - len(words) - BAR_WIDTH - 2
        first = Table.grid(padding=(0, 1))
        first.add_row(
            Text(abridged(self._title, max(room, 8)), style="bold"),
            ProgressBar(total=1.0, completed=done, width=BAR_WIDTH),
            Text(words, no_wrap=True, overflow="ellipsis"),
        )
        return Group(first, Text("  ".join(self._scores()), no_wrap=True, overflow="ellipsis"))


class Pulse:
    """Calls a function every second, in a thread of its own, from `start` until `stop` has returned."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat, self._ended = beat, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(1.0):
            self._beat()


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say what is being done, and for how long already, where it takes longer than a moment."""
    started, told = time.monotonic(), -math.inf
    live: Live | None = None

    def beat() -> None:
        nonlocal live, told
        now = time.monotonic()
        line = f"{what} ... {duration(now - started)}"
        if not is_live(sys.stderr):
            if now - max(started, told) >= SILENT:
                told = now
                print(line, file=sys.stderr, flush=True)
        elif now - started < PATIENCE:
            return
        elif live is None:
            live = open_live(line, transient=True)
        else:
            live.update(line, refresh=True)

    pulse = Pulse(beat)
    pulse.start()
    try:
        yield
    finally:
        pulse.stop()
        if live is not None:
            live.stop()


def is_live(stream: IO[str]) -> bool:
    """Whether a stream is a terminal on which something can be drawn again."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def open_live(picture: RenderableType, console: Console | None = None, *, transient: bool = False) -> Live:
    """A display in a terminal that is drawn where it is told to, so that no thread competes with the training.

    console: where, stderr by default. transient: whether it goes at its end.
    """
    from rich.console import Console
    from rich.live import Live

    live = Live(
        picture,
        console=console or Console(stderr=True, highlight=False),
        auto_refresh=False,
        transient=transient,
        # Results that go to a file must not be sent to the terminal.
        redirect_stdout=sys.stdout.isatty(),
    )
    live.start(refresh=True)
    return live


def abridged(text: str, room: int) -> str:
    """Text in so many characters at the most: of a longer one its beginning and its end, which tells runs apart."""
    if len(text) <= room:
        return text
    end = (room - 1) // 2
    return f"{text[: room - 1 - end]}…{text[len(text) - end :]}"


def short(number: float) -> str:
    """1234 as 1.2k."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}{letter}"
    return f"{number:.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def duration(seconds: float) -> str:
    """190 seconds as 3m10s; never more than two units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02d}h"
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
