"""Random graphs, told edge by edge, and questions about them (Graves et al. 2016, Nature 538:471)."""

import copy
import textwrap
from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .common import (
    Batch,
    check_count,
    check_logits,
    check_range,
    draw_below,
    draw_distinct,
    draw_range,
    place,
    steps_of,
)
from .drawing import fold
from .networks import Edges
from .symbols import SymbolTask

PARTS = ("source", "edge", "target")
MISSING = -1


class Graphs(NamedTuple):
    """Directed graphs whose nodes and edges have labels; no two edges of a node have the same.

    nodes:   (batch, node), labels.
    degrees: (batch, node), how many edges leave a node; 0 of nodes that there are not.
    edges:   (batch, node, edge), labels; those from a node's degree on there are not.
    targets: (batch, node, edge), the node where each ends, by its number.
    """

    nodes: Tensor
    degrees: Tensor
    edges: Tensor
    targets: Tensor

    def edges_at(self, node: Tensor, edge: Tensor) -> tuple[Tensor, Tensor]:
        """Of an edge of a node in each graph, both (batch,): its triple of labels (batch, 3), and where it ends."""
        row = torch.arange(len(node), device=node.device)
        end = self.targets[row, node, edge]
        return torch.stack([self.nodes[row, node], self.edges[row, node, edge], self.nodes[row, end]], -1), end

    def walk(self, steps: int, generator: torch.Generator) -> Tensor:
        """A random walk in each graph, from any node: the triples of its edges, (batch, step, 3)."""
        node, path = draw_below((self.degrees > 0).sum(1), generator), []
        for _ in range(steps):
            degree = self.degrees.gather(1, node.unsqueeze(1)).squeeze(1)
            triple, node = self.edges_at(node, draw_below(degree, generator))
            path.append(triple)
        return torch.stack(path, 1)


def draw_graphs(
    batch_size: int,
    nodes: tuple[int, int],
    degrees: tuple[int, int],
    labels: int,
    kinds: int,
    generator: torch.Generator,
) -> Graphs:
    """Points in the unit square, from each an edge to so many of those that are nearest.

    nodes, degrees: the fewest and the most nodes of a graph, and edges from a node; all are as likely.
    labels, kinds:  how many labels there are for nodes, and for edges.
    """
    most, out, device = nodes[1], degrees[1], generator.device
    count = draw_range("nodes", nodes, batch_size, generator).unsqueeze(1)
    real = torch.arange(most, device=device) < count
    points = torch.rand(batch_size, most, 2, generator=generator, device=device)
    other = real.unsqueeze(1) & ~torch.eye(most, dtype=torch.bool, device=device)
    nearest = torch.cdist(points, points).masked_fill(~other, torch.inf).argsort(-1)
    drawn = torch.randint(degrees[0], out + 1, (batch_size, most), generator=generator, device=device)
    edges = draw_distinct(batch_size * most, out, kinds, generator).view(batch_size, most, out)
    return Graphs(draw_distinct(batch_size, most, labels, generator), drawn * real, edges, nearest[..., :out])


def named_graphs(batch_size: int, edges: Edges, labels: int, generator: torch.Generator) -> Graphs:
    """The same graph in every row, its nodes with labels drawn anew, its edges with the numbers that they have."""
    nodes = 1 + max(max(source, target) for source, _, target in edges)
    leaving = [[edge[1:] for edge in edges if edge[0] == node] for node in range(nodes)]
    degrees, device = torch.tensor([len(some) for some in leaving]), generator.device
    out = int(degrees.max())
    padded = torch.tensor([some + [(0, 0)] * (out - len(some)) for some in leaving])
    every = [one.to(device).repeat(batch_size, *[1] * one.dim()) for one in (degrees, *padded.unbind(-1))]
    return Graphs(draw_distinct(batch_size, nodes, labels, generator), *every)


