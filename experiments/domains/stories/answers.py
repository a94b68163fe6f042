"""What a model of stories answered to test questions, and where it looked: answers.jsonl of a run."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from experiments.domains.stories.data import Questions, Tests
from experiments.domains.stories.pictures import attention_on_sentences, gates_of_slots, sentence_text
from experiments.domains.stories.restarts import test_logits
from experiments.training.looks import at_rest
from memnet import Part, StoryModel
from memnet.abilities import ReadsWords
from tasks.babi import Vocabulary

# Of each task or length: the first questions whatever was answered, and the first wrong answers.
MOST, MOST_WRONG = 50, 50
_BATCH = 250


def answer_rows(model: StoryModel, vocabulary: Vocabulary, tests: Tests, kind: str) -> list[dict[str, Any]]:
    """One row a question, of each test the first MOST and of the rest the first MOST_WRONG with a wrong answer:

    task or length, question_number: which test, as `kind` names it, and which of its questions, from 0.
    story, question, answer:         as text, sentences between full stops.
    given, right, probability:       the model's answer, whether it is right, and how sure the model was.
    looked_at, weight:               the sentence that weighs most, see `sentence_weights`, None where a model has
                                     no memory of sentences.
    """
    rows = []
    for number, questions in tests.items():
        chances = _chances(model, questions)
        wrong = (chances.argmax(1) != questions.answer).nonzero().flatten()
        shown = torch.arange(min(MOST, len(chances)))
        index = torch.cat([shown, wrong[wrong >= MOST][:MOST_WRONG]])
        looked = _looked_at(model, questions, index)
        for place, row in enumerate(index.tolist()):
            rows.append({kind: number} | _row(vocabulary, questions, row, chances[row]) | looked[place])
    return rows


def sentence_weights(parts: Sequence[Part]) -> Tensor | None:
    """How much each sentence weighed in an answer: (batch, sentence), from 0 to 1; None where nobody can say.

    The mean of its attention over hops; or the mean of the gates of slots that it opened, each weighted by the
    question's attention on the slot.
    """
    if (attention := attention_on_sentences(parts)) is not None:
        return attention.mean(1)
    if (gated := gates_of_slots(parts)) is not None:
        gates, look = gated
        return (gates @ look.unsqueeze(-1)).squeeze(-1)
    return None


def _chances(model: StoryModel, questions: Questions) -> Tensor:
    """The probability of every word (question, word), on the CPU."""
    device, parts = next(model.parameters()).device, []
    with at_rest(model):
        for first in range(0, len(questions.answer), _BATCH):
            batch = questions.rows(slice(first, first + _BATCH)).to(device)
            parts.append(test_logits(model, 1, batch)[0].softmax(-1).cpu())
    return torch.cat(parts)


def _looked_at(model: StoryModel, questions: Questions, index: Tensor) -> list[dict[str, Any]]:
    """The number, from 1, and the weight of the sentence that weighs most, for some of the questions."""
    nothing = {"looked_at": None, "weight": None}
    if isinstance(model, ReadsWords):
        return [nothing] * len(index)
    batch = questions.rows(index).to(next(model.parameters()).device)
    with at_rest(model):
        trace = model.trace(batch.story, batch.question, story_lengths=batch.lengths)
    weighed = sentence_weights(trace.parts)
    if weighed is None:
        return [nothing] * len(index)
    weights, sentences = weighed.max(1)
    found = zip(batch.lengths.tolist(), sentences.tolist(), weights.tolist(), strict=True)
    return [{"looked_at": place + 1, "weight": weight} if told else nothing for told, place, weight in found]


def _row(vocabulary: Vocabulary, questions: Questions, row: int, chances: Tensor) -> dict[str, Any]:
    story = questions.story[row, : int(questions.lengths[row])]
    given, answer = int(chances.argmax()), int(questions.answer[row])
    return {
        "question_number": row,
        "story": " ".join(f"{sentence_text(sentence, vocabulary)}." for sentence in story),
        "question": f"{sentence_text(questions.question[row], vocabulary)}?",
        "answer": vocabulary.words[answer],
        # Some models score time words, too.
        "given": vocabulary.words[given] if given < len(vocabulary) else "a time word",
        "right": given == answer,
        "probability": float(chances[given]),
    }
