"""Inference of relations in a graph (Graves et al. 2016, Nature 538:471, graph experiments)."""

from typing import ClassVar

import torch

from .common import Batch, draw_range
from .graphs import MISSING, GraphTask, draw_graphs, named_graphs
from .networks import family_tree

KINDS = 4  # of edges


class RelationInference(GraphTask):
    """Told who is what of whom, say who is, of one, a relation of relations (Graves et al. 2016, Nature 538:471).

    Edges have four labels, which are the same in every graph. A relation of n edges, as the father's first child, has a
    label of its own, the same in every graph, too, and nothing tells which: what each stands for is to be learned. The
    question is a source and a relation, the answer both and the target, one triple. Relations are of up to three edges
    where labels have two digits, of four where they have three. A sequence has E + 3 steps, of which the last is
    scored. (The paper has ten labels of edges, and relations of two to five edges, 100 of each length; labels have
    three digits, and ten blank steps come before the answer.) Graphs, how they are told, and all options are those of
    `GraphTask`.
    """

    name = "relation-inference"
    length_unit = "edges"
    test_lengths = (1, 2, 3, 4)
    networks: ClassVar = {"family": family_tree}
    variants: ClassVar = {"family": {"graphs": "family"}}

    def __init__(
        self,
        nodes: tuple[int, int] = (5, 12),
        degrees: tuple[int, int] = (1, 3),
        digits: int = 2,
        lessons: bool = False,
    ) -> None:
        """ValueError for numbers that cannot be: as in `GraphTask`, and more edges of a node than labels of edges."""
        super().__init__(nodes, degrees, digits, lessons)
        if self.degrees[1] > KINDS:
            raise ValueError(f"degrees must be at most {KINDS}, the labels of edges, got {self.degrees[1]}")
        # The first relation of every length, by number; relations of one length stand in the order of their edges.
        self.firsts = [0, 0]
        while self.firsts[-1] + KINDS ** (len(self.firsts) - 1) <= self.labels:
            self.firsts.append(self.firsts[-1] + KINDS ** (len(self.firsts) - 1))
        self.longest = len(self.firsts) - 2
        self.length_range = (1, min(3, self.longest))
        self.names = torch.randperm(self.labels, generator=torch.Generator().manual_seed(0))

    def sample(
        self,
        batch_size: int,
        *,
        length: int | tuple[int, int],
        generator: torch.Generator,
        graphs: str | None = None,
    ) -> Batch:
        """As `Task.sample`; graphs: "family" for a family, None for random graphs."""
        counts = draw_range("length", length, batch_size, generator).unsqueeze(1)
        most = self.longest_of(counts, f"of which {self.labels} labels can tell all relations")
        if graphs is None:
            drawn = draw_graphs(batch_size, self.nodes, self.degrees, self.labels, KINDS, generator)
        else:
            drawn = named_graphs(batch_size, self.network(graphs), self.labels, generator)
        walk = drawn.walk(most, generator)
        device = walk.device
        left = counts - torch.arange(1, most + 1, device=device)  # edges after each
        number = (walk[..., 1] * KINDS ** left.clamp(min=0) * (left >= 0)).sum(1)
        names = self.names.to(device)
        relation = names[number + torch.tensor(self.firsts, device=device)[counts.squeeze(1)]]
        end = walk[..., 2].gather(1, counts - 1).squeeze(1)
        answer = torch.stack([walk[:, 0, 0], relation, end], -1).unsqueeze(1)
        question = answer.clone()
        question[..., 2] = MISSING
        one = torch.ones_like(relation)
        return self.laid_out(drawn._replace(edges=names[drawn.edges]), question, one, answer, one, generator)
