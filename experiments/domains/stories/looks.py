"""One look at a model of stories in training: what it looks at while it answers."""

from torch import Tensor

from experiments.domains.stories.data import Questions
from experiments.domains.stories.pictures import sentence_text
from experiments.figures.trace import in_twos, in_words, named_panel, panels_of
from experiments.training.looks import Look, at_rest
from memnet import StoryModel
from memnet.trace import lengths_of, names_of, numbers
from tasks.babi import Vocabulary

# Of longer stories the last sentences are drawn.
MOST_SENTENCES = 20


def look_at_questions(model: StoryModel, vocabulary: Vocabulary, questions: Questions, drawn: int) -> Look:
    """What a model of stories looks at while it answers: numbers over all questions, pictures of the first `drawn`;
    of one that reads word by word, of the first question.

    Of a linear start there are no entropies, since its scores are no weightings.
    """
    questions = questions.to(next(model.parameters()).device)
    with at_rest(model):
        trace = model.trace(questions.story, questions.question, story_lengths=questions.lengths)
    lengths = {"sentence": questions.lengths} | lengths_of(names_of(trace))
    told = numbers(trace.parts, lengths)
    part = next((one for one in trace.parts if "sentence" in one.axes), None)
    if part is None:
        memory, over_time = panels_of(trace.parts, lengths)
        return Look(told, in_twos(memory) + over_time)
    panels = []
    for row in questions.lengths.nonzero().flatten().tolist()[:drawn]:
        end = int(questions.lengths[row])
        start = max(end - MOST_SENTENCES, 0)
        names = [f"{k + 1} {sentence_text(questions.story[row, k], vocabulary)}" for k in range(start, end)]
        title = f"{_verdict(questions, row, trace.logits[row], vocabulary)} ({in_words(part)})"
        panels.append([named_panel(part, row, title, names, start)])
    return Look(told, panels)


def _verdict(questions: Questions, row: int, logits: Tensor, vocabulary: Vocabulary) -> str:
    """A question, the answer that was given, and whether it is right."""
    given = vocabulary.words[int(logits[: len(vocabulary)].argmax())]
    right = vocabulary.words[int(questions.answer[row])]
    verdict = "right" if given == right else f"wrong, it is {right}"
    return f"{sentence_text(questions.question[row], vocabulary)}? {given}: {verdict}"
