"""Weights & Biases beside metrics.jsonl: the same rows, and never in the way of the training.

Offline unless asked. All runs of one folder share one `wandb` directory beside them, so that
`wandb leet` and `wandb sync` see them together. W&B's own environment variables win over what
this program would choose. A tracker that breaks, hangs or loses the network costs one warning.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import queue
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from experiments.files import UserError

# What pictures drawn in training are called, all of them, so that one can slide through the steps.
TRAINING_PICTURES = "figures/training"
PROJECT = "memnet"
MODES = ("offline", "online", "shared", "disabled")
# What W&B called them earlier.
_OLD_MODES = {"dryrun": "offline", "run": "online"}
INSTALL = "pip install 'wandb>=0.31', or run with --tracker none"

# Those not simply WANDB_ and the setting's name.
VARIABLES = {
    "root_dir": "WANDB_DIR",
    "run_name": "WANDB_NAME",
    "run_job_type": "WANDB_JOB_TYPE",
    "run_tags": "WANDB_TAGS",
}
# What W&B takes of names and of tags; of an identifier the name of a table's artifact holds more than itself.
_LONGEST_NAME, _LONGEST_TAG, _LONGEST_ID = 128, 64, 64
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
        self.notice = self.url or (
            f"W&B offline in {self.folder}; view: wandb leet {self.folder.parent}; send: wandb sync {self.folder}"
        )
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
        values = dict(row)
        self._submit(lambda: self._run.log(values))

    def replay(self, rows: Sequence[Mapping[str, Any]], pictures: Sequence[Picture] = ()) -> None:
        events = [(row["sequences"], partial(self._run.log, dict(row))) for row in rows]
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
            with _environment("WANDB_DATA_DIR", str(self.folder)):
                self._run.log({key: self._wandb.Table(columns=columns, data=data), "sequences": sequences})

        self._submit(log)

    def summary(self, values: Mapping[str, object]) -> None:
        chosen = dict(values)
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
            with contextlib.suppress(AttributeError):
                self._service._connection._proc._process.kill()

    def _log_image(self, picture: Picture) -> None:
        self._run.log({picture.key: self._wandb.Image(str(picture.path)), "sequences": picture.sequences})

    def _submit(self, call: Callable[[], object]) -> None:
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            self._warn("wandb-core is too slow, rows are left out")

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            if not self._gone:
                self._try(call)
        self._try(lambda: self._run.finish(exit_code=self._exit_code))
        # Only this waits until the file is written out: finish alone returns before.
        self._try(lambda: _tear_down(self._wandb))

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        except TimeoutError:
            warn(f"not everything was sent in time; send it later: wandb sync {self.folder}")
        except (Exception, SystemExit) as error:
            # SystemExit: how teardown reports that wandb-core failed.
            self._gone = self._gone or isinstance(error, ConnectionError)
            self._warn(f"{type(error).__name__} {error}")

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            warn(f"{reason}; the training goes on and metrics.jsonl has every row")


def warn(text: str) -> None:
    """Print a one-line warning about the tracker to stderr."""
    print(f"warning: W&B: {text}", file=sys.stderr, flush=True)


def resolve_mode(asked: str | None, environment: Mapping[str, str]) -> str:
    """Return one of MODES: what was asked, else the environment's, else offline, or online for an agent of a sweep.

    In `environment`, WANDB_DISABLED=true (which W&B itself no longer heeds) counts before
    WANDB_MODE. An unknown mode is a UserError, and so is a server without a key: W&B would ask for
    one in a terminal and wait for ever.
    """
    if asked is not None:
        mode = asked
    elif environment.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes"):
        mode = "disabled"
    else:
        mode = environment.get("WANDB_MODE") or ("online" if environment.get("WANDB_SWEEP_ID") else "offline")
    mode = _OLD_MODES.get(mode, mode)
    if mode not in MODES:
        near = difflib.get_close_matches(mode, MODES, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise UserError(f"no W&B mode {mode!r}{hint} (there are {', '.join(MODES)})")
    if mode in ("online", "shared"):
        _check_key()
    return mode


def legal_id(name: str) -> str:
    """The beginning of a run's identifier for a name, since W&B refuses long ones and many signs in them."""
    return shortened(re.sub(r"[^\w.]+", "-", name), _LONGEST_ID)


def shortened(name: str, most: int) -> str:
    """A name of at most so many characters; what is cut off is told apart by a digest."""
    if len(name) <= most:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{name[: most - 9]}-{digest}"


