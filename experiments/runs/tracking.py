"""Weights & Biases beside metrics.jsonl: the same rows, and never in the way of the training.

Offline unless asked. All runs of one folder share one `wandb` directory beside them, so that
`wandb leet` and `wandb sync` see them together. W&B's own environment variables win over what
this program would choose. A tracker that breaks, hangs or loses the network costs one warning.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shlex
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from experiments.base.files import UserError
from experiments.runs.wandb_environment import (
    LONGEST_NAME,
    LONGEST_TAG,
    PROJECT,
    RUN_ID,
    given_run_id,
    import_wandb,
    open_run,
    reason_of,
    shortened,
    tear_down,
    variable,
    variable_set,
    warn,
)

# What pictures drawn in training are called, all of them, so that one can slide through the steps.
TRAINING_PICTURES = "figures/training"
FLUSH_SETTING = "x_transaction_log_flush_interval"

# Seconds: between two writes to the disk, for the server to answer, for the last upload.
FLUSH_EVERY = 0.5
INIT_TIMEOUT = 20.0
FINISH_TIMEOUT = 60.0
# Seconds beyond the last upload after which a wandb-core that does not answer is killed.
PATIENCE = 30.0
# Calls that may wait for a slow W&B before rows are dropped.
QUEUE_SIZE = 10_000


class Picture(NamedTuple):
    """A picture file, what it is called, and its place on the x axis."""

    key: str
    path: Path
    sequences: int


class Names(NamedTuple):
    """How W&B is to show a run. Its own variables win; None leaves the choice to W&B, or PROJECT."""

    name: str
    group: str
    tags: Sequence[str]
    job_type: str = "train"
    notes: str | None = None
    project: str | None = None
    entity: str | None = None


class Tracker:
    """Takes rows, pictures, tables and a summary. This one drops them all; it is the tracker "none".

    run_id: what the checkpoint should keep, to be given to `start_tracker` on a resume.
    url:    the page of the run on the server, None unless online.
    folder: where W&B keeps the run on this machine, None where it keeps nothing.
    notice: one line for the user on where to look, empty where there is nothing.
    """

    url: str | None = None
    folder: Path | None = None
    notice: str = ""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id

    def log(self, row: Mapping[str, object]) -> None:
        """Record one row as in metrics.jsonl; its "sequences" is the place on the x axis."""

    def replay(self, rows: Sequence[Mapping[str, Any]], pictures: Sequence[Picture] = ()) -> None:
        """Record the rows and pictures from before a resume, in the order of their sequences, see `start_tracker`."""

    def image(self, key: str, path: str | Path, sequences: int) -> None:
        """Record a picture file, which must stay as it is until `finish`."""

    def table(self, key: str, rows: Sequence[Mapping[str, object]], sequences: int) -> None:
        """Record a table of at least one row; all rows have the columns of the first."""

    def summary(self, values: Mapping[str, object]) -> None:
        """Set the values that stand for the whole run in tables."""

    def finish(self, exit_code: int) -> None:
        """End the run, 0 for success. On return its files on this machine are whole."""


class WandbTracker(Tracker):
    """A run of W&B, fed from a thread of its own: no call waits for W&B and none raises.

    The first error is told on stderr. `finish` waits, but never for ever: for FINISH_TIMEOUT
    seconds of upload (WANDB_FINISH_TIMEOUT wins) and PATIENCE seconds more.
    """

    def __init__(self, wandb: Any, service: Any, run: Any) -> None:
        super().__init__(run.id)
        self.folder = Path(run.settings.sync_dir)
        self.url = None if run.offline else run.url
        look, send = shlex.join(["wandb", "leet", str(self.folder.parent)]), sync_command([self.folder])
        self.notice = self.url or f"W&B offline in {self.folder}; view: {look}; send: {send}"
        self._wandb = wandb
        self._service = service
        self._run = run
        self._warned = False
        self._gone = False
        self._exit_code = 0
        self._calls: queue.Queue[Callable[[], object] | None] = queue.Queue(QUEUE_SIZE)
        self._worker = threading.Thread(target=self._work, name="tracker", daemon=True)
        self._worker.start()

    def log(self, row: Mapping[str, object]) -> None:
        self._submit(partial(self._log, dict(row)))

    def replay(self, rows: Sequence[Mapping[str, Any]], pictures: Sequence[Picture] = ()) -> None:
        events = [(row["sequences"], partial(self._log, dict(row))) for row in rows]
        events += [(picture.sequences, partial(self._log_image, picture)) for picture in pictures]
        events.sort(key=lambda event: event[0])

        def log_all() -> None:
            for _, log in events:
                log()

        # One call, since a long history would not fit in the queue.
        self._submit(log_all)

    def image(self, key: str, path: str | Path, sequences: int) -> None:
        self._submit(partial(self._log_image, Picture(key, Path(path), sequences)))

    def table(self, key: str, rows: Sequence[Mapping[str, object]], sequences: int) -> None:
        columns = list(rows[0])
        data = [[row[column] for column in columns] for row in rows]

        def log() -> None:
            # A table is an artifact, too, whose files would wait in the home directory.
            with variable_set("WANDB_DATA_DIR", str(self.folder)):
                self._log({key: self._wandb.Table(columns=columns, data=data), "sequences": sequences})

        self._submit(log)

    def summary(self, values: Mapping[str, object]) -> None:
        chosen = self._named(values)
        self._submit(lambda: self._run.summary.update(chosen))

    def finish(self, exit_code: int) -> None:
        self._exit_code = exit_code
        # The second wait is for the thread to notice that wandb-core was killed.
        for patience in (self._run.settings.finish_timeout + PATIENCE, 30.0):
            with contextlib.suppress(queue.Full):
                self._calls.put(None, timeout=patience)
                self._worker.join(patience)
            if not self._worker.is_alive():
                return
            self._warn("wandb-core does not answer and was stopped")
            self._gone = True
            self._give_up()

    def _named(self, values: Mapping[str, object]) -> dict[str, object]:
        """Values under the names that they have in the run."""
        return dict(values)

    def _log(self, values: Mapping[str, object]) -> None:
        self._run.log(self._named(values))

    def _log_image(self, picture: Picture) -> None:
        self._log({picture.key: self._wandb.Image(str(picture.path)), "sequences": picture.sequences})

    def _end(self) -> None:
        self._try(lambda: self._run.finish(exit_code=self._exit_code))
        # Only this waits until the file is written out: finish alone returns before.
        self._try(lambda: tear_down(self._wandb))

    def _give_up(self) -> None:
        with contextlib.suppress(AttributeError):
            self._service._connection._proc._process.kill()

    def _submit(self, call: Callable[[], object]) -> None:
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            self._warn("wandb-core is too slow, rows are left out")

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            if not self._gone:
                self._try(call)
        self._end()

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        except TimeoutError:
            warn(f"not everything was sent in time; send it later: {sync_command([self.folder])}")
        except (Exception, SystemExit) as error:
            # SystemExit: how teardown reports that wandb-core failed.
            self._gone = self._gone or isinstance(error, ConnectionError)
            self._warn(f"{type(error).__name__} {error}")

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            warn(f"{reason}; the training goes on and metrics.jsonl has every row")


class JoinedTracker(WandbTracker):
    """A part of a run of W&B that others have begun and will end: all that it logs is named PREFIX/..."""

    def __init__(self, wandb: Any, run: Any, run_id: str, prefix: str) -> None:
        self._prefix = prefix
        super().__init__(wandb, None, run)
        self.run_id = run_id
        self.notice = f"W&B run {self.url or self.folder}, under {prefix}/"

    def _named(self, values: Mapping[str, object]) -> dict[str, object]:
        return {f"{self._prefix}/{key}": value for key, value in values.items()}

    def _end(self) -> None:
        """The run goes on without us."""

    def _give_up(self) -> None:
        """The service is not ours."""


def sync_command(folders: Sequence[Path | None]) -> str:
    """What sends runs that were kept on this machine."""
    return shlex.join(["wandb", "sync", *map(str, folders)])


def start_tracker(
    kind: Literal["wandb", "none"],
    *,
    run_folder: Path,
    run_id: str,
    names: Names,
    config: Mapping[str, Any],
    mode: str,
    prefix: str | None = None,
) -> Tracker:
    """Start a run and return what to log to; `mode` comes from `resolve_mode`.

    run_id: unique in its project, also the end of the folder's name, so readable: "copy-ntm-s0".
    config: the full nested configuration, without dots in its keys.
    prefix: of all that is logged, into the run that is open in this process; None for a run of our own.

    Resume: W&B cannot append to an offline run, and online it silently drops rows that go back
    behind the last one. So a resumed training cuts metrics.jsonl to its checkpoint, starts a run
    with the same id, name and group, and calls `replay(read_metrics(...))` before anything else.
    The new run then holds the whole curve once. Offline that is a second, newer folder with the
    same id; sent to a server, it replaces the older run of that id.

    A missing wandb is a UserError. Any other trouble at the start is one warning: without a
    server an online run goes on offline with the same id, without W&B as the tracker "none".
    """
    if kind == "none" or mode == "disabled":
        return Tracker(run_id)
    wandb = import_wandb()
    if prefix is not None:
        return _join(wandb, run_id, config, prefix)
    chosen = {
        "run_id": run_id,
        "run_name": shortened(names.name, LONGEST_NAME),
        "run_group": shortened(names.group, LONGEST_NAME),
        "run_job_type": names.job_type,
        "run_tags": tuple(shortened(tag, LONGEST_TAG) for tag in dict.fromkeys(names.tags)),
        "run_notes": names.notes,
        "project": names.project or PROJECT,
        "entity": names.entity,
        "root_dir": str(run_folder.parent),
    }
    for attempt in dict.fromkeys((mode, "offline")):
        folders = _folders_of(run_id, run_folder.parent)
        try:
            return _start_wandb(wandb, chosen, config, attempt)
        except Exception as error:
            then = "going on offline" if attempt != "offline" else "nothing is tracked but in metrics.jsonl"
            warn(f"{reason_of(error)}; {then}")
        with contextlib.suppress(Exception, SystemExit):
            tear_down(wandb)
        for empty in _folders_of(run_id, run_folder.parent) - folders:
            shutil.rmtree(empty, ignore_errors=True)
    return Tracker(run_id)


def check_joined(prefix: str) -> None:
    """UserError where no run is open in this process that could be logged into."""
    if open_run() is None:
        raise UserError(
            f"--wandb-prefix {prefix} logs into a run of W&B that a script has open around this command, and there is "
            "none: leave it out for a run of its own"
        )


def _join(wandb: Any, run_id: str, config: Mapping[str, Any], prefix: str) -> Tracker:
    """Log into the run that is open, its steps and ours apart."""
    try:
        run = wandb.run
        run.config.update({prefix: dict(config)}, allow_val_change=True)
        run.define_metric(f"{prefix}/*", step_metric=f"{prefix}/sequences")
        return JoinedTracker(wandb, run, run_id, prefix)
    except Exception as error:
        warn(f"{reason_of(error)}; nothing is tracked but in metrics.jsonl")
        return Tracker(run_id)


def _start_wandb(wandb: Any, chosen: Mapping[str, object], config: Mapping[str, Any], mode: str) -> Tracker:
    # Before init, which would else look up a host name of its telemetry even when offline.
    service = wandb.setup(wandb.Settings(mode=mode, silent=True))
    settings = {
        **chosen,
        "console": "off",
        "init_timeout": INIT_TIMEOUT,
        "finish_timeout": FINISH_TIMEOUT,
        FLUSH_SETTING: FLUSH_EVERY,
    }
    if FLUSH_SETTING not in wandb.Settings.model_fields:
        del settings[FLUSH_SETTING]
    theirs = {variable(key) for key in settings} & os.environ.keys()
    if given_run_id() is None:
        theirs -= {RUN_ID}
    ours = {key: value for key, value in settings.items() if variable(key) not in theirs and value is not None}
    run = wandb.init(
        config=dict(config),
        settings=wandb.Settings(**ours, finish_timeout_raises=True, reinit="create_new"),
    )
    run.define_metric("*", step_metric="sequences")
    return WandbTracker(wandb, service, run)


def _folders_of(run_id: str, parent: Path) -> set[Path]:
    folder = Path(os.environ.get("WANDB_DIR", parent)) / "wandb"
    end = "-" + (given_run_id() or run_id)
    return {path for path in folder.glob("*run-*") if path.name.endswith(end)}
