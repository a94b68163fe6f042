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
from memnet import EntNet, EntNetTrace, KeyValueTrace, MemN2NTrace, NTMTrace, StoryModel
from tasks.babi import StoryBatch, Vocabulary

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_story_run(
    folder: Path, model: StoryModel, vocabulary: Vocabulary, batch: StoryBatch, title: str
) -> list[Path]:
    """Draw a figure for every question of the batch into the folder, and return the files.

    Attention of a MemN2N and a key-value memory, gates of an EntNet, memory of an NTM; a model that has nothing of
    the kind gives no figure. Files are called attention-1.png, gates-1.png or memory-1.png and so on; the folder is
    made if it is not there.
    """
    files = []
    seen = [_see(model, vocabulary, batch.rows(torch.tensor([row]))) for row in range(len(batch.story))]
    for number, one in enumerate(seen, start=1):
        drawn = _figure(one, model, vocabulary, title, seen)
        if drawn is not None:
            name, figure = drawn
            folder.mkdir(parents=True, exist_ok=True)
            files.append(folder / figure_name(f"{name}-{number}"))
            save_figure(figure, files[-1])
    return files


def story_figure(model: StoryModel, vocabulary: Vocabulary, one: StoryBatch, title: str) -> tuple[str, Figure] | None:
    """What was looked at for a batch of one question: the kind of figure and the figure, if there is one."""
    return _figure(_see(model, vocabulary, one), model, vocabulary, title)


class _Seen(NamedTuple):
    """What a model did with one question. right: the number of its answer."""

    asked: AskedStory
    trace: Any
    right: Tensor

    @property
    def episode(self) -> Episode:
        """Of an NTM."""
        return _episode(self.trace.words[0], self.trace.sequence, self.right)


def _see(model: StoryModel, vocabulary: Vocabulary, one: StoryBatch) -> _Seen:
    one = one.to(next(model.parameters()).device)
    told = int(one.story_lengths)
    watch: Any = model.trace
    with torch.inference_mode():
        trace = watch(one.story[:, :told], one.question)
    logits = trace.logits[0, : len(vocabulary)]
    asked = AskedStory(
        sentences=[sentence_text(sentence, vocabulary) for sentence in one.story[0, :told]],
        supports=one.supports[0].nonzero().flatten().tolist(),
        question=sentence_text(one.question[0], vocabulary) + "?",
        answer=vocabulary.words[int(one.answer)],
        predicted=vocabulary.words[int(logits.argmax())],
    )
    return _Seen(asked, trace, one.answer)


def _figure(
    one: _Seen, model: StoryModel, vocabulary: Vocabulary, title: str, beside: Sequence[_Seen] = ()
) -> tuple[str, Figure] | None:
    asked, trace, _ = one
    if isinstance(trace, MemN2NTrace | KeyValueTrace):
        return "attention", attention_figure(asked, trace.attention[0].cpu().numpy(), title)
    if isinstance(trace, EntNetTrace):
        gates, attention = (values[0].cpu().numpy() for values in (trace.gates, trace.attention))
        return "gates", gates_figure(asked, gates, attention, title, slot_names(model, vocabulary))
    if isinstance(trace.sequence, NTMTrace):
        verdict = f"{asked.question} {asked.predicted}"
        if asked.predicted != asked.answer:
            verdict += f" (wrong, it is {asked.answer})"
        compared = [other.episode for other in beside]
        return "memory", memory_figure(one.episode, f"{title}: {verdict}", compared)
    return None


def slot_names(model: StoryModel, vocabulary: Vocabulary) -> list[str] | None:
    """The words to which an EntNet's keys are tied, slot by slot; None where there are none."""
    if not isinstance(model, EntNet) or model.word_rows is None:
        return None
    # The last rows of the table are those of tied words, slot by slot.
    return [vocabulary.words[word] for word in model.word_rows.argsort()[-model.cell.output_size :].tolist()]


def _episode(words: Tensor, trace: NTMTrace, answer: Tensor) -> Episode:
    """An NTM that reads word by word, and is scored at the question mark alone."""
    chances = trace.output[0].softmax(-1)
    mask = torch.arange(len(words)) == len(words) - 1
    targets = torch.zeros_like(chances)
    targets[-1, int(answer)] = 1
    return Episode(
        inputs=functional.one_hot(words, chances.size(-1)).cpu().numpy(),
        targets=targets.cpu().numpy(),
        outputs=chances.cpu().numpy(),
        mask=mask.numpy(),
        add=trace.heads.add[0].cpu().numpy(),
        reads=trace.reads[0].cpu().numpy(),
        write_weights=trace.write_weights[0].cpu().numpy(),
        read_weights=trace.read_weights[0].cpu().numpy(),
    )


def sentence_text(words: Tensor, vocabulary: Vocabulary) -> str:
    """The words of one sentence, without padding."""
    return " ".join(vocabulary.words[word] for word in words.tolist() if word)
