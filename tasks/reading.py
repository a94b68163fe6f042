"""The one place that reads text, of whatever origin: its size, its encoding, its line ends."""

import io
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

# The environment variable that sets the limit, and the limit without it, both in MB.
LIMIT_NAME, LIMIT = "MEMNET_MAX_MB", 1024
_MB = 1 << 20
_BYTE_ORDER_MARK = "\ufeff"
# What bytes that are no text become in a line, and the zero byte.
_NO_TEXT = re.compile("[\udc80-\udcff\0]")


class TextError(ValueError):
    """Content that is no text, or too much of it; the message is one line for the user that names the source."""


def size_limit() -> int:
    """The most bytes that are read from one file or archive. TextError for a limit that is no number of MB."""
    told = os.environ.get(LIMIT_NAME) or str(LIMIT)
    if not (told.isascii() and told.isdigit() and int(told[:7]) >= 1 and len(told) <= 7):
        raise TextError(f"{LIMIT_NAME} must be a whole number of MB from 1 to 9999999, not {told[:40]!r}")
    return int(told) * _MB


def too_large(source: object) -> TextError:
    """The error for a source that holds more than the limit."""
    return TextError(
        f"{source} holds more than {size_limit() // _MB:,} MB, the most that is read; {LIMIT_NAME} sets another limit"
    )


def read_limited(file: BinaryIO, source: object) -> bytes:
    """All of a file or an endless pipe. TextError beyond the limit."""
    limit, content = size_limit(), bytearray()
    while part := file.read(min(_MB, limit + 1 - len(content))):
        content += part
        if len(content) > limit:
            raise too_large(source)
    return bytes(content)


def decoded(content: bytes, source: object) -> str:
    """UTF-8 bytes as text, in NFC: a byte order mark is dropped; LF, CRLF and CR end a line, each becomes LF.

    TextError, naming the line and the byte in it (both from 1), for what is not UTF-8, and for a zero byte.
    """
    content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise _refused(content, error.start, source) from None
    if "\0" in text:
        raise _refused(content, content.index(0), source)
    return normalized(text.removeprefix(_BYTE_ORDER_MARK))


def normalized(text: str) -> str:
    """The text in NFC, so that every spelling of a letter with its marks is the same."""
    return unicodedata.normalize("NFC", text)


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file, as `decoded` has it. TextError as there and beyond the limit; OSError."""
    with Path(path).open("rb") as file:
        return decoded(read_limited(file, path), path)


def lines_of(stream: TextIO) -> Iterator[str]:
    """The lines of a text stream, such as the standard input, ended as those of `decoded` and without their ends.

    Each is for `checked`: bytes that are not UTF-8 are lone surrogates, so that other lines can still be used.
    TextError for a line beyond the limit.
    """
    keep_bytes(stream)
    limit = size_limit()
    while line := stream.readline(limit):
        if len(line) == limit and not line.endswith("\n"):
            raise too_large("a line of the input")
        yield line.removesuffix("\n")


def keep_bytes(stream: TextIO) -> None:
    """Let a stream give bytes that are no text as lone surrogates instead of raising an error."""
    if isinstance(stream, io.TextIOWrapper):
        encoding = stream.encoding if stream.isatty() else "utf-8"
        stream.reconfigure(encoding=encoding, errors="surrogateescape", newline=None)


def checked(line: str, number: int) -> str:
    """A line of `lines_of` as `decoded` has it; number: its place among them, from 1. TextError as there."""
    if found := _NO_TEXT.search(line):
        content = line.encode(errors="surrogateescape")
        raise _refused(content, len(line[: found.start()].encode()), "", number)
    return normalized(line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line)


def _refused(content: bytes, index: int, source: object, first: int = 1) -> TextError:
    """The error for the byte at an index; first: the number of the content's first line."""
    line, start = first + content.count(b"\n", 0, index), content.rfind(b"\n", 0, index) + 1
    place = f"{source}, line {line}" if source else f"line {line}"
    expected = "UTF-8 text" if content[index] else "text, no binary file"
    return TextError(f"{place}, byte {index - start + 1}: expected {expected}, not 0x{content[index]:02x}")
