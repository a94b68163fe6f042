"""The text of a run: read or made, as numbers, cut into parts and streams."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.base.files import UserError
from tasks import reading
from tasks.markov_text import MarkovSource

# Stands for characters that a model does not tell apart.
OTHERS = "\ufffd"
# Code points there are, characters that are numbered at once, and unknown ones that an error names.
_CODES, _BLOCK, _NAMED = 0x110000, 1 << 20, 10


class Alphabet:
    """The characters that a model knows, numbered in their order.

    characters: each once. With U+FFFD among them, that stands for all others.
    """

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self._numbers = np.full(_CODES, characters.find(OTHERS), dtype=np.int32)
        self._numbers[_codes(characters)] = np.arange(len(characters), dtype=np.int32)

    @classmethod
    def of(cls, text: str, most: int) -> tuple["Alphabet", int]:
        """The characters of a text, in the order of their code points, and how many of the text are left out.

        most: where there are more, the others, which are rarest, are U+FFFD.
        """
        counts = np.zeros(_CODES, dtype=np.int64)
        for block in _blocks(text):
            counts += np.bincount(_codes(block), minlength=_CODES)
        known, left_out = counts.nonzero()[0], 0
        if len(known) > most:
            counts[ord(OTHERS)] = len(text)
            known = np.sort(np.argsort(-counts, kind="stable")[:most])
            left_out = 2 * len(text) - int(counts[known].sum())
        return cls("".join(map(chr, known))), left_out

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str, what: str) -> Tensor:
        """A text as numbers (character,), of as few bytes as hold them.

        UserError that names what is unknown in the text, and `what` it is.
        """
        kind = np.uint8 if len(self) <= 1 << 8 else np.int16 if len(self) <= 1 << 15 else np.int32
        numbers = np.empty(len(text), dtype=kind)
        for number, block in enumerate(_blocks(text)):
            found = self._numbers[_codes(block)]
            if found.min() < 0:
                self._refuse(text, what)
            numbers[number * _BLOCK :][: len(block)] = found
        return torch.from_numpy(numbers)

    def decode(self, numbers: Tensor) -> str:
        """The inverse of `encode`."""
        return "".join(self.characters[number] for number in numbers.tolist())

    def _refuse(self, text: str, what: str) -> None:
        unknown = sorted(set(text) - set(self.characters))
        named = ", ".join(f"{one!r} (U+{ord(one):04X})" for one in unknown[:_NAMED])
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        raise UserError(f"{what} has characters that the model does not know: {named}{more}")


def _blocks(text: str) -> Iterator[str]:
    """A text piece by piece, so that little is held beside it."""
    return (text[first : first + _BLOCK] for first in range(0, len(text), _BLOCK))


def _codes(text: str) -> NDArray[np.int32]:
    """The code points of a text."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.int32)


@dataclasses.dataclass(frozen=True)
class TextData:
    """A text to train on.

    name:     what it is called. digest: tells it from other texts.
    alphabet: the characters of the whole text. others: of how many of it U+FFFD stands for.
    train, valid, test: its parts by position, as numbers (character,).
    source:   of a Markov text, where it is from.
    """

    name: str
    digest: str
    alphabet: Alphabet
    others: int
    train: Tensor
    valid: Tensor
    test: Tensor
    source: MarkovSource | None

    def check_parts(self, count: int, chunk_length: int) -> None:
        """UserError where the training part is too short for so many streams of a chunk, or another one for a test."""
        if len(self.train) < (least := count * chunk_length + 1):
            characters = sum(map(len, (self.train, self.valid, self.test)))
            raise UserError(
                f"{self.name} is too short: {len(self.train):,} of its {characters:,} characters are to train on, and "
                f"--batch-size {count} streams of one --chunk-length {chunk_length} take {least:,}"
            )
        least = 2 if self.source is None else self.source.order + 1
        if min(map(len, (self.valid, self.test))) < least:
            told = " and ".join(f"{len(part):,}" for part in (self.valid, self.test))
            raise UserError(
                f"{self.name} is too short: {told} of its characters are to validate and test on, at least {least} "
                "are needed: give more, or a larger --valid-share and --test-share"
            )

    @property
    def entropy_rate(self) -> float | None:
        """Bits per character that no model can do without, where they are known."""
        return None if self.source is None else self.source.entropy_rate()


def read_text(path: str) -> str:
    """A text file; UserError where it is missing, empty or no text."""
    try:
        text = reading.read_text(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a text file") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except reading.TextError as error:
        raise UserError(str(error)) from None
    if not text:
        raise UserError(f"{path} is empty; expected a text")
    return text


class Chunk(NamedTuple):
    """The next characters of every stream.

    input, target: (stream, time) int64, the characters and those after them.
    scored:        (stream, time) bool, where the target counts.
    lengths:       (stream,) int64, real steps of each stream, where not all are; else None.
    """

    input: Tensor
    target: Tensor
    scored: Tensor
    lengths: Tensor | None

    def to(self, device: torch.device) -> "Chunk":
        """The same chunk on another device."""
        lengths = None if self.lengths is None else self.lengths.to(device)
        return Chunk(self.input.to(device), self.target.to(device), self.scored.to(device), lengths)


class Streams:
    """A text cut into streams side by side, each read chunk by chunk; every character but the first is scored once.

    numbers: (character,) the text. count: streams. chunk_length: characters of a chunk.
    warm_up: characters that every stream but the first reads before its own, so that it does not begin cold.
    """

    def __init__(self, numbers: Tensor, count: int, chunk_length: int, *, warm_up: int = 0) -> None:
        predictions = len(numbers) - 1
        self._warm_up = min(warm_up, predictions)
        bounds = torch.arange(count + 1) * (predictions - self._warm_up) // count
        self._begin, self._end = bounds[:-1], bounds[1:] + self._warm_up
        self._numbers, self._chunk_length = numbers, chunk_length

    def __len__(self) -> int:
        """Chunks of a stream."""
        return -(-int((self._end - self._begin).max()) // self._chunk_length)

    def chunk(self, number: int) -> Chunk:
        """The chunk of that number, from 0."""
        first = number * self._chunk_length
        last = min(first + self._chunk_length, int((self._end - self._begin).max()))
        columns = torch.arange(first, last)
        index = self._begin.unsqueeze(1) + columns
        real = index < self._end.unsqueeze(1)
        index = index.where(real, 0)
        own = columns >= self._warm_up
        scored = real & (own | (torch.arange(len(self._begin)) == 0).unsqueeze(1))
        lengths = None if bool(real.all()) else real.sum(1)
        return Chunk(self._numbers[index].long(), self._numbers[index + 1].long(), scored, lengths)

    def chunks(self) -> Iterator[Chunk]:
        """All chunks in order."""
        return map(self.chunk, range(len(self)))