class GraphTask(SymbolTask):
    """A graph is told edge by edge, then something is asked of it; the answer is a path, edge by edge.

        step         0 ... E-1        E    then           then           at last
        triple       all E edges      0    the question   0              0
        question     0                1    0              0              0
        answer       0                0    0              0              1
        target       -                -    -              -              the path, a triple a step

    A triple is source, edge and target by their labels, each of d digits; a digit is one of ten channels, and parts
    that are not told are 0. Input channels: those of a triple, and two that are 1 at the step before the question and
    while the answer is due (30 d + 2). Output channels: those of a triple, so that an answer has 3 d symbols, of which
    a wrong one makes it wrong.

    nodes:   the fewest and the most nodes of a graph. degrees: of edges that leave a node.
    digits:  of a label. The paper has three, and graphs of up to 40 nodes.
    lessons: training has smaller graphs of fewer edges where answers are shorter, so that a curriculum that grows by
             the length is one of sizes, too. Tests have all sizes.
    """

    networks: ClassVar[Mapping[str, Callable[[int], Edges]]]  # other graphs than random ones, of so many nodes at most

    def __init__(
        self,
        nodes: tuple[int, int] = (5, 12),
        degrees: tuple[int, int] = (1, 3),
        digits: int = 2,
        lessons: bool = False,
    ) -> None:
        """ValueError for numbers that cannot be: more nodes than labels, or more edges than other nodes."""
        self.nodes, self.degrees = check_range("nodes", nodes, 2), check_range("degrees", degrees)
        self.digits, self.labels, self.lessons = check_count("digits", digits), 10**digits, lessons
        if self.nodes[1] > self.labels:
            raise ValueError(f"nodes may be at most {self.labels}, the labels of {digits} digits, got {self.nodes[1]}")
        if self.degrees[1] >= self.nodes[0]:
            raise ValueError(f"degrees must be below the fewest nodes, {self.nodes[0]}, got {self.degrees[1]}")
        triple = [f"{part} digit {k + 1} is {one}" for part in PARTS for k in range(digits) for one in range(10)]
        self.groups = len(PARTS) * digits
        self.input_channels, self.output_channels = (*triple, "question", "answer"), tuple(triple)

    def training_batch(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """As `sample`, with lessons of the length's share of nodes and edges."""
        if not self.lessons:
            return self.sample(batch_size, length=length, generator=generator)
        lesson, share = copy.copy(self), min(1.0, check_range("length", length)[1] / self.lengths_to_train[1])
        lesson.nodes, lesson.degrees = (
            (low, low + round(share * (high - low))) for low, high in (self.nodes, self.degrees)
        )
        return lesson.sample(batch_size, length=length, generator=generator)

    def drawn(self, batch_size: int, graphs: str | None, generator: torch.Generator) -> Graphs:
        """Random graphs of the task's sizes, or one of its networks with labels drawn anew, of edges, too.

        ValueError for a network that there is not.
        """
        if graphs is None:
            return draw_graphs(batch_size, self.nodes, self.degrees, self.labels, self.labels, generator)
        edges = self.network(graphs)
        found = named_graphs(batch_size, edges, self.labels, generator)
        names = draw_distinct(batch_size, 1 + max(label for _, label, _ in edges), self.labels, generator)
        return found._replace(edges=names.gather(1, found.edges.flatten(1)).view_as(found.edges))

    def network(self, graphs: str) -> Edges:
        """One of the task's networks, of as many nodes as its largest graphs; ValueError for others."""
        if graphs not in self.networks:
            raise ValueError(f"graphs must be one of {', '.join(self.networks)}, got {graphs!r}")
        return self.networks[graphs](self.nodes[1])

    def told(self, triples: Tensor) -> Tensor:
        """Labels (..., 3), some of them missing, as channels (..., output_size)."""
        powers = 10 ** torch.arange(self.digits - 1, -1, -1, device=triples.device)
        digits = triples.unsqueeze(-1) // powers % 10
        there = (triples != MISSING)[..., None, None]
        return torch.where(there, F.one_hot(digits, 10), 0).flatten(-3).float()

    def labels_of(self, channels: Tensor) -> Tensor:
        """The likeliest labels (..., 3) by channels (..., output_size); missing where no channel is on."""
        digits: Tensor = channels.unflatten(-1, (len(PARTS), self.digits, 10))
        powers = 10 ** torch.arange(self.digits - 1, -1, -1, device=channels.device)
        there = (digits != 0).any(-1).any(-1)
        return (digits.argmax(-1) * powers).sum(-1).masked_fill(~there, MISSING)

    def laid_out(
        self, graphs: Graphs, question: Tensor, asked: Tensor, path: Tensor, lengths: Tensor, generator: torch.Generator
    ) -> Batch:
        """Sequences: all edges in random order, a question, and the path.

        question, path: (batch, step, 3), labels. asked, lengths: (batch,), how many steps of either there are.
        """
        rows, most, out = graphs.edges.shape
        numbers = torch.arange(most * out, device=question.device)
        sources, ends = graphs.nodes.unsqueeze(-1).expand(-1, -1, out), graphs.targets
        there = graphs.nodes.gather(1, ends.flatten(1)).view_as(ends)
        edges = torch.stack([sources, graphs.edges, there], -1).flatten(1, 2)
        real = numbers % out < graphs.degrees.repeat_interleave(out, 1)
        drawn = torch.rand(rows, most * out, generator=generator, device=question.device)
        order, count = drawn.masked_fill(~real, 2.0).argsort(1), real.sum(1, keepdim=True)
        asked, lengths = asked.unsqueeze(1), lengths.unsqueeze(1)
        begin, total = count + 1 + asked, count + 1 + asked + lengths
        step = torch.arange(int(total.max()), device=question.device)
        answer = (step >= begin) & (step < total)
        given = place(self.told(edges.gather(1, order.unsqueeze(-1).expand(-1, -1, 3))), step, step < count)
        given = given + place(self.told(question), step - count - 1, (step > count) & (step < begin))
        flags = torch.stack([step == count, answer], -1).float()
        target = place(self.told(path), step - begin, answer)
        return Batch(torch.cat([given, flags], -1), target, answer, total.squeeze(1))

    def spell(self, answers: Tensor) -> str:
        """The likeliest labels of each step, as in 12-07-55."""
        return ", ".join(self._spelled(self.labels_of(answers)))

    def _spelled(self, triples: Tensor) -> list[str]:
        return [
            "-".join("?" if label == MISSING else f"{label:0{self.digits}d}" for label in triple)
            for triple in triples.tolist()
        ]

    def render(self, batch: Batch, index: int = 0, logits: Tensor | None = None, width: int = 80) -> str:
        """One example as text: edges, question and path, each edge as source-edge-target; ? for what is not told.

        ValueError for an index outside the batch, logits of the wrong shape or a width below 40.
        """
        steps = steps_of(batch, index)
        fold([("step", "")], width)
        given, mask = batch.input[index, :steps], batch.mask[index, :steps]
        begin = int(given[:, -2].argmax())
        triples = self._spelled(self.labels_of(given[:, :-2]))
        asked = [one for one in triples[begin + 1 :] if one != "?-?-?"]
        lines = [f"{self.name}: {steps} steps, {int(mask.sum())} scored"]
        told = {"graph": triples[:begin], "question": asked}
        told["path"] = self._spelled(self.labels_of(batch.target[index, :steps][mask]))
        if logits is not None:
            check_logits(logits, batch)
            lines[0] += f", {int(self.wrong(logits, batch)[index].any(-1).sum())} predicted wrong"
            told["predicted"] = self._spelled(self.labels_of(self.predict(logits)[index, :steps][mask]))
        for name, edges in told.items():
            indent = " " * 11
            lines.append(
                textwrap.fill(f"{name:11}" + " ".join(edges), width, subsequent_indent=indent, break_on_hyphens=False)
            )
        return "\n".join(lines)
