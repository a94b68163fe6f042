"""Traversal of a random graph (Graves et al. 2016, Nature 538:471, graph experiments)."""

from typing import ClassVar

import torch

from .common import Batch, draw_range
from .graphs import MISSING, GraphTask
from .networks import transport_map


class GraphTraversal(GraphTask):
    """Told a graph, a node and the edges to take from there, say the whole path (Graves et al. 2016, Nature 538:471).

    A random walk of n steps: the question is its first source and edge, and then of each step the edge alone; the
    answer is every edge of it with source and target. A sequence has E + 2n + 1 steps, of which the last n are scored.
    Graphs, how they are told, and all options are those of `GraphTask`.
    """

    name = "graph-traversal"
    length_unit = "edges"
    length_range = (1, 5)
    test_lengths = (5, 7)

    networks: ClassVar = {"map": transport_map}
    variants: ClassVar = {"map": {"graphs": "map"}}

    def sample(
        self,
        batch_size: int,
        *,
        length: int | tuple[int, int],
        generator: torch.Generator,
        graphs: str | None = None,
    ) -> Batch:
        """As `Task.sample`; graphs: "map" for a map of lines and stations, None for random graphs."""
        counts = draw_range("length", length, batch_size, generator)
        drawn = self.drawn(batch_size, graphs, generator)
        walk = drawn.walk(int(counts.max()), generator)
        question = walk.clone()
        question[:, 1:, 0] = MISSING
        question[..., 2] = MISSING
        return self.laid_out(drawn, question, counts, walk, counts, generator)
