"""Translation: two invented languages with an exact translator, and a reader of parallel files."""

from .grammar import SHORTEST, Languages, Pair
from .lexicon import Lexicon
from .parallel import ParallelError, parted, read_parallel, read_tabbed
from .translator import NotTranslated, Translator

__all__ = [
    "SHORTEST",
    "Languages",
    "Lexicon",
    "NotTranslated",
    "Pair",
    "ParallelError",
    "Translator",
    "parted",
    "read_parallel",
    "read_tabbed",
]
