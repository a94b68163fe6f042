"""A conversation in the terminal with a model that reads stories: tell, ask, see where it looked."""

import contextlib
import dataclasses
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

import torch
import tyro
from rich.console import Console
from torch import Tensor

from experiments.base.names import beginning, unknown_words
from experiments.base.terminal import wrapped
from experiments.config.command_line import parse
from experiments.domains.stories.pictures import attention_on_sentences, gates_of_slots, heard_words, slot_names
from experiments.training.loading import load_run
from memnet import Part, StoryModel
from memnet.trace import AnyTrace, find, members, rows, steps_first
from tasks.babi import TASK_NAMES, Fact, Vocabulary, stream, words_of
from tasks.babi.encoding import pad
from tasks.babi.stories import QUESTION_MARKS
from tasks.reading import TextError, checked, keep_bytes, lines_of

COMMANDS = (
    'A line with "?" at its end is a question; an empty line or "new" starts a new story, '
    '"story" lists it, "undo" takes the last sentence back, "quit" ends.'
)
_ENDS = ".!。।" + "".join(QUESTION_MARKS)
_SENTENCE = re.compile(f"[^{_ENDS}]*[{_ENDS}]+|[^{_ENDS}]+$")
# Weights below the first are not listed, nor more than so many; the longest bar.
LISTED, MOST, BAR = 0.05, 4, 20


@dataclasses.dataclass(frozen=True)
class AskOptions:
    """Tell a trained model a story, sentence by sentence, and ask it questions, typed or from a pipe."""

    run: tyro.conf.Positional[str]
    """The run's folder."""
    explain: bool | None = None
    """Show where the model looked, and how sure it is; None: in a terminal only."""


def ask(args: Sequence[str]) -> int:
    """Talk until the end of the input. Returns 0, or 2 where a line from a pipe could not be used."""
    options = parse(AskOptions, "ask", args)
    torch.set_num_threads(1)
    _, vocabulary, model = load_run(options.run, domain="stories")
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    remarks = sys.stdout if terminal else sys.stderr
    explain = terminal if options.explain is None else options.explain
    conversation = Conversation(model, vocabulary, sys.stdout, remarks, explain=explain)
    if terminal:
        keep_bytes(sys.stdin)
        # Gives arrow keys and history to input().
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401
        print(wrapped(f"{greeting(vocabulary)}\n{COMMANDS}"))
        conversation.run(_typed(conversation))
        return 0
    return 2 if conversation.run(lines_of(sys.stdin)) else 0


class Refused(Exception):
    """A line that cannot be used; the text says why. The story stays as it was."""


