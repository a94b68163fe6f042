"""Mini-SHRDLU against slow readings of its input in plain Python, sharing nothing with `tasks`."""

import itertools
import math
from collections import Counter, deque

import numpy as np
import pytest
import torch

from experiments.domains.sequences.evaluation import evaluate
from memnet import LSTM
from tasks import MiniShrdlu
from tests.batches import random_logits, rows_of, seeded

MOVES = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
RELATIONS = ("above", "below", "left", "right")


def draw(batch_size=7, seed=0, length=(1, 3), **options):
    task = MiniShrdlu(**options)
    return task, task.sample(batch_size, length=length, generator=seeded(seed))


def one(channels):
    (place,) = np.flatnonzero(channels)
    assert channels[place] == 1
    return int(place)


def board_of(row):
    """Columns of blocks from below."""
    cells = row[43:].reshape(3, 3, 6)
    columns = []
    for column in cells:
        filled = [one(cell) + 1 for cell in column if cell.any()]
        assert all(cell.any() for cell in column[: len(filled)])  # nothing hangs in the air
        columns.append(tuple(filled))
    return tuple(columns)


def read(given):
    """What each letter stands for, the letter to do, and the boards."""
    do = one(given[:, 42])
    goals = {}
    for row in given[:do]:
        assert not row[42:].any()
        fact = (one(row[26:32]) + 1, RELATIONS[one(row[32:36])], one(row[36:42]) + 1)
        goals.setdefault(one(row[:26]), []).append(fact)
    assert not given[do, 26:42].any()
    assert not given[do, 43:].any()
    assert not given[do + 1 :, :43].any()
    return goals, one(given[do, :26]), [board_of(row) for row in given[do + 1 :]]


def holds(board, facts):
    place = {block: (column, row) for column, blocks in enumerate(board) for row, block in enumerate(blocks)}
    for first, relation, second in facts:
        (column, row), (other, lower) = place[first], place[second]
        if relation in ("above", "below"):
            if column != other or (row > lower) != (relation == "above"):
                return False
        elif column == other or (column < other) != (relation == "left"):
            return False
    return True


def moved(board, move):
    """The board after a move; the same one after a move that cannot be, and after waiting."""
    if move == 6:
        return board
    start, end = MOVES[move]
    columns = [list(column) for column in board]
    if columns[start] and len(columns[end]) < 3:
        columns[end].append(columns[start].pop())
    return tuple(map(tuple, columns))


def moves_to(board, facts):
    """Breadth first."""
    seen, queue = {board: 0}, deque([board])
    while queue:
        here = queue.popleft()
        if holds(here, facts):
            return seen[here]
        for move in range(6):
            if (there := moved(here, move)) not in seen:
                seen[there] = seen[here] + 1
                queue.append(there)
    return math.inf


def best(board, facts):
    left = moves_to(board, facts)
    return {6} if left == 0 else {move for move in range(6) if moves_to(moved(board, move), facts) == left - 1}


def test_every_right_move_is_a_target_and_boards_follow_one():
    task, batch = draw(batch_size=60)
    assert (task.input_size, task.output_size) == (97, 7) == (batch.input.size(2), batch.target.size(2))
    assert [tensor.dtype for tensor in batch] == [torch.float32, torch.float32, torch.bool, torch.int64]
    lengths = Counter()
    for given, target, mask in rows_of(batch):
        goals, letter, boards = read(given)
        facts = goals[letter]
        assert mask.tolist() == [False] * (len(given) - len(boards)) + [True] * len(boards)
        length = moves_to(boards[0], facts)
        lengths[length] += 1
        assert len(boards) == 2 * length
        assert [set(np.flatnonzero(row).tolist()) for row in target[mask]] == [best(board, facts) for board in boards]
        for board, after in itertools.pairwise(boards):
            assert after in {moved(board, move) for move in best(board, facts)}
        assert holds(boards[-1], facts)
    assert set(lengths) == {1, 2, 3}


def test_goals_constraints_and_blocks_are_as_many_as_said():
    _, batch = draw(batch_size=600, length=1, blocks=(3, 4), goals=(2, 3), constraints=(1, 2))
    numbers = {name: Counter() for name in ("blocks", "goals", "constraints", "done")}
    for given, _, _ in rows_of(batch):
        goals, letter, boards = read(given)
        numbers["blocks"][sum(map(len, boards[0]))] += 1
        numbers["goals"][len(goals)] += 1
        numbers["done"][list(goals).index(letter)] += 1
        for facts in goals.values():
            assert len(set(facts)) == len(facts)
            numbers["constraints"][len(facts)] += 1
    assert {name: set(found) for name, found in numbers.items()} == {
        "blocks": {3, 4},
        "goals": {2, 3},
        "constraints": {1, 2},
        "done": {0, 1, 2},
    }
    assert abs(numbers["goals"][2] - 300) < 5 * math.sqrt(300)
    assert abs(numbers["done"][0] - 600 * (1 / 2 + 1 / 3) / 2) < 5 * math.sqrt(250)


def test_six_blocks_have_boards_that_are_full():
    _, batch = draw(batch_size=4, length=2, blocks=6, constraints=(4, 6))
    for given, target, mask in rows_of(batch):
        goals, letter, boards = read(given)
        for board, row in zip(boards, target[mask], strict=True):
            assert set(np.flatnonzero(row).tolist()) == best(board, goals[letter])


