"""What every world of pictures and captions shares."""

import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..common import check_count
from .language import ARTICLES, Verdict
from .rendering import Floats
from .things import COLOURS, SHAPES, SIZES, Part, check_part

Scene = TypeVar("Scene")


class CaptionBatch(NamedTuple):
    """Pictures with captions.

    images:   (scene, colour, SIDE, SIDE) float32 in [0, 1]; of moving scenes (scene, frame, colour, SIDE, SIDE), zero
              after a scene's last frame.
    lengths:  (scene,) int64, frames of each scene; 1 of one that does not move.
    captions: (scene, word) int64, the words by their place in `words`, from 1; 0 after the last one.
    """

    images: Floats
    lengths: NDArray[np.int64]
    captions: NDArray[np.int64]


def word_list(*more: Iterable[str | tuple[str, ...]]) -> tuple[str, ...]:
    """All words of a world in alphabetic order: names of things, and more words and phrases."""
    phrases = itertools.chain(ARTICLES, SIZES, COLOURS, SHAPES, *more)
    return tuple(sorted({word for phrase in phrases for word in ([phrase] if isinstance(phrase, str) else phrase)}))


class CaptionWorld(ABC, Generic[Scene]):
    """Scenes that are drawn by chance, their pictures, captions, and a judge of captions.

    The judge knows the scene alone, not how a caption came about: any caption that is right is right.

    things: the most things of a scene, in training and tests; None for as many as the task has.
    """

    domain: ClassVar[str] = "captions"  # the form of its examples
    name: ClassVar[str]  # the key in tasks.captions.WORLDS
    words: ClassVar[tuple[str, ...]]  # of all captions, in order
    max_words: ClassVar[int]  # no caption has more
    max_frames: ClassVar[int] = 1  # no scene has more; 1 where scenes do not move
    max_things: int  # no scene has more; the least is one

    def __init__(self, things: int | None = None) -> None:
        """ValueError for a scene of less than one thing."""
        if things is not None:
            self.max_things = min(check_count("things", things), self.max_things)

    @abstractmethod
    def draw(self, part: Part, dice: random.Random, most: int) -> Scene:
        """A scene with at most so many things, of that part of all scenes, see things.part_of."""

    @abstractmethod
    def write(self, scene: Scene, dice: random.Random) -> list[str]:
        """The words of one of the right captions of a scene."""

    @abstractmethod
    def judge(self, words: Sequence[str], scene: Scene) -> Verdict:
        """Whether a caption is right, and if not, why not."""

    @abstractmethod
    def describe(self, scene: Scene) -> list[tuple[object, ...]]:
        """A scene without jitter and noise, see things.part_of."""

    @abstractmethod
    def render(self, scenes: Sequence[Scene], generator: np.random.Generator) -> Floats:
        """The pictures, as in CaptionBatch.images."""

    def frames(self, scene: Scene) -> int:
        """How many frames a scene has."""
        return 1

    def sample(
        self, count: int, *, part: Part, seed: object, most: int | None = None
    ) -> tuple[list[Scene], CaptionBatch]:
        """So many scenes with pictures and a caption each.

        seed: anything with a text of its own, such as (3, 100); the same gives the same scenes and pictures.
        most: things in a scene; None for max_things, which more is, too.
        ValueError for fewer than one scene or thing, or a part that there is not.
        """
        check_count("count", count)
        check_part(part)
        most = self.max_things if most is None else min(check_count("most", most), self.max_things)
        dice = random.Random(f"{self.name} {part} {seed}")
        scenes = [self.draw(part, dice, most) for _ in range(count)]
        captions = self.encode([self.write(scene, dice) for scene in scenes])
        images = self.render(scenes, np.random.default_rng(dice.getrandbits(64)))
        lengths = np.array([self.frames(scene) for scene in scenes], dtype=np.int64)
        return scenes, CaptionBatch(images, lengths, captions)

    def encode(self, captions: Sequence[Sequence[str]]) -> NDArray[np.int64]:
        """Words as numbers, as in CaptionBatch.captions; ValueError for a word that this world has not."""
        numbers = {word: number for number, word in enumerate(self.words, start=1)}
        encoded = np.zeros((len(captions), max(map(len, captions))), dtype=np.int64)
        for row, caption in enumerate(captions):
            for column, word in enumerate(caption):
                if word not in numbers:
                    raise ValueError(f"{word!r} is no word of {self.name}")
                encoded[row, column] = numbers[word]
        return encoded

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """Numbers as words, up to the first 0."""
        return [self.words[number - 1] for number in itertools.takewhile(bool, numbers)]
