"""Pictures of what a model of stories looked at while it answered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from experiments.figures import (
    AskedStory,
    Episode,
    attention_figure,
    figure_name,
    gates_figure,
    memory_figure,
    save_figure,
)
from experiments.figures.trace import as_array, episode_arrays
from memnet import Part, StoryModel
from memnet.trace import AnyTrace, find, names_of
from tasks.babi import StoryBatch, Vocabulary

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_story_run(
    folder: Path, model: StoryModel, vocabulary: Vocabulary, batch: StoryBatch, title: str
) -> list[Path]:
    """Draw a figure for every question of the batch into the folder, and return the files.

    Attention on sentences, gates that sentences open, or the memory of a model that reads word by word; one that has
    nothing of the kind gives no figure. Files are called attention-1.png, gates-1.png or memory-1.png and so on; the
    folder is made if it is not there.
    """
    files = []
    seen = [_see(model, vocabulary, batch.rows(torch.tensor([row]))) for row in range(len(batch.story))]
    for number, one in enumerate(seen, start=1):
        drawn = _figure(one, vocabulary, title, seen)
        if drawn is not None:
            name, figure = drawn
            folder.mkdir(parents=True, exist_ok=True)
            files.append(folder / figure_name(f"{name}-{number}"))
            save_figure(figure, files[-1])
    return files


def story_figure(model: StoryModel, vocabulary: Vocabulary, one: StoryBatch, title: str) -> tuple[str, Figure] | None:
    """What was looked at for a batch of one question: the kind of figure and the figure, if there is one."""
    return _figure(_see(model, vocabulary, one), vocabulary, title)


class _Seen(NamedTuple):
    """What a model did with one question. right: the number of its answer."""

    asked: AskedStory
    trace: Any
    right: Tensor


def _see(model: StoryModel, vocabulary: Vocabulary, one: StoryBatch) -> _Seen:
    one = one.to(next(model.parameters()).device)
    told = int(one.story_lengths)
    with torch.inference_mode():
        trace = model.trace(one.story[:, :told], one.question)
    logits = trace.logits[0, : len(vocabulary)]
    asked = AskedStory(
        sentences=[sentence_text(sentence, vocabulary) for sentence in one.story[0, :told]],
        supports=one.supports[0].nonzero().flatten().tolist(),
        question=sentence_text(one.question[0], vocabulary) + "?",
        answer=vocabulary.words[int(one.answer)],
        predicted=vocabulary.words[int(logits.argmax())],
    )
    return _Seen(asked, trace, one.answer)


def _figure(one: _Seen, vocabulary: Vocabulary, title: str, beside: Sequence[_Seen] = ()) -> tuple[str, Figure] | None:
    asked, parts = one.asked, one.trace.parts
    if (attention := attention_on_sentences(parts)) is not None:
        return "attention", attention_figure(asked, as_array(attention[0]), title)
    if (gated := gates_of_slots(parts)) is not None:
        gates, look = (as_array(values[0]) for values in gated)
        return "gates", gates_figure(asked, gates, look, title, slot_names(one.trace, vocabulary))
    episode = _episode(one)
    if episode is None or not episode.has_memory:
        return None
    verdict = f"{asked.question} {asked.predicted}"
    if asked.predicted != asked.answer:
        verdict += f" (wrong, it is {asked.answer})"
    compared = [other for other in map(_episode, beside) if other is not None]
    return "memory", memory_figure(episode, f"{title}: {verdict}", compared)


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


def _episode(one: _Seen) -> Episode | None:
    """Of a model that reads word by word, and is scored at the question mark alone."""
    words = names_of(one.trace).get("time")
    if words is None:
        return None
    chances = one.trace.sequence.output[0].softmax(-1)
    mask = torch.arange(words.size(1)) == words.size(1) - 1
    targets = torch.zeros_like(chances)
    targets[-1, int(one.right)] = 1
    return Episode(
        inputs=as_array(functional.one_hot(words[0], chances.size(-1))),
        targets=as_array(targets),
        outputs=as_array(chances),
        mask=mask.numpy(),
        **episode_arrays(one.trace.parts),
    )


def sentence_text(words: Tensor, vocabulary: Vocabulary) -> str:
    """The words of one sentence, without padding."""
    return " ".join(vocabulary.words[word] for word in words.tolist() if word)
