"""The world-model task of the recurrent entity networks (Henaff et al. 2017, arXiv 1612.03969)."""

import torch
from torch import Tensor

from ..common import check_count, draw_range
from .encoding import StoryBatch, Vocabulary

DIRECTIONS = {"north": (0, 1), "east": (1, 0), "south": (0, -1), "west": (-1, 0)}
WORDS = ("is", "at", "faces", "moves", "where")


class WorldModel:
    """Agents turn and walk on a grid: where is one of them at the end?

        agent1 is at (2,8)      where each agent is and which way it faces, two sentences an agent;
        agent1 faces north
        agent2 is at (9,7)
        agent2 faces north
        agent2 moves 2          then, at every step, a random agent turns or moves ahead
        agent1 faces east
        where is agent1         (2,8)

    `length` counts all sentences, the first four included. The paper has two agents on a 10 x 10 grid, trains at
    20 at most and tests up to 80. What it does not say is ours: turning and moving are equally likely, a turn is
    always to another direction, a move is uniform over those that stay on the grid, an agent at the border that
    looks out can only turn, agents may meet in a cell, and each agent is asked about equally often.

    Words are whole: a cell such as (2,8) is one word of the vocabulary, in a story and as the answer.
    """

    name = "world-model"
    length_unit = "sentences"
    length_range = (5, 20)
    test_lengths = (20, 30, 40, 50, 60, 70, 80)

    def __init__(self, *, num_agents: int = 2, grid_size: int = 10) -> None:
        """ValueError for less than one agent or a grid of less than two cells a side."""
        self.num_agents = check_count("num_agents", num_agents)
        self.grid_size = check_count("grid_size", grid_size, minimum=2)
        side = range(1, grid_size + 1)
        agents = [f"agent{k}" for k in range(1, num_agents + 1)]
        cells = [f"({x},{y})" for x in side for y in side]
        self.vocabulary = Vocabulary([*WORDS, *agents, *DIRECTIONS, *map(str, side[:-1]), *cells])

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> StoryBatch:
        """Draw a batch on the generator's device; the same generator state gives the same batch.

        length: sentences of all rows, or (low, high) from which each row draws its own, both included. ValueError
        for fewer than two an agent, and for a batch size or generator that cannot be used.
        """
        lengths = draw_range("length", length, batch_size, generator, minimum=2 * self.num_agents)
        device, longest = generator.device, int(lengths.max())
        row = torch.arange(batch_size, device=device)

        def draw(*shape: int) -> Tensor:
            return torch.rand(batch_size, *shape, generator=generator, device=device)

        def number(word: str) -> int:
            return self.vocabulary.number(word)

        def sentence(*words: Tensor | int) -> Tensor:
            """(batch, 4), from one number for all rows or one for each."""
            columns = [torch.as_tensor(word, device=device).expand(batch_size) for word in words]
            return torch.stack([*columns, *[torch.zeros_like(row)] * (4 - len(words))], dim=1)

        at = (draw(self.num_agents, 2) * self.grid_size).long()  # from 0
        facing = (draw(self.num_agents) * len(DIRECTIONS)).long()
        steps = torch.tensor(list(DIRECTIONS.values()), device=device)
        story, about = [], []
        for first in range(self.num_agents):
            name = number("agent1") + first
            story.append(sentence(name, number("is"), number("at"), self._cell(at[:, first])))
            story.append(sentence(name, number("faces"), number("north") + facing[:, first]))
            about += [torch.full_like(row, first)] * 2
        for draws in draw(longest - len(story), 3).unbind(1):
            which, kind, amount = draws.unbind(1)
            agent = (which * self.num_agents).long()
            here, now = at[row, agent], facing[row, agent]
            step = steps[now]
            room = ((step > 0) * (self.grid_size - 1 - here) + (step < 0) * here).sum(dim=1)
            moves = (kind < 0.5) & (room > 0)
            count = 1 + (amount * room).long()
            turned = (now + 1 + (amount * 3).long()) % len(DIRECTIONS)
            verb = torch.where(moves, number("moves"), number("faces"))
            what = torch.where(moves, number("1") - 1 + count, number("north") + turned)
            alive = len(story) < lengths
            at[row, agent] = here + step * (count * (moves & alive)).unsqueeze(1)
            facing[row, agent] = torch.where(alive & ~moves, turned, now)
            story.append(sentence(number("agent1") + agent, verb, what))
            about.append(agent)
        real = torch.arange(longest, device=device) < lengths.unsqueeze(1)
        asked = (draw() * self.num_agents).long()
        question = sentence(number("where"), number("is"), number("agent1") + asked)[:, :3]
        return StoryBatch(
            story=torch.stack(story, dim=1) * real.unsqueeze(2),
            story_lengths=lengths,
            question=question,
            answer=self._cell(at[row, asked]),
            supports=(torch.stack(about, dim=1) == asked.unsqueeze(1)) & real,
        )

    def render(self, batch: StoryBatch, index: int = 0) -> str:
        """One example as text: its sentences, and its question with the answer."""

        def text(numbers: Tensor) -> str:
            return " ".join(self.vocabulary.words[number] for number in numbers.tolist() if number)

        sentences = batch.story[index, : int(batch.story_lengths[index])]
        asked = f"{text(batch.question[index])}? {text(batch.answer[index].unsqueeze(0))}"
        return "\n".join([*map(text, sentences), asked])

    def _cell(self, at: Tensor) -> Tensor:
        """The number of the word of each cell; at: (batch, 2), from 0."""
        return self.vocabulary.number("(1,1)") + at[:, 0] * self.grid_size + at[:, 1]
