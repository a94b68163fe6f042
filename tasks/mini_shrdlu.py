"""Mini-SHRDLU: goals are told, then one of them is to be reached by moving blocks (Graves et al. 2016)."""

import string
import textwrap
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .boards import BLOCKS, COLUMNS, FACTS, HEIGHT, MOVES, RELATIONS, Boards, boards
from .common import Batch, check_logits, check_range, draw_below, draw_distinct, draw_range, steps_of
from .drawing import fold
from .symbols import SymbolTask

LETTERS, CELLS = string.ascii_uppercase, COLUMNS * HEIGHT
TRIES = 1000  # draws of a goal that is so far away
# The first channel of each part of the input.
FIRST, RELATION = len(LETTERS), len(LETTERS) + BLOCKS
SECOND = RELATION + len(RELATIONS)
DO, BOARD = SECOND + BLOCKS, SECOND + BLOCKS + 1


class MiniShrdlu(SymbolTask):
    """Told what several letters stand for, do one of them with blocks on a board (Graves et al. 2016, Nature 538:471).

        step         0 ... K-1                            K        then 2n times
        letter       whose constraint it is               the goal 0
        constraint   block 3 is above block 5, say        0        0
        do           0                                    1        0
        board        0                                    0        the board as it is now
        target       -                                    -        what to do: a move, or to wait

    A goal is a letter and some constraints, which hold on a board together. A move takes the top block of one of
    three columns onto another, of three blocks at the most; one that cannot be changes nothing. The goal to do is n
    moves away, n being the length, by breadth-first search over all boards, which also tells all moves that bring
    it nearer: each is right, and the loss is that of their probabilities' sum; where the goal is reached, to wait
    is. In training, which is supervised where the paper's is by reward, boards follow such a move, drawn at random.
    In tests they follow what the model says, and its sequence is exact if the goal holds after all 2n moves; errors
    are moves that bring it no nearer.

    Input channels: 26 letters, a block, a relation and a block, do, and 9 cells with a block each (97). Output
    channels: six moves and to wait. "Left of" is in a column further to the left, whatever the height.

    blocks:      the fewest and the most on a board, from 3 to 6.
    goals:       the fewest and the most that are told. constraints: of each. The paper has up to 10 goals of 6.
    """

    name = "mini-shrdlu"
    length_unit = "moves"
    length_range = (1, 3)
    test_lengths = (1, 2, 3, 4)

    def __init__(
        self, blocks: tuple[int, int] = (3, 4), goals: tuple[int, int] = (1, 2), constraints: tuple[int, int] = (1, 3)
    ) -> None:
        """ValueError for fewer than 3 or more than 6 blocks, more goals than letters and more than 6 constraints."""
        self.blocks, self.goals = check_range("blocks", blocks, 3), check_range("goals", goals)
        self.constraints = check_range("constraints", constraints)
        for name, (_, most), limit in (
            ("blocks", self.blocks, BLOCKS),
            ("goals", self.goals, len(LETTERS)),
            ("constraints", self.constraints, 6),
        ):
            if most > limit:
                raise ValueError(f"{name} may be at most {limit}, got {most}")
        told = [f"block {block + 1}" for block in range(BLOCKS)]
        cells = [f"column {column + 1}, height {row + 1}" for column in range(COLUMNS) for row in range(HEIGHT)]
        board = [f"{cell}: {block}" for cell in cells for block in told]
        self.input_channels = (*LETTERS, *(f"the {one}" for one in told), *RELATIONS, *told, "do", *board)
        self.output_channels = (*(f"{start + 1}>{end + 1}" for start, end in MOVES), "wait")

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """As `Task.sample`. ValueError where no goal that is drawn is so many moves away."""
        moves, device = draw_range("length", length, batch_size, generator), generator.device
        every = self._boards(device)
        told, here, distances = self._drawn(every, moves, generator)
        rows, chosen = torch.arange(batch_size, device=device), draw_below((told[..., 0] >= 0).sum(1), generator)
        told[rows, 0], told[rows, chosen] = told[rows, chosen], told[:, 0].clone()
        letters = draw_distinct(batch_size, told.size(1), len(LETTERS), generator).unsqueeze(-1).expand(told.shape)
        real = (told >= 0).flatten(1)
        order, count = (~real).to(torch.uint8).argsort(dim=1, stable=True), real.sum(1)
        fact, letter = told.flatten(1).gather(1, order), letters.flatten(1).gather(1, order)
        total = count + 1 + 2 * moves
        steps = int(total.max())
        given = torch.zeros(batch_size, steps, len(self.input_channels), device=device)
        described = _channels(fact, letter)[:, : min(steps, fact.size(1))]
        given[:, : described.size(1)] = described
        given[rows, count] = 0
        given[rows, count, letters[rows, chosen, 0]] = 1
        given[rows, count, DO] = 1
        step = torch.arange(steps, device=device)
        mask = (step > count.unsqueeze(1)) & (step < total.unsqueeze(1))
        target = torch.zeros(batch_size, steps, len(self.output_channels), device=device)

        def any_right(step: int, right: Tensor) -> Tensor:
            return torch.rand(right.shape, generator=generator, device=device).masked_fill(~right, -1.0).argmax(-1)

        self._act(every, distances, here, Batch(given, target, mask, total), any_right)
        return Batch(given, target, mask, total)

    def _drawn(self, every: Boards, moves: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """The facts of all goals in an order of their own, (batch, goal, fact), -1 for none; the first is to do.

        Returns also the board where each begins, and how far its goal is from every board, see `Boards.distances`.
        """
        batch_size, (_, goals), (_, constraints) = len(moves), self.goals, self.constraints
        told = torch.full((batch_size, goals, constraints), -1, device=moves.device)
        here, distances = torch.zeros_like(moves), torch.zeros(batch_size, len(every.cells), device=moves.device).long()
        lack = torch.arange(batch_size, device=moves.device)
        for _ in range(TRIES):
            told[lack], found, far = self._goals(every, len(lack), generator)
            fits = (far == moves[lack].unsqueeze(1)) & (every.counts == found.unsqueeze(1))
            drawn = torch.rand(fits.shape, generator=generator, device=moves.device).masked_fill(~fits, -1.0)
            here[lack], distances[lack] = drawn.argmax(1), far
            lack = lack[~fits.any(1)]
            if not len(lack):
                return told, here, distances
        raise ValueError(f"no goal is {int(moves[lack][0])} moves away in {TRIES} draws")

    def _goals(self, every: Boards, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Goals of so many rows, see `_drawn`, how many blocks each row has, and how far the first goal is."""
        (_, goals), (_, most), device = self.goals, self.constraints, generator.device
        blocks = draw_range("blocks", self.blocks, rows, generator)
        count = draw_range("goals", self.goals, rows, generator)
        # Each goal holds on a board that is drawn for it.
        here = (every.counts == blocks.unsqueeze(1)).float()
        board = torch.rand(rows, goals, here.size(1), generator=generator, device=device) * here.unsqueeze(1)
        holds = every.facts[board.argmax(-1)]
        told = torch.rand(holds.shape, generator=generator, device=device).masked_fill(~holds, -1.0).topk(most).indices
        sizes = draw_range("constraints", self.constraints, rows * goals, generator).view(rows, goals, 1)
        there = torch.arange(goals, device=device).unsqueeze(1) < count.view(-1, 1, 1)
        told = told.masked_fill(~(there & (torch.arange(most, device=device) < sizes)), -1)
        first = F.one_hot(told[:, 0] + 1, FACTS + 1).sum(1)[:, 1:] > 0
        return told, blocks, every.distances(first)

    def _boards(self, device: torch.device) -> Boards:
        return Boards(*(tensor.to(device) for tensor in boards(self.blocks)))

    def _act(
        self, every: Boards, distances: Tensor, here: Tensor, batch: Batch, choose: Callable[[int, Tensor], Tensor]
    ) -> None:
        """Write boards and right moves into a batch's input and target, step by step, as moves are chosen.

        choose: of a step and its right moves (batch, move) the move of each row, of no use where a row has not begun.
        """
        for step in range(int(batch.mask.int().argmax(1).min()), batch.mask.size(1)):
            now = batch.mask[:, step]
            shown = F.one_hot(every.cells[here], BLOCKS + 1)[..., 1:].flatten(1).float()
            batch.input[now, step, BOARD:] = shown[now]
            right = every.best(distances, here)
            batch.target[now, step] = right[now].float()
            here = torch.where(now, every.after[here, choose(step, right)], here)

    def played(self, batch: Batch, model: Callable[..., tuple[Tensor, Any]]) -> Batch:
        """The batch with the boards that the model's own moves lead to, and the moves that would be right on those."""
        every, (distances, here) = self._boards(batch.input.device), self._situation(batch)
        batch = batch._replace(input=batch.input.clone(), target=torch.zeros_like(batch.target))
        done, state = 0, None

        def own(step: int, right: Tensor) -> Tensor:
            nonlocal done, state
            logits, state = model(batch.input[:, done : step + 1], state)
            done = step + 1
            return logits[:, -1].argmax(-1)

        self._act(every, distances, here, batch, own)
        return batch

    def _situation(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """By the input alone how far the goal is from every board, and the board at which each row begins."""
        every, given = self._boards(batch.input.device), batch.input
        rows, do = torch.arange(len(given), device=given.device), given[..., DO].argmax(1)
        told = (torch.arange(given.size(1), device=given.device) < do.unsqueeze(1)) & (
            given[..., :FIRST].argmax(-1) == given[rows, do, :FIRST].argmax(-1).unsqueeze(1)
        )
        fact = given[..., FIRST:RELATION].argmax(-1) * len(RELATIONS) + given[..., RELATION:SECOND].argmax(-1)
        fact = fact * BLOCKS + given[..., SECOND:DO].argmax(-1)
        goals = torch.zeros(len(given), FACTS + 1, device=given.device)
        goals = goals.scatter(1, fact.masked_fill(~told, FACTS), 1.0)[:, :FACTS] > 0
        return every.distances(goals), every.numbers(_cells(given[rows, do + 1]))

    def baselines(self, length: int) -> dict[str, float]:
        """None: how many moves are right differs from board to board."""
        return {}

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """The negative logarithm of the probability of all right moves together, summed over a sequence: (batch,)."""
        check_logits(logits, batch)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        right = logits.masked_fill((batch.target == 0) & batch.mask.unsqueeze(-1), -torch.inf).logsumexp(-1)
        return (logits.logsumexp(-1) - right).masked_fill(~batch.mask, 0).sum(1)

    def metrics(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """As `SymbolTask.metrics`, but exact: whether the goal holds after the last move."""
        every, (distances, _) = self._boards(batch.input.device), self._situation(batch)
        rows, last = torch.arange(len(logits), device=logits.device), batch.lengths - 1
        end = every.after[every.numbers(_cells(batch.input[rows, last])), logits[rows, last].argmax(-1)]
        return super().metrics(logits, batch) | {"exact": distances.gather(1, end.unsqueeze(1)).squeeze(1) == 0}

    def spell(self, answers: Tensor) -> str:
        """The best moves, a stroke between those of a step that are equally good."""
        best = answers == answers.amax(-1, keepdim=True)
        moves = ([self.output_channels[place] for place in step.nonzero().flatten().tolist()] for step in best)
        return " ".join("/".join(step) for step in moves)

    def render(self, batch: Batch, index: int = 0, logits: Tensor | None = None, width: int = 80) -> str:
        """One example as text: goals, what to do, and each board, columns from below, with the moves that are right.

        ValueError for an index outside the batch, logits of the wrong shape or a width below 40.
        """
        steps = steps_of(batch, index)
        fold([("step", "")], width)
        given, mask = batch.input[index, :steps], batch.mask[index, :steps]
        title = f"{self.name}: {steps} steps, {int(mask.sum())} scored"
        if logits is not None:
            check_logits(logits, batch)
            title += f", {int(self.wrong(logits, batch)[index].sum())} predicted wrong"
        lines = [title, ""]
        for step in range(do := int(given[:, DO].argmax())):
            letter, *fact = (self.input_channels[place] for place in given[step].nonzero().flatten().tolist())
            lines.append(f"{letter}: {' '.join(fact).removeprefix('the ')}")
        lines += ["", f"do {LETTERS[int(given[do, :FIRST].argmax())]}", ""]
        for step in mask.nonzero().flatten().tolist():
            columns = _cells(given[step]).view(COLUMNS, HEIGHT).tolist()
            board = "  ".join("".join(map(str, column)).replace("0", ".") for column in columns)
            right = [self.output_channels[place] for place in batch.target[index, step].nonzero().flatten().tolist()]
            lines.append(f"{board}   {' or '.join(right)}")
            if logits is not None:
                lines[-1] += f", predicted {self.output_channels[int(logits[index, step].argmax())]}"
        return "\n".join(textwrap.fill(line, width, subsequent_indent="  ") for line in lines)


def _channels(facts: Tensor, letters: Tensor) -> Tensor:
    """Constraints as channels of the input, zeros for a fact of -1: (batch, step) to (batch, step, channel)."""
    places = [letters, FIRST + facts // BLOCKS // len(RELATIONS), RELATION + facts // BLOCKS % len(RELATIONS)]
    places.append(SECOND + facts % BLOCKS)
    told = torch.stack([F.one_hot(place.clamp(min=0), BOARD + CELLS * BLOCKS) for place in places]).sum(0)
    return (told * (facts >= 0).unsqueeze(-1)).float()


def _cells(given: Tensor) -> Tensor:
    """The cells of boards by the channels of the input, (..., channel) to (..., cell)."""
    cells: Tensor = given[..., BOARD:].unflatten(-1, (CELLS, BLOCKS))
    return (cells * torch.arange(1, BLOCKS + 1, device=given.device)).sum(-1).long()