class Conversation:
    """One story at a time, told and asked about line by line.

    output:  where answers go.
    remarks: where it is said that a line cannot be used, or that sentences are forgotten.
    explain: answer with probability, runners-up and what the model looked at, not with the word alone.

    Attribute sentences: the story as it was typed.
    """

    def __init__(
        self, model: StoryModel, vocabulary: Vocabulary, output: TextIO, remarks: TextIO, *, explain: bool
    ) -> None:
        self.sentences: list[str] = []
        self._model, self._vocabulary, self._explain = model, vocabulary, explain
        self._known = plain_words(vocabulary)
        self._output, self._remarks = (_console(stream) for stream in (output, remarks))
        self._memory: int | None = getattr(model, "max_sentences", None)

    @property
    def prompt(self) -> str:
        """The number that the next sentence will have."""
        return f"{len(self.sentences) + 1}> "

    def run(self, lines: Iterable[str]) -> int:
        """Hear every line, up to "quit"; returns how many could not be used."""
        refused = 0
        for number, line in enumerate(lines, start=1):
            try:
                text = checked(line, number)
                if text.strip().lower() == "quit":
                    break
                self.hear(text)
            except (Refused, TextError) as reason:
                self._remarks.print(str(reason))
                refused += 1
        return refused

    def hear(self, line: str) -> None:
        """A command, or sentences and questions; Refused, with nothing taken in, if one of them cannot be used."""
        match line.strip().lower():
            case "" | "new":
                self.sentences.clear()
            case "story":
                self._list_story()
            case "undo":
                if not self.sentences:
                    raise Refused("there is no sentence to take back")
                self.sentences.pop()
            case _:
                parts = [part.strip() for part in _SENTENCE.findall(line.strip())]
                self._check(parts)
                for part in parts:
                    if part.endswith(QUESTION_MARKS):
                        self._answer(part)
                    else:
                        self._add(part)

    def _check(self, parts: Sequence[str]) -> None:
        told = len(self.sentences)
        for part in parts:
            words, action = self._words(part), "asked" if part.endswith(QUESTION_MARKS) else "added"
            unknown = [word for word in words if word not in self._known]
            longest = self._model.max_words
            if not words:
                raise Refused(f"not {action}: there is no word in {beginning(part)}")
            if unknown:
                named = unknown_words(unknown, self._known)
                raise Refused(f"not {action}: the model never saw {named} of {beginning(part)}")
            if longest is not None and len(words) > longest:
                told_of = f"{len(words)} words, the model reads at most {longest}"
                raise Refused(f"not {action}: {told_of}, in {beginning(part)}")
            if action == "asked" and not told:
                raise Refused(f"not asked: the story is empty, tell it something before {beginning(part)}")
            told += action == "added"

    def _add(self, sentence: str) -> None:
        self.sentences.append(sentence)
        if len(self.sentences) - 1 == self._memory:
            self._remarks.print(f"the memory holds {self._memory} sentences: from now on the oldest are forgotten")

    def _list_story(self) -> None:
        kept = len(self.sentences) - (self._memory or len(self.sentences))
        for k, sentence in enumerate(self.sentences):
            self._output.print(f"{k + 1:3}  {sentence}{' (forgotten)' if k < kept else ''}")

    def _answer(self, question: str) -> None:
        story = self._numbers(self.sentences).unsqueeze(0)
        with torch.inference_mode():
            trace = self._model.trace(story, self._numbers([question]))
        # Nil is no answer, and time words that some models score are none either.
        chances = trace.logits[0].softmax(-1)[1 : len(self._vocabulary)]
        (best, *others), numbers = (tensor.tolist() for tensor in chances.topk(min(3, len(chances))))
        answer, *runners_up = (self._vocabulary.words[number + 1] for number in numbers)
        if not self._explain:
            self._output.print(answer)
            return
        less = [f"{word} {chance:.2f}" for word, chance in zip(runners_up, others, strict=True) if chance >= 0.005]
        self._output.print(f"{answer}  {best:.2f}" + (f"  (then {', '.join(less)})" if less else ""), style="bold")
        for line in self._looks(trace):
            self._output.print(f"  {line}")

    def _numbers(self, sentences: Sequence[str]) -> Tensor:
        return pad([[self._vocabulary.number(word) for word in self._words(sentence)] for sentence in sentences])

    def _words(self, text: str) -> list[str]:
        """As in training; words with other signs, such as the cells of the world model, are kept whole."""
        pieces = [piece.strip(_ENDS) for piece in text.casefold().split()]
        return [word for piece in pieces for word in ([piece] if piece in self._known else words_of(piece))]

    def _looks(self, trace: AnyTrace) -> Iterator[str]:
        """What of the story came into the answer, line by line."""
        numbered = [f"{k:2} {sentence}" for k, sentence in enumerate(self.sentences, start=1)]
        heads, heard = find(trace.parts, "read", "time", "slot"), heard_words(trace, self._vocabulary)
        if (attention := attention_on_sentences(trace.parts)) is not None:
            for hop, weights in enumerate(attention[0].tolist(), start=1):
                empty = 1 - sum(weights)
                names, weights = [*numbered, "(empty slots)"], [*weights, empty if empty >= 0.005 else 0.0]
                yield from _under(f"hop {hop}", _strongest(weights, names, share=True))
        elif (gated := gates_of_slots(trace.parts)) is not None:
            gates, look = (values[0] for values in gated)
            yield from self._gates(gates, look, slot_names(trace, self._vocabulary), numbered)
        elif heads is not None and heard is not None:
            yield from self._heads(heads, find(trace.parts, "write", "time", "slot"), heard)
        else:
            yield "(this model keeps the story in its state: there is no memory to look into)"

    def _gates(
        self, gates: Tensor, attention: Tensor, named: Sequence[str] | None, sentences: Sequence[str]
    ) -> Iterator[str]:
        """Which slots the question looked at (slot,), and which sentences opened their gates (sentence, slot)."""
        names = list(map(str, range(len(attention)))) if named is None else named
        yield from _under("question", _strongest(attention.tolist(), [f"slot {name}" for name in names], share=True))
        for slot in attention.topk(min(2, len(names))).indices.tolist():
            yield from _under(f"gate of slot {names[slot]}", _strongest(gates[:, slot].tolist(), sentences))

    def _heads(self, read: Part, write: Part | None, heard: Sequence[str]) -> Iterator[str]:
        """Where the read heads were at the question mark, and which word was read while that was written most."""
        names = [f"slot {slot}" for slot in range(read.values.size(-1))]
        if write is not None:
            (weights,) = rows(write)
            written = weights.reshape(len(weights), -1, weights.size(-1)).sum(1).argmax(0).tolist()
            names = [
                f"{name}, written most at word {k + 1}, {heard[k]!r}" for name, k in zip(names, written, strict=True)
            ]
        read = steps_first(read)
        last = read._replace(values=read.values[0, -1], axes=read.axes[1:], name="read")
        for head in members(last):
            yield from _under(head.name.replace("-", " "), _strongest(head.values.tolist(), names, share=True))


