"""Weights & Biases on this machine: its variables, modes, keys and service, none of which are ours alone.

Its own variables win over what this program would choose, and no service is ended that a run of others still uses.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.base.files import UserError

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
    "run_notes": "WANDB_NOTES",
}
RUN_ID = "WANDB_RUN_ID"
# What W&B takes of names and of tags; of an identifier the name of a table's artifact holds more than itself.
LONGEST_NAME, LONGEST_TAG, _LONGEST_ID = 128, 64, 64


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
    if mode in ("online", "shared") and not has_key():
        how = "run `wandb login` or set WANDB_API_KEY, or leave the mode out to stay offline"
        raise UserError(f"W&B online needs a key: {how}")
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


@contextlib.contextmanager
def variable_set(name: str, value: str) -> Iterator[None]:
    """A variable of the environment for a while, unless the user has set it."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


@contextlib.contextmanager
def several_runs() -> Iterator[None]:
    """Take WANDB_RUN_ID out of the environment while several runs are made: it names one."""
    one = os.environ.pop(RUN_ID, None)
    if one:
        warn(f"{RUN_ID}={one} names one run, and these are several: each has an identifier of its own")
    try:
        yield
    finally:
        if one is not None:
            os.environ[RUN_ID] = one


def open_run() -> Any:
    """The run of W&B that is open in this process, which is not ours; None where there is none."""
    wandb = sys.modules.get("wandb")
    return None if wandb is None else wandb.run


def given_run_id() -> str | None:
    """The identifier that the environment has for the next run; None where it has none, or an open run has taken it."""
    given, taken = os.environ.get(RUN_ID), open_run()
    return None if not given or (taken is not None and taken.id == given) else given


def variable(setting: str) -> str:
    """The environment variable by which a user chooses this setting of W&B."""
    return VARIABLES.get(setting, f"WANDB_{setting.upper()}")


def reason_of(error: Exception) -> str:
    """The lines of W&B's own text that matter: of a wrong setting the second names it, the third gives its value."""
    return ", ".join(line.strip() for line in str(error).splitlines()[:3])


def has_key() -> bool:
    """Whether there is a key for the server, which is never asked for; UserError for one that cannot be."""
    wandb = import_wandb()
    set_up(wandb, mode="online")
    try:
        return bool(wandb.login(prompt=False, verify=False))
    except wandb.Error as error:
        raise UserError(f"W&B: {error}") from None
    finally:
        tear_down(wandb)


def set_up(wandb: Any, **settings: str) -> None:
    """Start W&B's service in silence; UserError where it does not start, or refuses a variable of the environment."""
    try:
        wandb.setup(wandb.Settings(silent=True, **settings))
    except Exception as error:
        raise UserError(f"W&B does not start: {reason_of(error)}") from None


def tear_down(wandb: Any) -> None:
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
