"""One look at a model in training: on always the same sequence or questions, so that looks compare.

A look costs no random number and changes nothing: a training that is looked at is bit for bit one that is not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from experiments.domains.stories.data import Questions
from experiments.domains.stories.pictures import sentence_text
from experiments.figures.snapshot import Panel, Shades
from experiments.figures.style import Array
from memnet import (
    NTM,
    EntNetTrace,
    KeyValueTrace,
    MemN2N,
    MemN2NTrace,
    NTMTrace,
    SequenceModule,
    slots_used,
    weighting_entropy,
)
from memnet.story import StoryModel
from tasks import Batch, Task
from tasks.babi import Vocabulary

# Heights of maps in pixels: of weightings by how many heads there are, of weightings of still more, of all others.
_TALL = {1: 192, 2: 128}
_LOW, _FLAT = 80, 100
# Of longer stories the last sentences are drawn.
MOST_SENTENCES = 20


class Look(NamedTuple):
    """What one look sees.

    numbers: for a row of metrics, by name: entropies in bits, memory/slots_used in slots, gates from 0 to 1.
    panels:  rows of a picture; none where the model has nothing to see.
    """

    numbers: dict[str, float]
    panels: list[list[Panel]]


@contextmanager
def at_rest(model: Any) -> Iterator[None]:
    """Without gradients, and as in testing; afterwards the model is in its mode again.

    "compile" gives way to "eager", in a model that has backends: a look is not worth another graph.
    """
    training, backend = model.training, getattr(model, "backend", None)
    model.eval()
    if backend == "compile":
        model.backend = "eager"
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
        if backend == "compile":
            model.backend = backend


def look_at_sequence(model: SequenceModule, task: Task, batch: Batch) -> Look:
    """What a sequence model does with a batch of one sequence; weightings and memory where it is an NTM."""
    batch = batch.to(model.readout.weight.device)
    with at_rest(model):
        trace = model.trace(batch.input) if isinstance(model, NTM) else None
        output = model(batch.input)[0] if trace is None else trace.output
    inputs = Panel("inputs", _of(batch.input), *_span(batch.input), "greys", _FLAT)
    high = max(float(batch.target.max()), 1.0)
    targets = Panel("targets, where scored", _scored(batch.target, batch), 0, high, "greys", _FLAT)
    outputs = Panel("outputs, where scored", _scored(task.predict(output), batch), 0, high, "greys", _FLAT)
    if trace is None:
        return Look({}, [[inputs, targets], [outputs]])
    memory, *weightings = head_panels(trace)
    return Look(head_numbers(trace), [[inputs, targets], [*memory, outputs], *weightings])


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
        return Look({}, [])
    panels = []
    for row in questions.lengths.nonzero().flatten().tolist()[:drawn]:
        told = int(questions.lengths[row])
        first = max(told - MOST_SENTENCES, 0)
        names = [f"{k + 1} {sentence_text(questions.story[row, k], vocabulary)}" for k in range(first, told)]
        title = f"{_verdict(questions, row, trace.logits[row], vocabulary)} ({what})"
        panels.append([Panel(title, seen[row, first:told].cpu().numpy(), names=names, shades=shades)])
    return Look(numbers, panels)


def head_numbers(trace: NTMTrace, lengths: Tensor | None = None) -> dict[str, float]:
    """Of every head the entropy of its weightings, over the real steps of all sequences; slots used by writing.

    lengths: (batch,) real steps; None where all are.
    """
    steps = trace.write_weights.size(1)
    ends = [steps] * len(trace.write_weights) if lengths is None else lengths.tolist()
    numbers = {}
    for kind, weights in (("read", trace.read_weights), ("write", trace.write_weights)):
        real = torch.cat([row[:end] for row, end in zip(weights, ends, strict=True)])
        for head, entropy in enumerate(weighting_entropy(real).mean(0).tolist(), start=1):
            numbers[f"entropy/{kind}-head-{head}"] = entropy
    used = [slots_used(row[:end]) for row, end in zip(trace.write_weights, ends, strict=True)]
    return numbers | {"memory/slots_used": float(torch.stack(used).mean())}


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


def head_panels(trace: NTMTrace, steps: int | None = None) -> list[list[Panel]]:
    """The memory after the last step of the first sequence (width, slot), then all heads' weightings (slot, time)."""
    rows: list[list[Panel]] = []
    kinds = {"write": trace.write_weights[0, :steps], "read": trace.read_weights[0, :steps]}
    most = max(weights.size(1) for weights in kinds.values())
    for head in range(most):
        rows.append([])
        for kind, weights in kinds.items():
            if head < weights.size(1):
                title = f"{kind} weighting{f' of head {head + 1}' if most > 1 else ''}, slots over time"
                rows[-1].append(Panel(title, weights[:, head].T.cpu().numpy(), height=_TALL.get(most, _LOW)))
    memory = trace.state.memory[0].T
    # What is added is between -1 and 1; one scale for all looks of a training.
    title = f"memory at the end, from -1 (blue) to 1 (red), at most {float(memory.abs().nan_to_num(0).max()):.2g}"
    return [[Panel(title, memory.cpu().numpy(), -1.0, 1.0, "red-blue", _FLAT)], *rows]


def _verdict(questions: Questions, row: int, logits: Tensor, vocabulary: Vocabulary) -> str:
    """A question, the answer that was given, and whether it is right."""
    given = vocabulary.words[int(logits[: len(vocabulary)].argmax())]
    right = vocabulary.words[int(questions.answer[row])]
    verdict = "right" if given == right else f"wrong, it is {right}"
    return f"{sentence_text(questions.question[row], vocabulary)}? {given}: {verdict}"


def _of(values: Tensor) -> Array:
    return values[0].T.cpu().numpy()


def _scored(values: Tensor, batch: Batch) -> Array:
    """(channel, time), white where no prediction is scored."""
    return _of(values * batch.mask.unsqueeze(-1))


def _span(values: Tensor) -> tuple[float, float]:
    return min(float(values.min()), 0.0), max(float(values.max()), 1.0)