def greeting(vocabulary: Vocabulary) -> str:
    """What the model knows, and something that it can be asked."""
    words = plain_words(vocabulary)
    more = f" and {len(words) - 30} more" if len(words) > 30 else ""
    lines = [f"The model knows {len(words)} words: {', '.join(words[:30])}{more}."]
    for task in TASK_NAMES:
        story = next(stream(task, seed=0))
        end = next(k for k, line in enumerate(story, start=1) if not isinstance(line, Fact))
        texts = [line.text for line in story[:end]]
        if all(word in vocabulary for text in texts for word in words_of(text)):
            return "\n".join([*lines, f"For example: {' '.join(texts)}"])
    return lines[0]


def plain_words(vocabulary: Vocabulary) -> list[str]:
    """Those that can be typed: words and cells, neither nil nor several answers in one."""
    return [word for word in vocabulary.words if words_of(word) == (word,) or re.fullmatch(r"\(.+\)", word)]


def _typed(conversation: Conversation) -> Iterator[str]:
    while True:
        try:
            line = input(conversation.prompt)
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            raise
        yield line


def _strongest(weights: Sequence[float], names: Sequence[str], *, share: bool = False) -> list[str]:
    """A line with a bar for each of the largest weights, at least one; of shares also what is left."""
    order = sorted(range(len(weights)), key=lambda k: -weights[k])
    listed = [k for place, k in enumerate(order) if place == 0 or (place < MOST and weights[k] >= LISTED)]
    lines = [f"{weights[k]:.2f} {'#' * round(BAR * weights[k]):{BAR}}  {names[k]}" for k in listed]
    left = sum(weights[k] for k in order[len(listed) :])
    return [*lines, f"{left:.2f} on all others"] if share and left >= 0.005 else lines


def _under(name: str, lines: Sequence[str]) -> Iterator[str]:
    """The lines in a block, with the name before the first."""
    for k, line in enumerate(lines):
        yield f"{'' if k else name:{len(name)}}  {line}"


def _console(stream: TextIO) -> Console:
    return Console(file=stream, soft_wrap=not stream.isatty(), markup=False, highlight=False, emoji=False)
