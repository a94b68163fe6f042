"""Glyphs against slow readings of their episodes in plain Python, sharing nothing with `tasks`."""

import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from experiments.domains.sequences.failures import Failures
from experiments.domains.sequences.showing import ShownSequences
from tasks import Batch, Glyphs
from tests.batches import random_logits, rows_of, seeded

FEW = {"characters": 30, "test_characters": 20}


def draw(batch_size=7, seed=0, length=10, **options):
    task = Glyphs(**FEW | options)
    return task, task.sample(batch_size, length=length, generator=seeded(seed))


def read(given, ways=5):
    """The drawings of an episode, and their labels as far as the input tells them: each beside the next drawing."""
    before = given[:, 400:]
    assert before.shape[1] == ways
    assert not before[0].any()
    assert (before[1:].sum(1) == 1).all()
    return given[:, :400], before[1:].argmax(1).tolist()


def test_each_label_is_told_beside_the_next_drawing():
    task, batch = draw(batch_size=80, length=(2, 10))
    assert (task.input_size, task.output_size) == (405, 5)
    assert batch.input.shape == (*batch.mask.shape, 405)
    assert [tensor.dtype for tensor in batch] == [torch.float32, torch.float32, torch.bool, torch.int64]
    lengths = set()
    for given, target, mask in rows_of(batch):
        assert mask.all()
        drawings, labels = read(given)
        assert target[:-1].argmax(1).tolist() == labels
        assert (target.sum(1) == 1).all()
        (length,) = set(Counter(target.argmax(1).tolist()).values())
        assert len(given) == 5 * length
        lengths.add(length)
        assert drawings.min() == 0
        assert 0.9 < drawings.max() <= 1
        assert len({row.tobytes() for row in drawings}) == len(drawings)
    assert lengths == set(range(2, 11))


def test_the_most_similar_drawing_mostly_has_the_same_label():
    right, count = Counter(), Counter()
    for given, target, _ in rows_of(draw(batch_size=60, test_characters=100)[1]):
        seen = Counter()
        labels = target.argmax(1).tolist()
        for step in range(1, len(given)):
            seen[labels[step - 1]] += 1
            distance = np.square(given[:step, :400] - given[step, :400]).sum(1)
            instance = seen[labels[step]] + 1
            count[instance] += 1
            right[instance] += labels[int(distance.argmin())] == labels[step]
    assert right[1] == 0
    assert 0.85 < right[2] / count[2] < 1
    assert right[10] / count[10] > 0.98


def test_order_and_labels_are_random():
    firsts, pairs = Counter(), Counter()
    for _, target, _ in rows_of(draw(batch_size=1000, length=2)[1]):
        labels = target.argmax(1).tolist()
        firsts[labels[0]] += 1
        pairs[labels[0] == labels[1]] += 1
    assert all(abs(firsts[label] - 200) < 5 * math.sqrt(200) for label in range(5))
    assert abs(pairs[True] - 1000 / 9) < 5 * math.sqrt(1000 / 9)


def test_characters_of_training_and_tests_are_others_and_always_the_same():
    task, batch = draw(seed=3)
    assert all(map(torch.equal, batch, draw(seed=3)[1]))
    assert not torch.equal(batch.input, draw(seed=4)[1].input)
    tests, training, validation = (
        {row.numpy().tobytes() for row in one(300, length=20, generator=seeded()).input[..., :400].flatten(0, 1)}
        for one in (task.sample, task.training_batch, task.validation_batch)
    )
    assert len(tests) <= 20 * 20 * 4
    assert len(tests) > 0.9 * 20 * 20 * 4
    assert len(training) > len(tests)
    assert not tests & training
    assert not validation & (tests | training)
    # Each drawing is there in four directions.
    picture = torch.tensor(np.frombuffer(next(iter(tests)), np.float32).reshape(20, 20).copy())
    turned = {picture.rot90(turns).contiguous().numpy().tobytes() for turns in range(4)}
    assert len(turned) == 4
    assert turned <= tests


def test_scores_by_instance_against_loops():
    task, batch = draw(batch_size=30, length=(2, 6))
    logits = random_logits(batch)
    right, shown, exact, wrong, questions = Counter(), Counter(), 0, 0, 0
    for row, (_, target, _) in enumerate(rows_of(batch)):
        seen, failed = Counter(), 0
        for step, label in enumerate(target.argmax(1).tolist()):
            seen[label] += 1
            hit = logits[row, step].argmax() == label
            shown[seen[label]] += 1
            right[seen[label]] += int(hit)
            questions += seen[label] > 1
            failed += int(seen[label] > 1 and not hit)
        wrong += failed
        exact += not failed
    scores = task.summarize(task.metrics(logits, batch))
    for instance in (1, 2, 3, 5):
        assert scores[f"share_instance_{instance}"] == pytest.approx(right[instance] / shown[instance])
    assert "share_instance_10" not in scores
    assert scores["error_percent"] == pytest.approx(100 * wrong / questions)
    assert scores["exact_share"] == pytest.approx(exact / 30)


def test_an_episode_is_exact_whatever_is_told_of_first_drawings():
    task, batch = draw()
    logits = 9 * batch.target
    first = (batch.target.cumsum(1) * batch.target).sum(-1) == 1
    logits[first] *= -1
    assert task.metrics(logits, batch)["exact"].all()
    assert task.summarize(task.metrics(logits, batch))["share_instance_1"] == 0
    logits[2, int((~first[2]).nonzero()[0])] *= -1
    assert task.metrics(logits, batch)["exact"].tolist() == [True, True, False, True, True, True, True]
    failures = Failures(task)
    failures.at(3)(batch, logits)
    assert [row["sequence"] for row in failures.rows] == [2]
    for row, right in ((1, True), (2, False)):
        run = SimpleNamespace(task=task, model=lambda _, row=row: (logits[row : row + 1], None))
        assert ShownSequences.right(run, [Batch(*(tensor[row : row + 1] for tensor in batch))]) == [right]


@pytest.mark.parametrize("width", [40, 80])
def test_drawings_show_drawings_with_their_labels(width):
    task, batch = draw(length=3)
    text = task.render(batch, 1, -batch.target, width)
    assert max(map(len, text.splitlines())) <= width
    assert text.startswith("glyphs: 15 steps, 15 scored")
    told = [int(part.split()[-1]) for part in text.replace("\n", " ").split(", told")[:-1]]
    assert told == batch.target[1].argmax(1).tolist()
    assert text.count("told") == 15
    assert "told" not in task.render(batch, 1)


def test_what_cannot_be():
    for options, message in (
        ({"ways": 1}, "ways must be a whole number of at least 2, got 1"),
        ({"characters": 4}, "characters must be a whole number of at least 5, got 4"),
        ({"test_characters": 0}, "test_characters must be a whole number of at least 5, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            Glyphs(**options)
    with pytest.raises(ValueError, match="length must be at most 20, the drawings of a character, got 21"):
        draw(length=21)
    with pytest.raises(ValueError, match="length must be a whole number of at least 2, got 1"):
        draw(length=1)
