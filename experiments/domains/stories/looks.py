"""One look at a model of stories in training: on always the same questions."""

from typing import Any

import torch
from torch import Tensor

from experiments.domains.stories.data import Questions
from experiments.domains.stories.pictures import sentence_text
from experiments.figures.snapshot import Panel, Shades
from experiments.training.looks import NOTHING, Look, at_rest, head_numbers, head_panels
from memnet import EntNetTrace, KeyValueTrace, MemN2N, MemN2NTrace, NTMTrace, weighting_entropy
from memnet.story import StoryModel
from tasks.babi import Vocabulary

# Of longer stories the last sentences are drawn.
MOST_SENTENCES = 20


def look_at_questions(model: StoryModel, vocabulary: Vocabulary, questions: Questions, drawn: int) -> Look:
    """What a model of stories looks at while it answers: numbers over all questions, pictures of the first `drawn`.

    Of a linear start there are no entropies, since its scores are no weightings.
    """
    shades: Shades
    questions = questions.to(next(model.parameters()).device)
    watch: Any = model.trace
    with at_rest(model):
        trace = watch(questions.story, questions.question, story_lengths=questions.lengths)
    if isinstance(trace, MemN2NTrace | KeyValueTrace):
        weighted = not (isinstance(model, MemN2N) and model.linear_start)
        numbers = hop_numbers(trace.attention) if weighted else {}
        seen, what, shades = trace.attention.mT, "attention by hop", "purples"
    elif isinstance(trace, EntNetTrace):
        numbers = gate_numbers(trace, questions.lengths)
        seen, what, shades = trace.gates, "gates by slot", "greens"
    elif isinstance(trace.sequence, NTMTrace):
        return Look(head_numbers(trace.sequence, trace.lengths), head_panels(trace.sequence, int(trace.lengths[0])))
    else:
        return NOTHING
    panels = []
    for row in questions.lengths.nonzero().flatten().tolist()[:drawn]:
        told = int(questions.lengths[row])
        first = max(told - MOST_SENTENCES, 0)
        names = [f"{k + 1} {sentence_text(questions.story[row, k], vocabulary)}" for k in range(first, told)]
        title = f"{_verdict(questions, row, trace.logits[row], vocabulary)} ({what})"
        panels.append([Panel(title, seen[row, first:told].cpu().numpy(), names=names, shades=shades)])
    return Look(numbers, panels)


def hop_numbers(attention: Tensor) -> dict[str, float]:
    """The entropy of every hop's attention (question, hop, sentence), over the questions."""
    return {
        f"entropy/hop-{hop}": entropy for hop, entropy in enumerate(weighting_entropy(attention).mean(0).tolist(), 1)
    }


def gate_numbers(trace: EntNetTrace, lengths: Tensor) -> dict[str, float]:
    """Of an EntNet's gates, over the sentences told and all slots, the mean and the share above 1/2; and the entropy of
    the question's attention over the slots."""
    gates = torch.cat([row[:told] for row, told in zip(trace.gates, lengths.tolist(), strict=True)])
    return {
        "gate/mean": float(gates.mean()),
        "gate/open_share": float((gates > 0.5).to(gates.dtype).mean()),
        "entropy/attention": float(weighting_entropy(trace.attention).mean()),
    }


def _verdict(questions: Questions, row: int, logits: Tensor, vocabulary: Vocabulary) -> str:
    """A question, the answer that was given, and whether it is right."""
    given = vocabulary.words[int(logits[: len(vocabulary)].argmax())]
    right = vocabulary.words[int(questions.answer[row])]
    verdict = "right" if given == right else f"wrong, it is {right}"
    return f"{sentence_text(questions.question[row], vocabulary)}? {given}: {verdict}"
