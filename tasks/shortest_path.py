"""The shortest path between two nodes of a random graph (Graves et al. 2016, Nature 538:471, graph experiments)."""

from typing import ClassVar

import torch
from torch import Tensor

from .common import Batch, check_count, draw_range
from .graphs import MISSING, Graphs, GraphTask
from .networks import transport_map

TRIES = 1000  # draws of a graph in which there must be such a path


class ShortestPath(GraphTask):
    """Told a graph and two of its nodes, say the shortest path between them (Graves et al. 2016, Nature 538:471).

    The question is one step, source and target without an edge; the answer is the path, an edge a step. As in the paper
    there are blank steps before the answer, to plan; other than there the shortest path is the only one of its length,
    so that there is one answer, and nothing that was answered is fed back. A sequence with a path of n edges has
    E + 2 + planning + n steps, of which the last n are scored. Graphs, and how they are told, are those of `GraphTask`;
    pairs of nodes that fit are as likely, and a graph without any is drawn again.

    nodes, degrees, digits, lessons: see GraphTask.
    planning: blank steps; the paper has ten.
    """

    name = "shortest-path"
    length_unit = "edges"
    length_range = (1, 4)
    test_lengths = (4, 5)
    networks: ClassVar = {"map": transport_map}
    variants: ClassVar = {"map": {"graphs": "map"}}

    def __init__(
        self,
        nodes: tuple[int, int] = (5, 12),
        degrees: tuple[int, int] = (1, 3),
        digits: int = 2,
        lessons: bool = False,
        planning: int = 10,
    ) -> None:
        """ValueError for numbers that cannot be: more nodes than labels, or more edges than other nodes."""
        super().__init__(nodes, degrees, digits, lessons)
        self.planning = check_count("planning", planning, 0)
        # Longer ones are so rare that too many graphs would be drawn.
        self.longest = max(1, self.nodes[1] // 2)

    def sample(
        self,
        batch_size: int,
        *,
        length: int | tuple[int, int],
        generator: torch.Generator,
        graphs: str | None = None,
    ) -> Batch:
        """As `Task.sample`; a length is at most half of the most nodes. ValueError where no graph has such a path.

        graphs: "map" for a map of lines and stations, None for random graphs.
        """
        counts = draw_range("length", length, batch_size, generator)
        self.longest_of(counts, f"half of {self.nodes[1]} nodes")
        drawn, ends, lengths = self._graphs_with_paths(counts, graphs, generator)
        path = _path(drawn, ends, lengths, counts)
        question = torch.stack([drawn.nodes.gather(1, ends[:, :1]), torch.full_like(ends[:, :1], MISSING)], -1)
        question = torch.cat([question, drawn.nodes.gather(1, ends[:, 1:]).unsqueeze(-1)], -1)
        blank = torch.full_like(question, MISSING).expand(-1, self.planning, -1)
        asked = torch.full_like(counts, 1 + self.planning)
        return self.laid_out(drawn, torch.cat([question, blank], 1), asked, path, counts, generator)

    def _graphs_with_paths(
        self, counts: Tensor, name: str | None, generator: torch.Generator
    ) -> tuple[Graphs, Tensor, Tensor]:
        """Graphs with a single shortest path of so many edges, its ends (batch, 2), and all lengths, see `_lengths`."""
        graphs, ends, lengths = self._drawn(counts, name, generator)
        tries = 1
        while (lack := (ends < 0).any(1)).any():
            if tries == TRIES or name is not None:  # which is always the same
                told = f"{TRIES} draws" if name is None else f"the {name}"
                raise ValueError(f"no single shortest path of {int(counts[lack][0])} edges in {told}")
            more, more_ends, more_lengths = self._drawn(counts[lack], name, generator)
            for old, new in zip((*graphs, ends, lengths), (*more, more_ends, more_lengths), strict=True):
                old[lack] = new
            tries += 1
        return graphs, ends, lengths

    def _drawn(self, counts: Tensor, name: str | None, generator: torch.Generator) -> tuple[Graphs, Tensor, Tensor]:
        """Graphs, the ends of a path that fits in each, -1 where there is none, and all lengths."""
        graphs = self.drawn(len(counts), name, generator)
        lengths, single = _lengths(graphs, int(counts.max()))
        fits = (single & (lengths == counts.view(-1, 1, 1))).flatten(1)
        drawn = torch.rand(fits.shape, generator=generator, device=fits.device)
        pair = drawn.masked_fill(~fits, -1.0).argmax(1, keepdim=True)
        nodes = lengths.size(-1)
        ends = torch.cat([pair // nodes, pair % nodes], 1)
        return graphs, ends.masked_fill(~fits.any(1, keepdim=True), -1), lengths


def _lengths(graphs: Graphs, most: int) -> tuple[Tensor, Tensor]:
    """Of shortest paths from every node to every other, (batch, node, node): how long, and whether there is but one.

    Paths of more than `most` edges count as having most + 1.
    """
    rows, nodes, out = graphs.edges.shape
    there = torch.arange(out, device=graphs.edges.device) < graphs.degrees.unsqueeze(-1)
    steps = torch.zeros(rows, nodes, nodes, device=graphs.edges.device).scatter_add(2, graphs.targets, there.float())
    walks = torch.eye(nodes, device=steps.device).expand_as(steps)
    lengths, single = torch.where(walks > 0, 0, most + 1), torch.zeros_like(steps, dtype=torch.bool)
    for length in range(1, most + 1):
        walks = walks @ steps
        new = (walks > 0) & (lengths > most)
        lengths, single = lengths.masked_fill(new, length), single | (new & (walks == 1))
    return lengths, single


def _path(graphs: Graphs, ends: Tensor, lengths: Tensor, counts: Tensor) -> Tensor:
    """The path between the ends, (batch, step, 3) labels; what stands after it means nothing."""
    row, (node, end) = torch.arange(len(ends), device=ends.device), ends.unbind(1)
    path, edges = [], torch.arange(graphs.edges.size(2), device=ends.device)
    for step in range(int(counts.max())):
        left = lengths[row.unsqueeze(1), graphs.targets[row, node], end.unsqueeze(1)]
        nearer = (left == (counts - step - 1).unsqueeze(1)) & (edges < graphs.degrees[row, node].unsqueeze(1))
        triple, node = graphs.edges_at(node, nearer.int().argmax(1))
        path.append(triple)
    return torch.stack(path, 1)
