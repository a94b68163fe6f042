"""Traversal of a random graph (Graves et al. 2016, Nature 538:471, graph experiments)."""

import torch

from .common import Batch, draw_below, draw_range
from .graphs import MISSING, GraphTask, draw_graphs


class GraphTraversal(GraphTask):
    """Told a graph, a node and the edges to take from there, say the whole path (Graves et al. 2016, Nature 538:471).

    A random walk of n steps: the question is its first source and edge, and then of each step the edge alone; the
    answer is every edge of it with source and target. A sequence has E + 2n + 1 steps, of which the last n are scored.
    Graphs, and how they are told, are those of `GraphTask`; there is no curriculum of sizes but that of the length.

    nodes:   the fewest and the most nodes of a graph. degrees: of edges that leave a node.
    digits:  of a label. The paper has three, and graphs of up to 40 nodes.
    """

    name = "graph-traversal"
    length_unit = "edges"
    length_range = (1, 5)
    test_lengths = (5, 7)

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        counts = draw_range("length", length, batch_size, generator)
        graphs = draw_graphs(batch_size, self.nodes, self.degrees, self.labels, generator)
        node, path = draw_below((graphs.degrees > 0).sum(1), generator), []
        for _ in range(int(counts.max())):
            degree = graphs.degrees.gather(1, node.unsqueeze(1)).squeeze(1)
            triple, node = graphs.edges_at(node, draw_below(degree, generator))
            path.append(triple)
        walk = torch.stack(path, 1)
        question = walk.clone()
        question[:, 1:, 0] = MISSING
        question[..., 2] = MISSING
        return self.laid_out(graphs, question, counts, walk, counts, generator)
