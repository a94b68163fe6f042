"""python -m experiments translate: sentences through a trained run."""

import dataclasses
import sys
from collections.abc import Iterable, Sequence

import torch
import tyro

from experiments.base.files import UserError
from experiments.base.names import beginning, unknown_words
from experiments.config.command_line import parse
from experiments.config.fields import check_least
from experiments.domains.translation.data import UNKNOWN_NUMBER, Ragged, Words
from experiments.domains.translation.testing import translations
from experiments.training.loading import load_run
from memnet.decoding import Normalization
from tasks.reading import TextError, checked, lines_of, normalized


@dataclasses.dataclass(frozen=True)
class TranslateOptions:
    """Translate sentences, given here or line by line on the standard input, one translation a line."""

    run: tyro.conf.Positional[str]
    """The run's folder."""
    sentences: tyro.conf.Positional[tuple[str, ...]] = ()
    """What to translate, each sentence in quotes; none for the lines of the standard input."""
    beam: int | None = None
    """Width of the beam search, 1 for greedy decoding; None for that of the run's tests."""
    beam_normalization: Normalization | None = None
    """Order of the sentences that the beam search finds; None for that of the run."""


def translate(args: Sequence[str]) -> int:
    """Print a translation for every sentence. Returns 0, or 2 where a line of the input could not be translated.

    For such a line an empty one is printed, so that lines stay beside their translations.
    """
    options = parse(TranslateOptions, "translate", args)
    check_least(options, 1, "beam")
    torch.set_num_threads(1)
    config, words, model = load_run(options.run, domain="translation")
    beam, normalization = (
        options.beam or config.training.beam,
        options.beam_normalization or config.training.beam_normalization,
    )

    def translated(numbers: Sequence[int]) -> str:
        return translations(model, Ragged.of([numbers]), words, beam=beam, normalization=normalization)[0]

    if options.sentences:
        for numbers in [_numbers(sentence, words) for sentence in options.sentences]:
            print(translated(numbers))
        return 0
    refused = 0
    for number, line in enumerate(_lines(), start=1):
        try:
            print(translated(_numbers(checked(line, number), words)), flush=True)
            continue
        except TextError as error:
            told = str(error)
        except UserError as error:
            told = f"line {number}: {error}"
        refused += 1
        print(flush=True)
        print(told, file=sys.stderr)
    return 2 if refused else 0


def _lines() -> Iterable[str]:
    """The standard input; in a terminal with a word on what is expected."""
    if sys.stdin.isatty():
        print("A sentence a line; Ctrl-D ends.", file=sys.stderr)
    return lines_of(sys.stdin)


def _numbers(sentence: str, words: Words) -> list[int]:
    """UserError for a sentence without words, or with words that training never saw."""
    found = normalized(sentence).split()
    unknown = [word for word in found if words.source.number(word) <= UNKNOWN_NUMBER]
    if not found:
        raise UserError("not translated: there is no word in the sentence")
    if unknown:
        told = unknown_words(unknown, words.source.words[UNKNOWN_NUMBER + 1 :])
        raise UserError(f"not translated: the model never saw {told} of {beginning(sentence.strip())}")
    return [words.source.number(word) for word in found]
