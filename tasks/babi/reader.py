"""The published bAbI files, from a folder or straight from an archive."""

import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import torch

from ..reading import TextError, decoded, read_limited, size_limit, too_large
from .stories import TASK_NAMES, BabiError, Example, Story, check_task, file_name, parse_stories

FOLDERS = {"1k": "en", "10k": "en-10k"}  # training questions a task -> folder
SPLITS = ("train", "test")
FILES = frozenset(file_name(task, split) for task in TASK_NAMES for split in SPLITS)


class MissingFile(BabiError):
    """The data is there, but not this file of it. The other tasks can still be read."""


class BabiData:
    """The release, version 1.2: `en` and `en-10k`.

    path: the archive, tar or zip (nothing is extracted to disk), the folder that holds `en`, that folder's parent, or
    a folder with the task files themselves, which then serve as either size.
    BabiError, in one line, for a path without such files and for an archive that is damaged, holds more than the
    limit of `tasks.reading`, or whose members would lie outside it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._texts = read_archive(self.path) if self.path.is_file() else read_folder(self.path)
        except OSError as error:
            raise BabiError(f"{self.path}: {error.strerror or error}") from None
        except TextError as error:
            raise BabiError(str(error)) from None
        if not self._texts:
            raise BabiError(f"{self.path}: no bAbI files in it, such as en/{file_name(1, 'train')}")

    def read(self, task: int, *, size: str = "1k", split: str = "train") -> list[Story]:
        """The stories of one file, in its order.

        size "1k" or "10k", split "train" or "test". MissingFile, by name, if this file is not there; BabiError
        for a malformed one; ValueError for arguments that do not exist.
        """
        name = self._name(task, size, split)
        if name not in self._texts:
            raise MissingFile(f"{self.path}: {name} is missing")
        content = self._texts[name]
        source = f"{self.path}: {name}"
        try:
            if isinstance(content, Path):
                with content.open("rb") as file:
                    content = read_limited(file, source)
            text = decoded(content, source)
        except OSError as error:
            raise BabiError(f"{source}: {error.strerror or error}") from None
        except TextError as error:
            raise BabiError(str(error)) from None
        return parse_stories(text, source)

    def missing(self, tasks: Iterable[int] = tuple(TASK_NAMES), *, size: str = "1k") -> list[str]:
        """Which of the files of these tasks, training and test, are not there."""
        names = [self._name(task, size, split) for task in tasks for split in SPLITS]
        return [name for name in names if name not in self._texts]

    def _name(self, task: int, size: str, split: str) -> str:
        if size not in FOLDERS:
            raise ValueError(f"size must be one of {', '.join(FOLDERS)}, got {size!r}")
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        name = file_name(check_task(task), split)
        return name if name in self._texts else f"{FOLDERS[size]}/{name}"


def read_babi(
    path: str | os.PathLike[str],
    task: int,
    *,
    size: str = "1k",
    split: str = "train",
) -> list[Story]:
    """The stories of one published file; for several, make one `BabiData` and read from it. Errors as there."""
    return BabiData(path).read(task, size=size, split=split)


def split_validation(
    examples: list[Example],
    *,
    share: float = 0.1,
    generator: torch.Generator | None = None,
) -> tuple[list[Example], list[Example]]:
    """(training, validation), no example lost: the share is rounded down.

    Without a generator the last ones in file order, as published for single tasks; with one, random ones, as
    published for joint training. Both parts keep the file's order. ValueError for a share outside 0..1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and below 1, got {share!r}")
    count = int(len(examples) * share)
    if generator is None:
        border = len(examples) - count
        return examples[:border], examples[border:]
    order = torch.randperm(len(examples), generator=generator, device=generator.device)
    chosen = set(order[:count].tolist())
    validation = [example for k, example in enumerate(examples) if k in chosen]
    return [example for k, example in enumerate(examples) if k not in chosen], validation


def read_folder(path: Path) -> dict[str, bytes | Path]:
    """The files of a folder by name, "en/qa..." or, lying in the folder itself, "qa..."; read when needed."""
    if not path.is_dir():
        raise BabiError(f"{path}: no such file or folder")
    found: dict[str, bytes | Path] = {file.name: file for file in path.glob("qa*.txt") if file.name in FILES}
    for folder in FOLDERS.values():
        for file in (*sorted(path.glob(f"*/{folder}/qa*.txt")), *path.glob(f"{folder}/qa*.txt")):
            if file.name in FILES:
                found[f"{folder}/{file.name}"] = file
    return found


def read_archive(path: Path) -> dict[str, bytes | Path]:
    """The same of an archive, held in memory: tar, compressed or not, or zip. TextError for one above the limit."""
    try:
        return read_zip(path) if zipfile.is_zipfile(path) else read_tar(path)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = str(error).partition(":\n")[0]
        raise BabiError(f"{path}: not a whole tar archive ({reason})") from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise BabiError(f"{path}: not a whole zip archive ({error})") from None


def read_tar(path: Path) -> dict[str, bytes | Path]:
    """The files of a tar archive by name."""
    found: dict[str, bytes | Path] = {}
    held = 0
    with tarfile.open(path) as archive:
        for member in archive:
            name = checked_name(path, member.name, plain=member.isreg() or member.isdir())
            held += member.size
            if held > size_limit():
                raise too_large(path)
            if member.isreg() and is_wanted(name):
                file = archive.extractfile(member)
                assert file is not None
                found[f"{name.parent.name}/{name.name}"] = file.read()
        check_end(archive)
    return found


def read_zip(path: Path) -> dict[str, bytes | Path]:
    """The files of a zip archive by name."""
    found: dict[str, bytes | Path] = {}
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > size_limit():
            raise too_large(path)
        for member in members:
            name = checked_name(path, member.filename, plain=True)
            if not member.is_dir() and is_wanted(name):
                found[f"{name.parent.name}/{name.name}"] = archive.read(member)
    return found


def checked_name(path: Path, member: str, *, plain: bool) -> PurePosixPath:
    """The name of a member; BabiError for one that leads out of the archive. plain: whether it is a file or folder."""
    name = PurePosixPath(member)
    if name.is_absolute() or ".." in name.parts or "\\" in member or not plain:
        raise BabiError(f"{path}: refused, its member {member!r} may lead out of the archive")
    return name


def is_wanted(name: PurePosixPath) -> bool:
    return name.name in FILES and name.parent.name in FOLDERS.values()


def check_end(archive: tarfile.TarFile) -> None:
    """EOFError unless the archive ends in an empty block: tarfile itself takes any cut between members for the end.

    Reading to the end also checks a compressed file's checksum.
    """
    file = archive.fileobj
    assert file is not None
    file.seek(archive.offset)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise EOFError("its end is missing")
    held = archive.offset
    while part := file.read(1 << 20):
        held += len(part)
        if held > size_limit():
            raise too_large(archive.name)
