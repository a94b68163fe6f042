"""The world-model task against a walk by hand through its own words."""

import math

import numpy as np
import pytest
import torch

from tasks.babi import StoryBatch, WorldModel

STEPS = {"north": (0, 1), "east": (1, 0), "south": (0, -1), "west": (-1, 0)}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def read(task: WorldModel, batch: StoryBatch, row: int) -> tuple[list[list[str]], list[str], str]:
    """(sentences, question, answer) of a row; whatever lies behind its length must be empty."""
    length = int(batch.story_lengths[row])
    assert not batch.story[row, length:].any()
    assert not batch.supports[row, length:].any()
    told = [
        [task.vocabulary.words[number] for number in sentence if number]
        for sentence in batch.story[row, :length].tolist()
    ]
    question = [task.vocabulary.words[number] for number in batch.question[row].tolist()]
    return told, question, task.vocabulary.words[batch.answer[row]]


def walk(told: list[list[str]], grid_size: int) -> dict[str, tuple[int, int]]:
    """Where every agent ends."""
    at, facing = {}, {}
    for who, *what in told:
        if what[0] == "is":
            x, y = what[2].strip("()").split(",")
            at[who] = (int(x), int(y))
        elif what[0] == "faces":
            assert facing.get(who) != what[1]
            facing[who] = what[1]
        else:
            verb, count = what
            assert verb == "moves"
            dx, dy = STEPS[facing[who]]
            at[who] = (at[who][0] + dx * int(count), at[who][1] + dy * int(count))
            assert int(count) > 0
        assert all(1 <= coordinate <= grid_size for coordinate in at[who])
    return at


@pytest.mark.parametrize(("num_agents", "grid_size"), [(2, 10), (1, 2), (4, 5)])
def test_answers_follow_from_the_words(num_agents: int, grid_size: int) -> None:
    task = WorldModel(num_agents=num_agents, grid_size=grid_size)
    batch = task.sample(300, length=(2 * num_agents, 40), generator=seeded())
    for row in range(300):
        told, question, answer = read(task, batch, row)
        for agent in range(num_agents):
            assert told[2 * agent][:3] == [f"agent{agent + 1}", "is", "at"]
            assert told[2 * agent + 1][:2] == [f"agent{agent + 1}", "faces"]
        where, verb, who = question
        assert (where, verb) == ("where", "is")
        x, y = walk(told, grid_size)[who]
        assert answer == f"({x},{y})"
        supports = batch.supports[row].nonzero().flatten().tolist()
        assert supports == [k for k, sentence in enumerate(told) if sentence[0] == who]


def test_draws_are_what_they_should_be() -> None:
    task = WorldModel()
    batch = task.sample(3000, length=(4, 20), generator=seeded(1))
    lengths = np.bincount(batch.story_lengths, minlength=21)
    assert not lengths[:4].any()
    assert (abs(lengths[4:] - 3000 / 17) < 5 * math.sqrt(3000 / 17)).all()
    asked, starts, acting, verbs, counts, turns = [], [], [], [], {}, []
    for row in range(3000):
        told, question, _ = read(task, batch, row)
        asked.append(question[2])
        starts.append(told[0][3])
        for k in range(4, len(told)):
            before = walk(told[:k], 10)[told[k][0]]
            facing = next(one[2] for one in told[:k][::-1] if one[0] == told[k][0] and one[1] == "faces")
            ahead = zip(before, STEPS[facing], strict=True)
            room = sum((10 - place if step > 0 else place - 1) for place, step in ahead if step)
            acting.append(told[k][0])
            if room:
                verbs.append(told[k][1])
            else:
                assert told[k][1] == "faces"
            if told[k][1] == "moves":
                counts.setdefault(room, []).append(int(told[k][2]))
            else:
                names = list(STEPS)
                turns.append((names.index(told[k][2]) - names.index(facing)) % 4)

    def even(values: list, options: int) -> None:
        _, found = np.unique(values, return_counts=True)
        assert len(found) == options
        expected = len(values) / options
        assert (abs(found - expected) < 5 * math.sqrt(expected)).all()

    even(asked, 2)
    even(starts, 100)
    even(acting, 2)
    even(verbs, 2)
    even(turns, 3)
    for room, values in counts.items():
        even(values, room)


def test_the_generator_decides_everything() -> None:
    task, before = WorldModel(), torch.get_rng_state()
    first, same, other = (task.sample(50, length=(4, 30), generator=seeded(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert not torch.equal(first.answer, other.answer)
    assert torch.equal(before, torch.get_rng_state())


def test_render() -> None:
    task = WorldModel()
    batch = task.sample(5, length=(4, 20), generator=seeded())
    told, question, answer = read(task, batch, 2)
    lines = task.render(batch, 2).splitlines()
    assert lines == [*(" ".join(sentence) for sentence in told), f"{' '.join(question)}? {answer}"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 3}, "length must be a whole number of at least 4, got 3"),
        ({"length": (20, 5)}, "low <= high"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"generator": None}, "generator must be a torch.Generator"),
    ],
)
def test_unusable_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WorldModel().sample(**{"batch_size": 3, "length": 5, "generator": seeded(), **arguments})
    with pytest.raises(ValueError, match=r"num_agents .* got 0"):
        WorldModel(num_agents=0)
    with pytest.raises(ValueError, match=r"grid_size must be a whole number of at least 2, got 1"):
        WorldModel(grid_size=1)
