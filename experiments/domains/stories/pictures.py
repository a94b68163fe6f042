"""What a model of stories did while it answered: what is shown of it, and how it is found among a trace's parts."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from experiments.figures.memory import Episode
from experiments.figures.trace import as_array, episode_arrays
from experiments.figures.view import View
from memnet import Part, StoryModel
from memnet.trace import AnyTrace, find, names_of
from tasks.babi import StoryBatch, Vocabulary

# Answers that are told beside one another.
_ANSWERS = 5


def story_view(model: StoryModel, vocabulary: Vocabulary, one: StoryBatch) -> View:
    """What a model did with a batch of one question. Of one that reads word by word there is an episode, too."""
    one = one.to(next(model.parameters()).device)
    told = int(one.story_lengths)
    with torch.inference_mode():
        trace: Any = model.trace(one.story[:, :told], one.question)
    # Nil is no answer, and time words that some models score are none either.
    chances = trace.logits[0].softmax(-1)[1 : len(vocabulary)]
    best, numbers = chances.topk(min(_ANSWERS, len(chances)))
    answers = [vocabulary.words[number + 1] for number in numbers.tolist()]
    answer = vocabulary.words[int(one.answer)]
    names: dict[str, Sequence[str]] = {
        "sentence": [sentence_text(sentence, vocabulary) for sentence in one.story[0, :told]]
    }
    if (slots := slot_names(trace, vocabulary)) is not None:
        names["slot"] = slots
    if (heard := heard_words(trace, vocabulary)) is not None:
        names |= {"time": heard, "output": vocabulary.words}
    return View(
        asked=f"{sentence_text(one.question[0], vocabulary)}?",
        verdict=f"{answers[0]}: {'right' if answers[0] == answer else f'wrong, it is {answer}'}",
        right=answers[0] == answer,
        parts=trace.parts,
        names=names,
        marked=one.supports[0].nonzero().flatten().tolist(),
        episode=None if heard is None else _episode(trace, one.answer),
        answer=answer,
        answers=list(zip(answers, best.tolist(), strict=True)),
    )


def attention_on_sentences(parts: Sequence[Part]) -> Tensor | None:
    """How every hop weighted the sentences, (batch, hop, sentence); None of a model without such attention."""
    part = find(parts, "read", "sentence")
    if part is None or part.axes[-1] != "sentence":
        return None
    return part.values.reshape(len(part.values), -1, part.values.size(-1))


def gates_of_slots(parts: Sequence[Part]) -> tuple[Tensor, Tensor] | None:
    """How far sentences opened the gates of slots, (batch, sentence, slot), and where the question looked, (batch,
    slot); None of a model without such gates."""
    gates, look = find(parts, "gate", "sentence", "slot"), find(parts, "read", "slot")
    if gates is None or look is None or (gates.axes, look.axes) != (("sentence", "slot"), ("slot",)):
        return None
    return gates.values, look.values


def slot_names(trace: AnyTrace, vocabulary: Vocabulary) -> list[str] | None:
    """The words to which slots are tied, slot by slot; None where there are none."""
    slots = names_of(trace).get("slot")
    return None if slots is None else [vocabulary.words[word] for word in slots[0].tolist()]


def heard_words(trace: AnyTrace, vocabulary: Vocabulary) -> list[str] | None:
    """What a model heard word by word, up to the question mark; None of one that reads otherwise."""
    words = names_of(trace).get("time")
    if words is None:
        return None
    return [vocabulary.words[word] if word else "?" for word in words[0].tolist() if word >= 0]


def _episode(trace: Any, answer: Tensor) -> Episode:
    """Of a model that reads word by word, and is scored at the question mark alone."""
    words, chances = names_of(trace)["time"], trace.sequence.output[0].softmax(-1)
    mask = torch.arange(words.size(1)) == words.size(1) - 1
    targets = torch.zeros_like(chances)
    targets[-1, int(answer)] = 1
    return Episode(
        inputs=as_array(functional.one_hot(words[0], chances.size(-1))),
        targets=as_array(targets),
        outputs=as_array(chances),
        mask=mask.numpy(),
        answer="symbols",
        **episode_arrays(trace.parts),
    )


def sentence_text(words: Tensor, vocabulary: Vocabulary) -> str:
    """The words of one sentence, without padding."""
    return " ".join(vocabulary.words[word] for word in words.tolist() if word)