def test_the_generator_decides_everything():
    assert all(map(torch.equal, draw(seed=3)[1], draw(seed=3)[1]))
    first, other = draw(seed=3)[1], draw(seed=4)[1]
    assert first.input.shape != other.input.shape or not torch.equal(first.input, other.input)


def test_the_loss_is_that_of_all_right_moves_together():
    task, batch = draw()
    logits = random_logits(batch, dtype=torch.float64)
    for row, loss in enumerate(task.losses(logits, batch).tolist()):
        expected = 0.0
        for step in batch.mask[row].nonzero().flatten().tolist():
            chances = np.exp(logits[row, step].numpy())
            expected -= math.log(chances[batch.target[row, step].numpy() > 0].sum() / chances.sum())
        assert loss == pytest.approx(expected)


def test_played_boards_follow_the_models_own_moves():
    task, batch = draw(batch_size=20)
    model = LSTM(task.input_size, task.output_size, hidden_size=6)
    with torch.no_grad():
        model.readout.weight.mul_(8)
        played = task.played(batch, model)
        logits, _ = model(played.input)
    assert not torch.equal(played.input, batch.input)
    metrics = task.metrics(logits, played)
    for row, (given, target, mask) in enumerate(rows_of(played)):
        before = batch.input[row, : len(given)].numpy()
        (goals, letter, boards), (_, _, taught) = read(given), read(before)
        assert (before[~mask] == given[~mask]).all()
        assert boards[0] == taught[0]
        moves = logits[row, : len(given)][mask].argmax(1).tolist()
        for board, move, after in zip(boards, moves, boards[1:], strict=False):
            assert after == moved(board, move)
        right = [best(board, goals[letter]) for board in boards]
        assert [set(np.flatnonzero(row).tolist()) for row in target[mask]] == right
        assert bool(metrics["exact"][row]) == holds(moved(boards[-1], moves[-1]), goals[letter])
        wrong = [move not in some for some, move in zip(right, moves, strict=True)]
        assert int(metrics["wrong"][row]) == sum(wrong)


def test_tests_play():
    task, batch = draw(batch_size=30)
    model = LSTM(task.input_size, task.output_size, hidden_size=6).eval()
    with torch.inference_mode():
        played = task.played(batch, model)
        scores = task.summarize(task.metrics(model(played.input)[0], played))
        taught = task.summarize(task.metrics(model(batch.input)[0], batch))
    assert evaluate(model, task, [batch]) == pytest.approx({"sequences": 30, **scores})
    assert taught["nats_per_step"] != pytest.approx(scores["nats_per_step"])


def test_who_makes_right_moves_reaches_the_goal_and_who_waits_does_not():
    task, batch = draw(batch_size=40)

    def player(given, state):
        """Sees the board, and remembers what to do."""
        nonlocal known
        known = torch.cat([known, given], 1)
        logits = torch.zeros(*given.shape[:2], 7)
        for row, rows in enumerate(known.numpy()):
            if rows[-1, 43:].any():
                goals, letter, boards = read(rows[: np.flatnonzero(rows.any(1))[-1] + 1])
                logits[row, -1, best(boards[-1], goals[letter]).pop()] = 9
        return logits, state

    known = torch.zeros(40, 0, 97)
    played = task.played(batch, player)
    known = torch.zeros(40, 0, 97)
    logits = torch.cat([player(step.unsqueeze(1), None)[0] for step in played.input.unbind(1)], 1)
    scores = task.summarize(task.metrics(logits, played))
    assert (scores["exact_share"], scores["error_percent"]) == (1, 0)
    assert task.spell(played.target[played.mask]).count("/") == (played.target.sum(-1) - 1).clamp(min=0).sum()
    waiting = torch.zeros_like(batch.target)
    waiting[..., 6] = 9
    still = task.played(batch, lambda given, state: (waiting[:, : given.size(1)], state))
    assert task.summarize(task.metrics(waiting, still))["exact_share"] == 0


@pytest.mark.parametrize("width", [40, 80])
def test_drawings_tell_goals_and_boards(width):
    task, batch = draw(length=2)
    text = task.render(batch, 1, batch.target, width)
    assert max(map(len, text.splitlines())) <= width
    given, _, _ = list(rows_of(batch))[1]
    goals, letter, boards = read(given)
    assert f"do {chr(65 + letter)}" in text.splitlines()
    assert sum(line[1:3] == ": " for line in text.splitlines()) == sum(map(len, goals.values()))
    assert "  ".join("".join(map(str, column)).ljust(3, ".") for column in boards[0]) in text
    assert "0 predicted wrong" in " ".join(text.split())
    assert "predicted" not in task.render(batch, 1)


def test_what_cannot_be():
    for options, message in (
        ({"blocks": (2, 4)}, "blocks must be a whole number of at least 3, got 2"),
        ({"blocks": (3, 7)}, "blocks may be at most 6, got 7"),
        ({"goals": 27}, "goals may be at most 26, got 27"),
        ({"constraints": (1, 7)}, "constraints may be at most 6, got 7"),
    ):
        with pytest.raises(ValueError, match=message):
            MiniShrdlu(**options)
    with pytest.raises(ValueError, match="no goal is 40 moves away in 1000 draws"):
        draw(batch_size=1, length=40, blocks=3)
