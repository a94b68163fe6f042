"""Files that are never half written, and the error a user is meant to read."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from pathlib import Path


class UserError(Exception):
    """Something the user gave is wrong. Its text is one line, shown as it is; the exit code is 2."""


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its class where it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def write_whole(path: str | Path, data: bytes | str) -> None:
    """Put `data` (text as UTF-8, with names of files that are none escaped) at `path`, all of it or nothing.

    A reader, or a crash at any moment, sees the old file or the new one, never a part. The
    folder must exist. On an error (OSError when the disk is full) the old file is untouched and
    no temporary file stays behind; that of a process that was killed is removed by the next one.
    """
    path = Path(path)
    content = data.encode(errors="backslashreplace") if isinstance(data, str) else data
    # In the same folder, since a rename is atomic only within one file system.
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    remove_parts(path.parent, path.name)
    try:
        with part.open("xb") as file:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.replace(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            # The name that the user knows.
            error.filename = str(path)
        raise


def is_part(path: Path) -> bool:
    """Whether a file is the half of one, as `write_whole` leaves it where it is killed."""
    return re.fullmatch(r"\..+\.[0-9a-f]{8}\.part", path.name) is not None


def remove_parts(folder: Path, name: str = "*") -> None:
    """Remove the halves of files of this name, or of all, whose writers were killed: a living one holds a lock."""
    for path in filter(is_part, folder.glob(f".{name}.*.part")):
        with contextlib.suppress(OSError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
