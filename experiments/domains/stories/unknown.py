"""Test stories with words that a trained model never saw."""

from collections.abc import Sequence

from experiments.base.files import UserError
from experiments.base.names import unknown_words
from tasks.babi import Example, Vocabulary


class Unknown:
    """Counts what a model does not know of test questions, and leaves it out.

    Attribute unasked: by task, how many questions cannot be asked or answered, and so count as wrong.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.unasked: dict[int, int] = {}
        self._vocabulary = vocabulary
        self._words: dict[str, None] = {}
        self._questions = self._changed = 0

    def answerable(self, task: int, examples: Sequence[Example]) -> list[Example]:
        """The questions that can be asked and answered, without the words that the model never saw.

        UserError where none is left.
        """
        kept = [known for one in examples if (known := self._known(one)) is not None]
        self.unasked[task] = len(examples) - len(kept)
        if not kept:
            told = unknown_words(self._words, ())
            raise UserError(f"task {task}: the model knows too few words for any question; it never saw {told}")
        return kept

    def told(self) -> str:
        """One line for the user; empty where the model knows every word."""
        if not self._words:
            return ""
        wrong = sum(self.unasked.values())
        return (
            f"{len(self._words):,} words that training never saw ({unknown_words(self._words, ())}) are left out of "
            f"{self._changed:,} of {self._questions:,} questions with their stories; {wrong:,} that cannot be asked or "
            "answered without them count as wrong"
        )

    def _known(self, example: Example) -> Example | None:
        """The same question in known words, None where it cannot be asked or answered."""
        sentences = (*example.facts, example.question)
        strange = [word for sentence in sentences for word in sentence if word not in self._vocabulary]
        unanswerable = example.answer not in self._vocabulary
        self._questions += 1
        self._changed += bool(strange) or unanswerable
        self._words |= dict.fromkeys([*strange, *([example.answer] if unanswerable else [])])
        if not strange and not unanswerable:
            return example
        *facts, question = [tuple(word for word in sentence if word in self._vocabulary) for sentence in sentences]
        told = [place for place, fact in enumerate(facts) if fact]
        if unanswerable or not question or not told:
            return None
        supports = tuple(told.index(place) for place in example.supports if place in told)
        return Example(tuple(facts[place] for place in told), question, example.answer, supports)
