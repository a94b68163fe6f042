"""How well a model describes scenes: word by word after right words, and by what a judge says of its own captions."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn import functional

from experiments.base.seeds import generator_for
from experiments.domains.captions.models import World
from experiments.runs.tests import TestRow
from experiments.training.looks import at_rest
from memnet import Captioner, greedy, sampled
from tasks.captions import CaptionBatch, Verdict
from tasks.captions.language import Fault
from tasks.captions.rendering import Floats

Row = dict[str, Any]
Decoding: TypeAlias = Literal["greedy", "sampled"]

DECODINGS: tuple[Decoding, ...] = get_args(Decoding)
# Scenes at a time.
_BATCH = 100
# Captions of a test that are kept: the first, and of the others the first wrong ones.
_KEPT, _KEPT_WRONG = 50, 50
FAULTS = [fault for fault in get_args(Fault) if fault != "none"]


@dataclasses.dataclass(frozen=True, eq=False)
class Described:
    """A scene, what a model says of it, and what the judge says of that.

    image: (colour, height, width), or a film (frame, colour, height, width), in 0..1.
    """

    scene: Any
    image: Floats
    caption: str
    verdict: Verdict


def seen(model: Captioner, batch: CaptionBatch) -> tuple[Tensor, Tensor | None]:
    """What a model gets of a batch: pictures or films, and of films their lengths."""
    device = model.words.device
    lengths = torch.from_numpy(batch.lengths).to(device) if model.film else None
    return torch.from_numpy(batch.images).to(device), lengths


def caption_losses(model: Captioner, batch: CaptionBatch) -> tuple[Tensor, Tensor]:
    """Of every caption, each (scene,): its cross-entropy in nats, and its words with the end.

    Every word is scored after the right ones before it.
    """
    images, lengths = seen(model, batch)
    captions = torch.from_numpy(batch.captions).to(images.device)
    logits = model(images, captions, lengths=lengths)
    right = functional.pad(captions, (0, 1))
    scored = functional.pad(captions > 0, (1, 0), value=True)
    losses = functional.cross_entropy(logits.transpose(1, 2), right, reduction="none").masked_fill(~scored, 0)
    return losses.sum(1), scored.sum(1)


def captions_of(
    model: Captioner,
    world: World,
    images: Tensor,
    lengths: Tensor | None,
    generator: torch.Generator | None = None,
    temperature: float = 1.0,
) -> list[list[str]]:
    """A caption of every picture: the likeliest word each time, or with a generator words that are drawn."""
    with torch.no_grad():
        state = model.encode(images, lengths=lengths)
        if generator is None:
            words = greedy(model.step, state, max_words=world.max_words).words[:, 0]
        else:
            words = sampled(model.step, state, max_words=world.max_words, generator=generator, temperature=temperature)
    return [world.decode(row) for row in words.tolist()]


def describe_scenes(
    model: Captioner,
    world: World,
    scenes: Sequence[Any],
    batch: CaptionBatch,
    generator: torch.Generator | None = None,
    temperature: float = 1.0,
) -> list[Described]:
    """What a model says of scenes, judged; see captions_of."""
    images, lengths = seen(model, batch)
    captions = captions_of(model, world, images, lengths, generator, temperature)
    rows = zip(scenes, batch.images, batch.lengths, captions, strict=True)
    return [
        Described(scene, image[:length] if model.film else image, " ".join(words), world.judge(words, scene))
        for scene, image, length, words in rows
    ]


def measure(model: Captioner, world: World, count: int) -> dict[str, float]:
    """Of so many validation scenes. loss: cross-entropy of a word in nats. error_percent: wrong captions, greedily."""
    loss, words, wrong = 0.0, 0, 0
    with at_rest(model):
        for size, place in _parts(count):
            scenes, batch = world.sample(size, part="valid", seed=place)
            losses, counts = caption_losses(model, batch)
            loss, words = loss + float(losses.double().sum()), words + int(counts.sum())
            wrong += sum(not one.verdict.right for one in describe_scenes(model, world, scenes, batch))
    return {"loss": loss / words, "error_percent": 100 * wrong / count}


def judge_tests(
    model: Captioner, world: World, count: int, seed: int, tell: Callable[[int], None]
) -> tuple[list[TestRow], list[Described]]:
    """Judge captions of so many test scenes: a row for those decoded greedily and one for those that are drawn.

    tell: called with the number of scenes done.
    Returns the rows by part (the decoding, and of greedy captions also those of scenes with so many things) with the
            scores error_percent, right, and how often there was each fault; and the greedy captions.
    """
    found: dict[Decoding, list[Described]] = {decoding: [] for decoding in DECODINGS}
    generator = generator_for("test", seed)
    for size, place in _parts(count):
        scenes, batch = world.sample(size, part="test", seed=(seed, place))
        for decoding in DECODINGS:
            chance = generator if decoding == "sampled" else None
            found[decoding] += describe_scenes(model, world, scenes, batch, chance)
        tell(len(found["greedy"]))
    parts: dict[str, list[Described]] = {str(decoding): described for decoding, described in found.items()}
    things = [len(world.describe(one.scene)) for one in found["greedy"]]
    for number in sorted(set(things)) if len(set(things)) > 1 else []:
        name = f"greedy-{number}-thing{'s' * (number > 1)}"
        parts[name] = [one for one, own in zip(found["greedy"], things, strict=True) if own == number]
    return [_row(world.name, name, seed, described) for name, described in parts.items()], found["greedy"]


def _row(on: str, name: str, seed: int, described: Sequence[Described]) -> TestRow:
    faults = [one.verdict.fault for one in described]
    right, count = faults.count("none"), len(faults)
    return {
        "on": on,
        "at": {"seed": seed, "part": name},
        "as_trained": seed == 0,
        "count": count,
        "scores": {
            "error_percent": 100 * (1 - right / count),
            "right": right,
            **{fault: faults.count(fault) for fault in FAULTS},
        },
        "baselines": {},
        "each": {},
    }


def answer_rows(world: World, described: Sequence[Described]) -> list[Row]:
    """One row a caption, the first _KEPT and of the others the first _KEPT_WRONG wrong ones: what is in the scene,
    caption, right, fault and reason."""
    wrong = [one for one in described[_KEPT:] if not one.verdict.right]
    return [
        {
            "scene": "; ".join(" ".join(map(str, thing)) for thing in world.describe(one.scene)),
            "caption": one.caption,
            "right": one.verdict.right,
            "fault": one.verdict.fault,
            "reason": one.verdict.reason,
        }
        for one in [*described[:_KEPT], *wrong[:_KEPT_WRONG]]
    ]


def _parts(count: int) -> list[tuple[int, int]]:
    """So many scenes, some at a time: how many, and the number of the part."""
    return [(min(_BATCH, count - first), place) for place, first in enumerate(range(0, count, _BATCH))]
