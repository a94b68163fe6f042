"""The twenty bAbI tasks (Weston et al. 2015, arXiv 1502.05698): a reader of the release, and a generator.

What a model scores on generated stories is never a bAbI result; only the released test questions give that.
"""

from ..words import words_of
from .encoding import NIL, UNKNOWN, StoryBatch, Vocabulary, WordSequence, encode, word_sequence
from .generator import TALES, generate, stream
from .reader import BabiData, MissingFile, read_babi, split_validation
from .stories import (
    TASK_NAMES,
    BabiError,
    Example,
    Fact,
    Question,
    Story,
    examples_of,
    file_name,
    parse_stories,
    write_stories,
)
from .telling import Difficulty
from .world_model import WorldModel

__all__ = [
    "NIL",
    "TALES",
    "TASK_NAMES",
    "UNKNOWN",
    "BabiData",
    "BabiError",
    "Difficulty",
    "Example",
    "Fact",
    "MissingFile",
    "Question",
    "Story",
    "StoryBatch",
    "Vocabulary",
    "WordSequence",
    "WorldModel",
    "encode",
    "examples_of",
    "file_name",
    "generate",
    "parse_stories",
    "read_babi",
    "split_validation",
    "stream",
    "word_sequence",
    "words_of",
    "write_stories",
]
