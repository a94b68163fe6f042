"""One-shot classification of characters that nobody has seen (Santoro et al. 2016), which are drawn by strokes."""

import math
import textwrap
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from .common import Batch, Score, check_count, check_logits, draw_distinct, draw_range, steps_of
from .drawing import characters, fold
from .symbols import ERROR, NATS, SymbolTask

SIZE = 20  # pixels a side
DRAWINGS = 20  # of a character
STROKES, CONTROLS, DOTS = 4, 4, 16  # at most of a character; points that a stroke bends to; points that it is drawn by
BY_INSTANCE = {
    count: Score(
        f"share_instance_{count}", nth, f"Right at the {nth} drawing, %", f"right at the {nth}", ".1%", best="high"
    )
    for count, nth in ((1, "1st"), (2, "2nd"), (3, "3rd"), (5, "5th"), (10, "10th"))
}


class Glyphs(SymbolTask):
    """Which of five labels has a character seen once before? (after Santoro et al. 2016, arXiv 1605.06065)

    An episode has so many characters, which get labels at random, and `length` drawings of each, in any order. At
    each step there is a drawing, and beside it the label of the one before; its own label is to be told. So labels
    must be bound to what was seen in this episode. Characters of tests are others than those of the training, and
    those of a validation others again. A character turned by 90, 180 or 270 degrees is another one.

    The characters are generated: two to four strokes, cubic Bezier curves between points near those of a lattice,
    half of them from where another ends. In each of its 20 drawings the points lie a little elsewhere, and the
    whole is turned, stretched and slanted. Numbers of characters and drawings are those of the paper, which has
    Omniglot's: scores are not comparable with those. By pixels alone the most similar of all earlier drawings has
    the same label at 96 % of the second drawings, and at 99 % of the third.

    Input channels: 20 x 20 pixels, then the label before. Output channels: the labels. An episode has ways x length
    steps, all scored. Scores tell how many are right at the first, second, ... drawing of a character in an
    episode; at the first one nobody can know, but that labels which are taken are not it: errors are those at all
    others, and an episode is exact without one.

    ways:       characters of an episode, and labels.
    characters: of the training. test_characters: of tests, and of a validation.
    """

    name = "glyphs"
    length_unit = "instances"
    length_range = (10, 10)
    test_lengths = (10,)
    longest = DRAWINGS
    scores = (BY_INSTANCE[2], *(score for count, score in BY_INSTANCE.items() if count != 2), ERROR, NATS)
    panels = (BY_INSTANCE[2], BY_INSTANCE[5], BY_INSTANCE[10])

    def __init__(self, ways: int = 5, characters: int = 1200, test_characters: int = 423) -> None:
        """ValueError for fewer than two ways, and for fewer characters than ways."""
        self.ways = check_count("ways", ways, 2)
        self.characters = check_count("characters", characters, ways)
        self.test_characters = check_count("test_characters", test_characters, ways)
        pixels = [f"pixel {row},{column}" for row in range(SIZE) for column in range(SIZE)]
        self.output_channels = tuple(map(str, range(ways)))
        self.input_channels = (*pixels, *(f"it was {label}" for label in self.output_channels))

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """As `Task.sample`, with the characters of tests; a length is from 2 to 20, the drawings of a character."""
        return self._episodes(_drawn(self.test_characters, 1), batch_size, length, generator)

    def training_batch(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """As `sample`, with the characters of the training."""
        return self._episodes(_drawn(self.characters, 0), batch_size, length, generator)

    def validation_batch(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """As `sample`, with as many characters of a validation."""
        return self._episodes(_drawn(self.test_characters, 2), batch_size, length, generator)

    def _episodes(
        self, drawings: Tensor, batch_size: int, length: int | tuple[int, int], generator: torch.Generator
    ) -> Batch:
        counts = draw_range("length", length, batch_size, generator, minimum=2).unsqueeze(1)
        most, device = self.longest_of(counts, "the drawings of a character"), generator.device
        chosen = draw_distinct(batch_size, self.ways, 4 * len(drawings), generator)
        which = draw_distinct(batch_size * self.ways, most, DRAWINGS, generator).view(batch_size, self.ways, most)
        shown = drawings.to(device)[(chosen // 4).unsqueeze(-1), which]
        turned = torch.stack([shown.rot90(turns, (-2, -1)) for turns in range(4)])
        rows, labels = (torch.arange(count, device=device) for count in (batch_size, self.ways))
        shown = turned[chosen % 4, rows.unsqueeze(1), labels].flatten(1, 2).flatten(2)
        drawing = torch.arange(self.ways * most, device=device).expand(batch_size, -1)
        drawn = torch.rand(drawing.shape, generator=generator, device=device)
        order = drawn.masked_fill(drawing % most >= counts, 2.0).argsort(1)
        steps = int((self.ways * counts).max())
        order, mask = order[:, :steps], drawing[:, :steps] < self.ways * counts
        target = F.one_hot(order // most, self.ways) * mask.unsqueeze(-1).float()
        pictures = shown.gather(1, order.unsqueeze(-1).expand(-1, -1, SIZE**2)) * mask.unsqueeze(-1)
        before = F.pad(target, (0, 0, 1, 0))[:, :-1] * mask.unsqueeze(-1)
        return Batch(torch.cat([pictures, before], -1), target, mask, self.ways * counts.squeeze(1))

    def questions(self, batch: Batch) -> Tensor:
        """(batch, time) bool: the steps with a character that was there before."""
        return _instances(batch) > 1

    def metrics(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """As `SymbolTask.metrics`, but that exact needs no right answer to a first drawing; and right_K and shown_K.

        right_K, shown_K: how many characters were drawn a K-th time, int64, and how many labels were right there.
        """
        found = super().metrics(logits, batch)
        wrong, instances = self.wrong(logits.detach(), batch).any(-1), _instances(batch)
        found["exact"] = found["wrong"] == 0
        for count in BY_INSTANCE:
            here = instances == count
            found |= {f"shown_{count}": here.sum(1), f"right_{count}": (here & ~wrong).sum(1)}
        return found

    def summarize(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        """As `SymbolTask.summarize`, and share_instance_K for every K that occurs."""
        shares = {
            score.name: float(metrics[f"right_{count}"].sum() / shown)
            for count, score in BY_INSTANCE.items()
            if (shown := metrics[f"shown_{count}"].sum())
        }
        return super().summarize(metrics) | shares

    def render(self, batch: Batch, index: int = 0, logits: Tensor | None = None, width: int = 80) -> str:
        """Draw one episode, its drawings in rows with their labels below, and with logits what they predict.

        ValueError for an index outside the batch, logits of the wrong shape or a width below 40.
        """
        steps = steps_of(batch, index)
        fold([("step", "")], width)
        pictures = F.max_pool2d(batch.input[index, :steps, : SIZE**2].view(steps, 1, SIZE, SIZE), 2).squeeze(1)
        told = [f"{label}" for label in batch.target[index, :steps].argmax(-1).tolist()]
        title = f"{self.name}: {steps} steps, {steps} scored"
        if logits is not None:
            check_logits(logits, batch)
            title += f", {int(self.wrong(logits, batch)[index].sum())} predicted wrong"
            guesses = logits[index, :steps].argmax(-1).tolist()
            told = [f"{right}, told {guess}" for right, guess in zip(told, guesses, strict=True)]
        side = max(SIZE // 2, *map(len, told))
        shades = [[characters(row, " .:*#") for row in picture] for picture in (4 * pictures).ceil()]
        lines = [*textwrap.wrap(title, width)]
        for first in range(0, steps, across := width // (side + 2)):
            row = slice(first, first + across)
            lines += [""] + [
                "  ".join(f"{part:{side}}" for part in parts).rstrip() for parts in zip(*shades[row], strict=True)
            ]
            lines.append("  ".join(f"{one:{side}}" for one in told[row]).rstrip())
        return "\n".join(lines)


def _instances(batch: Batch) -> Tensor:
    """Of each step how many of its character's drawings there are up to it, itself included: (batch, time)."""
    return (batch.target.cumsum(1) * batch.target).sum(-1).long()


@cache
def _drawn(count: int, stream: int) -> Tensor:
    """All drawings of so many characters, always the same: (character, drawing, row, column) in [0, 1].

    stream: other characters for another.
    """
    generator = torch.Generator().manual_seed(stream)
    controls = torch.randint(5, (count, STROKES, CONTROLS, 2), generator=generator) / 4.0
    controls = controls + 0.05 * torch.randn(controls.shape, generator=generator)
    for stroke in range(1, STROKES):
        joined = torch.rand(count, generator=generator) < 0.5
        other = torch.randint(stroke, (count,), generator=generator)
        controls[joined, stroke, 0] = controls[joined, other[joined], -1]
    strokes = torch.randint(2, STROKES + 1, (count, 1), generator=generator)
    there = torch.arange(STROKES) < strokes
    parts = [_rendered(some, real, generator) for some, real in zip(controls.split(100), there.split(100), strict=True)]
    return torch.cat(parts)


def _rendered(controls: Tensor, there: Tensor, generator: torch.Generator) -> Tensor:
    """Drawings of characters by their strokes' points (character, stroke, point, 2), of those that there are."""
    points = controls.unsqueeze(1).expand(-1, DRAWINGS, -1, -1, -1)
    points = points + 0.05 * torch.randn(points.shape, generator=generator)
    angle, along, across, slant = (
        (2 * torch.rand(len(controls), DRAWINGS, generator=generator) - 1) * most
        for most in (math.radians(10), 0.1, 0.1, 0.1)
    )
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).unflatten(-1, (2, 2))
    bend = torch.stack([1 + along, slant, torch.zeros_like(slant), 1 + across], -1).unflatten(-1, (2, 2))
    points = torch.einsum("cdij,cdspj->cdspi", turn @ bend, points - 0.5)
    way = torch.linspace(0, 1, DOTS)
    shares = torch.stack([math.comb(3, k) * way**k * (1 - way) ** (3 - k) for k in range(CONTROLS)])
    dots = torch.einsum("pt,cdspi->cdsti", shares, points) * 0.75 * SIZE + (SIZE - 1) / 2
    dots = dots.masked_fill(~there[:, None, :, None, None], -torch.inf).flatten(2, 3)
    row, column = (dots.unsqueeze(-1) - torch.arange(SIZE)).square().unbind(-2)
    nearest = (row.unsqueeze(-1) + column.unsqueeze(-2)).amin(2).sqrt()
    return (1.25 - nearest).clamp(0, 1)
