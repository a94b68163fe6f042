"""What a word is, in stories of any language."""

import re
import unicodedata
from functools import lru_cache

# By kinds of characters: letters L and digits N with their marks M; joiners J, as in "l'école", dashes D, as in
# "semi-final", and points P, as in "3.5", within a word; signs S and units U, as in "c++", "+5", "5%" and "$5".
_INNER = "(?:[LNM]|J+(?=[LN])|D(?=[LN])|(?<=N)P(?=N))"
_NUMBER_SIGN = "(?:(?<![LNMSUD])[SD]?U?(?=N))?"
_WORD = re.compile(f"(?<![LNMJD])LM*D(?![LNMD])|{_NUMBER_SIGN}[LN]{_INNER}*(?:(?:(?<=[LM])S+|(?<=N)U)(?![LNMS]))?")
_KINDS = {"'": "J", "\u200c": "J", "\u200d": "J", ".": "P", "-": "D", "_": "L"}
_KINDS |= dict.fromkeys("+#", "S") | dict.fromkeys("%‰°", "U")
# Apostrophe, minus and hyphens; a soft hyphen is where a word may be broken.
_SAME = str.maketrans({"\u2019": "'", "\u2212": "-", "\u2010": "-", "\u2011": "-", "\u00ad": None})
_COMMAS = re.compile("[,،，、]")


@lru_cache(maxsize=1 << 16)
def words_of(text: str) -> tuple[str, ...]:
    """The words of a sentence, casefolded and in NFC: letters and digits with their marks, punctuation dropped.

    Within a word an apostrophe, a hyphen and the joiners of Persian and Indian scripts are part of it; at its ends the
    sign and unit of a number, as in "-5" and "5%", signs as in "c++", and the minus of a lone letter, as of a mark A-.
    """
    return _found(_folded(text))


def answer_of(text: str) -> str:
    """An answer by the same rule, so that it equals its word in the story; several are joined by commas, "apple,milk".

    What stands between words, as in "salt & pepper", is kept, and so is an answer without a word, such as "+".
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
    category = unicodedata.category(character)
    return category[0] if category[0] in "LNM" else "U" if category == "Sc" else " "
