"""What a word is, in stories of any language."""

import re
import unicodedata
from functools import lru_cache

# By kinds of characters: letters with their marks; joiners only between them, as in "l'école".
_WORD = re.compile("L[LM]*(?:J+L[LM]*)*")
_JOINERS = "'\u200c\u200d"
_COMMAS = re.compile("[,،，、]")


@lru_cache(maxsize=1 << 16)
def words_of(text: str) -> tuple[str, ...]:
    """The words of a sentence, casefolded and in NFC: letters and digits with their marks, punctuation dropped.

    An apostrophe between letters is part of the word, and so are the joiners of Persian and Indian scripts.
    """
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold()).replace("’", "'")
    kinds = "".join(map(_kind, folded))
    return tuple(folded[found.start() : found.end()] for found in _WORD.finditer(kinds))


def answer_of(text: str) -> str:
    """An answer by the same rule, so that it equals its word in the story; several are joined by commas, "apple,milk".

    One without a word, such as "+", is kept as it is.
    """
    parts = (part.strip() for part in _COMMAS.split(text))
    return ",".join(" ".join(words_of(part)) or part.casefold() for part in parts)


def _kind(character: str) -> str:
    if character.isalnum() or character == "_":
        return "L"
    if character in _JOINERS:
        return "J"
    return "M" if unicodedata.category(character).startswith("M") else " "
