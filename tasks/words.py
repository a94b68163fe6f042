"""What a word is, in stories of any language."""

import re
import unicodedata
from functools import lru_cache

# By kinds of characters: letters L and digits N with their marks M; joiners J between letters, as in "l'école", and
# points P between digits, as in "3.5"; at the ends signs S, as in "c++" and "5%", and dashes D, as in "-5" and "a-".
_INNER = "(?:J+[LN]|(?<=N)P(?=N)N|[LNM])"
_WORD = re.compile(f"(?:(?<![LNMSD])(?:[SD](?=N)|S+))?[LN]{_INNER}*(?:S+(?![LNM])|D(?![LNMD]))?")
_KINDS = {"'": "J", "\u200c": "J", "\u200d": "J", ".": "P", "-": "D", "_": "L"} | dict.fromkeys("+#%@&*°", "S")
_SAME = str.maketrans({"\u2019": "'", "\u2212": "-"})
_COMMAS = re.compile("[,،，、]")


@lru_cache(maxsize=1 << 16)
def words_of(text: str) -> tuple[str, ...]:
    """The words of a sentence, casefolded and in NFC: letters and digits with their marks, punctuation dropped.

    An apostrophe between letters is part of the word, and so are the joiners of Persian and Indian scripts, the sign
    of a number, and signs such as those of "c++" and "5%".
    """
    return _found(_folded(text))


def answer_of(text: str) -> str:
    """An answer by the same rule, so that it equals its word in the story; several are joined by commas, "apple,milk".

    What stands between words, as in "semi-final", is kept, and so is an answer without a word, such as "+".
    """
    parts = (_folded(part).split() for part in _COMMAS.split(text))
    return ",".join(" ".join(map(_core, part)) for part in parts)


def _core(piece: str) -> str:
    """From the first of its words to the last one."""
    places = _places(piece)
    return piece[places[0][0] : places[-1][1]] if places else piece


def _found(folded: str) -> tuple[str, ...]:
    return tuple(folded[start:end] for start, end in _places(folded))


def _places(folded: str) -> list[tuple[int, int]]:
    """Where the words are."""
    return [found.span() for found in _WORD.finditer("".join(map(_kind, folded)))]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold()).translate(_SAME)


def _kind(character: str) -> str:
    if character in _KINDS:
        return _KINDS[character]
    if character.isalnum():
        return "N" if character.isnumeric() else "L"
    category = unicodedata.category(character)
    return "M" if category.startswith("M") else "S" if category == "Sc" else " "
