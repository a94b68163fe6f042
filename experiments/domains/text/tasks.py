"""What models of text learn: a text of the user's, or one made here."""

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import ClassVar

import numpy as np

from experiments.base.files import UserError
from experiments.base.progress import working
from experiments.config.fields import check_least, check_positive
from experiments.domains.text.data import Alphabet, TextData, read_text
from tasks.invented_text import InventedLanguage
from tasks.markov_text import MarkovSource

INVENTED, MARKOV = "invented", "markov"


@dataclasses.dataclass
class Text:
    """A text, character by character, cut by position into training, validation and test part.

    text: a text file (UTF-8); or "invented", of our own making; or "markov", whose true entropy is known.
    characters: texts made here: how many characters.
    most_symbols: of more different characters than this the rarest are all one, U+FFFD; how many is told.
    data_seed: texts made here: their seed. It is not that of the run, so that seeds compare on the same text.
    markov_order: Markov text: how many letters each depends on.
    markov_symbols: Markov text: letters of the alphabet.
    valid_share: share of the text, after the training part, that is validated on.
    test_share: share of the text, its end, that is tested on.
    """

    domain: ClassVar[str] = "text"
    settled: ClassVar[tuple[str, ...]] = ("text",)
    changeable: ClassVar[tuple[str, ...]] = ("text",)

    text: str = INVENTED
    characters: int = 400_000
    most_symbols: int = 10_000
    data_seed: int = 0
    markov_order: int = 2
    markov_symbols: int = 8
    valid_share: float = 0.05
    test_share: float = 0.05

    def __post_init__(self) -> None:
        """Settle where the text is; UserError for what cannot be."""
        check_least(self, 1, "characters", "markov_order")
        check_least(self, 2, "markov_symbols", "most_symbols")
        check_least(self, 0, "data_seed")
        check_positive(self, "valid_share", "test_share")
        if self.valid_share + self.test_share >= 1:
            raise UserError(
                f"--valid-share {self.valid_share} and --test-share {self.test_share} leave nothing to train on"
            )
        if not self.made:
            self.text = os.path.abspath(self.text)

    @property
    def made(self) -> bool:
        """Whether the text is made here."""
        return self.text in (INVENTED, MARKOV)

    @property
    def name(self) -> str:
        """What the text is called."""
        return f"{self.text} text" if self.made else Path(self.text).name

    @property
    def subject(self) -> str:
        """What exactly is learned: the text, and how it was made, since others are easier or harder."""
        if not self.made:
            return self.name
        order = f", order {self.markov_order} of {self.markov_symbols}" if self.text == MARKOV else ""
        return f"{self.name}{order}, {self.characters:,} characters, seed {self.data_seed}"

    @property
    def label(self) -> str:
        """In short."""
        return "text-markov" if self.text == MARKOV else "text"

    @working("reading the text")
    def data(self) -> TextData:
        """The text; UserError where there is none."""
        source = None
        generator = np.random.default_rng(self.data_seed)
        if self.text == MARKOV:
            try:
                source = MarkovSource(self.markov_order, self.markov_symbols, generator=generator)
            except ValueError as error:
                raise UserError(f"no such Markov text: {error}") from None
            text = source.draw(self.characters, generator)
        elif self.text == INVENTED:
            text = InventedLanguage(generator).write(self.characters, generator)
        else:
            text = read_text(self.text)
        alphabet, others = Alphabet.of(text, self.most_symbols)
        numbers = alphabet.encode(text, self.text)
        tested, validated = (int(share * len(text)) for share in (self.test_share, self.valid_share))
        train, valid, test = numbers.split([len(text) - validated - tested, validated, tested])
        digest = hashlib.sha256(text.encode()).hexdigest()
        return TextData(self.name, digest, alphabet, others, train, valid, test, source)