def start_tracker(
    kind: Literal["wandb", "none"],
    *,
    run_folder: Path,
    run_id: str,
    name: str,
    group: str,
    job_type: str,
    tags: Sequence[str],
    config: Mapping[str, Any],
    mode: str,
) -> Tracker:
    """Start a run and return what to log to; `mode` comes from `resolve_mode`.

    run_id: unique in its project, also the end of the folder's name, so readable: "copy-ntm-s0".
    config: the full nested configuration, without dots in its keys.

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
    chosen = {
        "run_id": run_id,
        "run_name": shortened(name, _LONGEST_NAME),
        "run_group": shortened(group, _LONGEST_NAME),
        "run_job_type": job_type,
        "run_tags": tuple(shortened(tag, _LONGEST_TAG) for tag in tags),
        "root_dir": str(run_folder.parent),
    }
    for attempt in dict.fromkeys((mode, "offline")):
        folders = _folders_of(run_id, run_folder.parent)
        try:
            return _start_wandb(wandb, chosen, config, attempt)
        except Exception as error:
            then = "going on offline" if attempt != "offline" else "nothing is tracked but in metrics.jsonl"
            warn(f"{_in_one_line(error)}; {then}")
        with contextlib.suppress(Exception, SystemExit):
            _tear_down(wandb)
        for empty in _folders_of(run_id, run_folder.parent) - folders:
            shutil.rmtree(empty, ignore_errors=True)
    return Tracker(run_id)


def _start_wandb(wandb: Any, chosen: Mapping[str, object], config: Mapping[str, Any], mode: str) -> Tracker:
    # Before init, which would else look up a host name of its telemetry even when offline.
    service = wandb.setup(wandb.Settings(mode=mode, silent=True))
    settings = {
        **chosen,
        "project": PROJECT,
        "console": "off",
        "init_timeout": INIT_TIMEOUT,
        "finish_timeout": FINISH_TIMEOUT,
        FLUSH_SETTING: FLUSH_EVERY,
    }
    if FLUSH_SETTING not in wandb.Settings.model_fields:
        del settings[FLUSH_SETTING]
    ours = {key: value for key, value in settings.items() if _variable(key) not in os.environ}
    run = wandb.init(
        config=dict(config),
        settings=wandb.Settings(**ours, finish_timeout_raises=True, reinit="create_new"),
    )
    run.define_metric("*", step_metric="sequences")
    return WandbTracker(wandb, service, run)


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """A variable of the environment for a while, unless the user has set it."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def _variable(setting: str) -> str:
    """The environment variable by which a user chooses this setting of W&B."""
    return VARIABLES.get(setting, f"WANDB_{setting.upper()}")


def _folders_of(run_id: str, parent: Path) -> set[Path]:
    folder = Path(os.environ.get("WANDB_DIR", parent)) / "wandb"
    end = "-" + os.environ.get("WANDB_RUN_ID", run_id)
    return {path for path in folder.glob("*run-*") if path.name.endswith(end)}


def _in_one_line(error: Exception) -> str:
    """The lines of W&B's own text that matter: of a wrong setting the second names it, the third gives its value."""
    return ", ".join(line.strip() for line in str(error).splitlines()[:3])


def _check_key() -> None:
    if not has_key():
        raise UserError(
            "W&B online needs a key: run `wandb login` or set WANDB_API_KEY, or leave the mode out to stay offline"
        )


def has_key() -> bool:
    """Whether there is a key for the server, which is never asked for; UserError for one that cannot be."""
    wandb = import_wandb()
    set_up(wandb, mode="online")
    try:
        return bool(wandb.login(prompt=False, verify=False))
    except wandb.Error as error:
        raise UserError(f"W&B: {error}") from None
    finally:
        _tear_down(wandb)


def set_up(wandb: Any, **settings: str) -> None:
    """Start W&B's service in silence; UserError where it does not start, or refuses a variable of the environment."""
    try:
        wandb.setup(wandb.Settings(silent=True, **settings))
    except Exception as error:
        raise UserError(f"W&B does not start: {_in_one_line(error)}") from None


def _tear_down(wandb: Any) -> None:
    """End W&B's service, unless a run that is not ours still uses it."""
    if wandb.run is None:
        wandb.teardown()


def import_wandb() -> Any:
    """wandb, or a UserError that tells how to install it or do without.

    Empty variables of W&B are taken out of the environment: they choose nothing, and W&B would refuse some of them.
    """
    for name in [name for name, value in os.environ.items() if name.startswith("WANDB_") and not value]:
        del os.environ[name]
    try:
        import wandb
    except ImportError as error:
        raise UserError(f"W&B cannot be imported ({error}): {INSTALL}") from None
    return wandb
