"""Every task against a slow reading of its input, in plain Python and numpy, sharing nothing with `tasks`."""

import ast
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from tasks import TASKS as ALL_TASKS
from tasks import AssociativeRecall, BitTask, Copy, DynamicNGrams, PrioritySort, RepeatCopy
from tasks.__main__ import main
from tasks.formal.languages import LanguageTask
from tests.batches import random_logits, rows_of, seeded
from tests.forked import ROOT, Forked

TASKS = {
    name: kind for name, kind in ALL_TASKS.items() if issubclass(kind, BitTask) and not issubclass(kind, LanguageTask)
}
RANGES = {  # lengths to draw from, from the shortest that a task allows
    "copy": (1, 20),
    "repeat-copy": (1, 10),
    "associative-recall": (2, 6),
    "dynamic-ngrams": (2, 12),
    "priority-sort": (1, 20),
    "successive-copy": (1, 14),
    "key-value-recall": (1, 16),
    "two-way-recall": (1, 16),
}


def draw(name, batch_size=7, seed=0, length=None):
    task = TASKS[name]()
    return task, task.sample(batch_size, length=length or RANGES[name], generator=seeded(seed))


def only_step(channel):
    """The single step at which a delimiter channel is on."""
    (step,) = np.flatnonzero(channel)
    assert channel[step] == 1
    return int(step)


# One slow reader a task. From the input alone: its difficulty, and the rows that must be answered.


def read_copy(given):
    end = only_step(given[:, 8])
    assert not given[end:, :8].any()
    return end, given[:end, :8].tolist()


def read_repeats(given):
    """The count on the last channel, undone with the mean and deviation of 1..10."""
    step = only_step(given[:, 8])
    assert not np.delete(given[:, 9], step).any()
    count = float(given[step, 9]) * np.std(np.arange(1, 11)) + np.mean(np.arange(1, 11))
    assert abs(count - round(count)) < 1e-4
    return round(count)


def read_repeat_copy(given):
    end = only_step(given[:, 8])
    assert not given[end:, :8].any()
    answer = []
    for _ in range(read_repeats(given)):
        for vector in given[:end, :8].tolist():
            answer.append([*vector, 0])
    return end, [*answer, [0] * 8 + [1]]


def read_recall(given):
    """(items, position of the queried item)."""
    first, second = np.flatnonzero(given[:, 7])
    bounds = [*np.flatnonzero(given[:, 6]), first]
    assert bounds[0] == 0
    items = [given[a + 1 : b, :6].tolist() for a, b in itertools.pairwise(bounds)]
    assert all(len(item) == 3 for item in items)
    assert set(np.unique(given)) == {0, 1}
    assert not given[[*bounds, second], :6].any()
    assert not given[second + 1 :].any()
    (position,) = [k for k, item in enumerate(items) if item == given[first + 1 : second, :6].tolist()]
    return items, position


def read_associative_recall(given):
    items, position = read_recall(given)
    return len(items), items[position + 1]


def read_dynamic_ngrams(given):
    return len(given) + 1, None


def read_priority_sort(given):
    end = only_step(given[:, 9])
    assert not given[end:, :9].any()
    ranked = sorted(given[:end].tolist(), key=lambda row: -row[8])
    return end, [row[:8] for row in ranked[: max(1, math.floor(0.8 * end + 0.5))]]


def read_successive_copy(given):
    """The length of the first copy, and from its answer on what must be answered at each step, None for nothing."""
    answers, start = [], 0
    while start < len(given):
        end = start + int(np.argmax(given[start:, 8]))
        assert given[end, 8] == 1
        assert not given[end : 2 * end - start + 1, :8].any()
        answers += [None] * (end - start + 1) + given[start:end, :8].tolist()
        start = 2 * end - start + 1
    assert start == len(given)
    first = answers.index(given[0, :8].tolist()) - 1
    return first, answers[first + 1 :]


def read_pairs(given, ways):
    """Pairs, and what is to be answered by whom: for one asking after the other, all that is asked, and the answers."""
    ends = [only_step(given[:, 12 + way]) for way in range(ways)]
    end = ends[0]
    assert ends == [(way + 1) * (end + 1) - 1 for way in range(ways)]
    assert set(np.unique(given)) <= {0, 1}
    assert not given[end:, 6:12].any()
    pairs = [(row[:6], row[6:]) for row in given[:end, :12].tolist()]
    answers = []
    for way, start in enumerate(ends):
        asked = given[start + 1 : start + 1 + end, :6].tolist()
        known = {tuple(pair[way]): pair[1 - way] for pair in pairs}
        assert len(known) == end
        assert sorted(asked) == sorted(map(list, known))
        answers.append([known[tuple(row)] for row in asked])
    return end, answers


def read_key_value_recall(given):
    end, (answer,) = read_pairs(given, 1)
    return end, answer


def read_two_way_recall(given):
    """Nothing is scored where keys begin to be asked for."""
    end, (values, keys) = read_pairs(given, 2)
    return end, [*values, None, *keys]


READERS = {
    "copy": read_copy,
    "repeat-copy": read_repeat_copy,
    "associative-recall": read_associative_recall,
    "dynamic-ngrams": read_dynamic_ngrams,
    "priority-sort": read_priority_sort,
    "successive-copy": read_successive_copy,
    "key-value-recall": read_key_value_recall,
    "two-way-recall": read_two_way_recall,
}
GIVEN_STEPS = {  # steps before the answer begins
    "copy": lambda n: n + 1,
    "repeat-copy": lambda n: n + 1,
    "associative-recall": lambda n: 4 * n + 5,
    "priority-sort": lambda n: n + 1,
    "successive-copy": lambda n: n + 1,
    "key-value-recall": lambda n: n + 1,
    "two-way-recall": lambda n: n + 1,
}


@pytest.mark.parametrize("name", sorted(set(TASKS) - {"dynamic-ngrams"}))
def test_targets_follow_from_the_input(name):
    task, batch = draw(name, batch_size=300)
    for given, target, mask in rows_of(batch):
        length, answer = READERS[name](given)
        silent = GIVEN_STEPS[name](length)
        assert len(given) == silent + len(answer)
        assert mask.tolist() == [False] * silent + [row is not None for row in answer]
        assert target.tolist() == [row or [0] * task.output_size for row in [None] * silent + answer]


def test_ngram_targets_are_the_next_inputs():
    _, batch = draw("dynamic-ngrams", batch_size=300)
    for given, target, mask in rows_of(batch):
        assert mask.all()
        assert given[1:].tolist() == target[:-1].tolist()
        assert set(np.unique([given, target])) <= {0, 1}


@pytest.mark.parametrize("name", TASKS)
def test_lengths_reach_both_ends_and_are_uniform(name):
    low, high = RANGES[name]
    _, batch = draw(name, batch_size=2000)
    counts = np.zeros(high + 1)
    for given, _, _ in rows_of(batch):
        counts[READERS[name](given)[0]] += 1
    expected = 2000 / (high - low + 1)
    assert not counts[:low].any()
    assert (abs(counts[low:] - expected) < 5 * math.sqrt(expected)).all()


@pytest.mark.parametrize("name", TASKS)
def test_one_length_holds_for_every_row(name):
    _, batch = draw(name, length=9)
    assert [READERS[name](given)[0] for given, _, _ in rows_of(batch)] == [9] * 7


@pytest.mark.parametrize("name", TASKS)
def test_shapes_and_types(name):
    task, batch = draw(name)
    time = int(batch.lengths.max())
    assert batch.input.shape == (7, time, task.input_size)
    assert batch.target.shape == (7, time, task.output_size)
    assert batch.mask.shape == (7, time)
    assert [tensor.dtype for tensor in batch] == [torch.float32, torch.float32, torch.bool, torch.int64]
    assert [tensor.device.type for tensor in batch.to("meta")] == ["meta"] * 4
    assert task.name == name
    assert len(task.input_channels) == task.input_size
    assert len(task.output_channels) == task.output_size
    low, high = task.length_range
    task.sample(1, length=(low, high), generator=seeded())
    assert all(length >= high for length in task.test_lengths)
    assert {*task.test_lengths} <= {*task.lengths_to_test(high)}


def test_no_test_is_longer_than_sequences_can_be():
    assert TASKS["key-value-recall"](num_bits=4).lengths_to_test(16) == (16,)
    assert TASKS["two-way-recall"](num_bits=5).lengths_to_test(16) == (16, 24, 32)
    task = ALL_TASKS["shortest-path"](nodes=(5, 8))
    assert (task.lengths_to_test(3), task.lengths_to_test(4), task.longest_test) == ((3, 4), (4,), 4)


def test_sizes_of_the_paper():
    sizes = {name: (TASKS[name]().input_size, TASKS[name]().output_size) for name in TASKS}
    assert sizes == {
        "copy": (9, 8),
        "repeat-copy": (10, 9),
        "associative-recall": (8, 6),
        "dynamic-ngrams": (1, 1),
        "priority-sort": (10, 8),
        "successive-copy": (9, 8),
        "key-value-recall": (13, 6),
        "two-way-recall": (14, 6),
    }
    assert (RepeatCopy(num_bits=6).input_size, RepeatCopy(num_bits=6).output_size) == (8, 7)


@pytest.mark.parametrize("name", TASKS)
def test_the_generator_decides_everything(name):
    before = torch.get_rng_state()
    _, first = draw(name, seed=3)
    _, same = draw(name, seed=3)
    _, other = draw(name, seed=4)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert first.input.shape != other.input.shape or not torch.equal(first.input, other.input)
    generator = seeded(3)
    one, two = (TASKS[name]().sample(7, length=20, generator=generator) for _ in range(2))
    assert not torch.equal(one.input, two.input)
    assert len({row.numpy().tobytes() for row in one.input}) == 7


@pytest.mark.parametrize("name", TASKS)
def test_training_draws_what_tests_draw_where_nothing_else_is_said(name):
    task = TASKS[name]()
    drawn = [draw(3, length=20, generator=seeded(1)) for draw in (task.sample, task.training_batch)]
    assert all(torch.equal(a, b) for a, b in zip(*drawn, strict=True))


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (4, 7)])
def test_copies_of_one_length_are_those_of_a_range_of_one(batch: int, length: int) -> None:
    task = Copy(blanks=0.5)
    drawn = [task.training_batch(batch, length=one, generator=seeded()) for one in (length, (length, length))]
    for one, other in zip(*drawn, strict=True):
        assert torch.equal(one, other)
        assert one.dtype == other.dtype


def test_copy_has_vectors_of_zeros_in_training_alone():
    task = Copy(blanks=0.25)
    zero = [
        draw(2000, length=10, generator=seeded(2)).input[:, :10, :8].sum(-1) == 0
        for draw in (task.sample, task.training_batch)
    ]
    assert torch.equal(
        task.sample(3, length=9, generator=seeded()).input, Copy().sample(3, length=9, generator=seeded()).input
    )
    assert zero[0].float().mean() < 0.01
    many = zero[1].sum(1) > 1
    assert abs(many.float().mean() - 0.25) < 0.03
    assert abs(zero[1][many].float().mean() - 0.5) < 0.03
    batch = Copy(blanks=1).training_batch(5, length=(2, 9), generator=seeded())
    for row, steps in enumerate(batch.lengths.tolist()):
        given, answer = batch.input[row, : steps // 2, :8], batch.target[row, steps // 2 + 1 : steps]
        assert torch.equal(given, answer)
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="blanks must be between 0 and 1"):
            Copy(blanks=wrong)


@pytest.mark.parametrize("kind", [Copy, RepeatCopy, AssociativeRecall, PrioritySort])
@pytest.mark.parametrize("num_bits", [1, 5])
def test_num_bits(kind, num_bits):
    batch = kind(num_bits=num_bits).sample(4, length=5, generator=seeded())
    assert batch.input.shape[2] - num_bits == (1 if kind is Copy else 2)
    assert batch.target.shape[2] - num_bits == (1 if kind is RepeatCopy else 0)


@pytest.mark.parametrize("name", sorted(set(TASKS) - {"dynamic-ngrams"}))
def test_bits_are_fair_and_independent(name):
    num_bits = 6 if "recall" in name else 8
    _, batch = draw(name, batch_size=500, length=10)
    skip = 1 if name == "associative-recall" else 0
    bits = batch.input[:, skip : skip + 3, :num_bits].double().flatten(1).numpy()  # three vectors of each row
    assert (abs(bits.mean(0) - 0.5) < 5 * 0.5 / math.sqrt(500)).all()
    correlation = np.corrcoef(bits.T)[np.triu_indices(bits.shape[1], 1)]
    assert (abs(correlation) < 5 / math.sqrt(500)).all()


# Repeat copy


def test_repeats_reach_both_ends_and_follow_the_argument():
    task = RepeatCopy()
    batch = task.sample(2000, length=2, generator=seeded())
    counts = np.bincount([read_repeats(given) for given, _, _ in rows_of(batch)], minlength=11)
    assert counts[0] == 0
    assert len(counts) == 11
    assert (abs(counts[1:] - 200) < 5 * math.sqrt(200)).all()
    for repeats, expected in ((3, {3}), ((20, 21), {20, 21}), ((1, 2), {1, 2})):
        batch = task.sample(50, length=(1, 4), repeats=repeats, generator=seeded())
        for given, _, mask in rows_of(batch):
            length, answer = read_repeat_copy(given)
            assert mask.sum() == len(answer) == length * read_repeats(given) + 1
        assert {read_repeats(given) for given, _, _ in rows_of(batch)} == expected


@pytest.mark.parametrize("training", [(1, 10), (2, 3), (4, 4)])
def test_repeat_counts_are_normalised_over_the_training_range(training):
    task = RepeatCopy(repeats=training)
    low, high = training
    seen = []
    for repeats in range(low, high + 1):
        batch = task.sample(1, length=3, repeats=repeats, generator=seeded())
        seen.append(float(batch.input[0, 3, 9]))
    assert np.mean(seen) == pytest.approx(0, abs=1e-6)
    assert np.var(seen) == pytest.approx(0 if low == high else 1, abs=1e-6)
    assert seen == sorted(seen)


def test_lengths_and_repeats_are_drawn_apart():
    batch = RepeatCopy().sample(2000, length=(1, 10), generator=seeded())
    drawn = [(read_repeat_copy(given)[0], read_repeats(given)) for given, _, _ in rows_of(batch)]
    assert abs(np.corrcoef(np.array(drawn).T)[0, 1]) < 5 / math.sqrt(2000)


# Successive copy


def copies_in(given):
    """The lengths of all copies."""
    ends, start, lengths = np.flatnonzero(given[:, 8]), 0, []
    for end in ends:
        lengths.append(int(end - start))
        start = 2 * end - start + 1
    return lengths


def test_copies_are_as_many_and_as_long_as_said_each_for_itself():
    task = TASKS["successive-copy"](repeats=(2, 5))
    rows = [copies_in(given) for given, _, _ in rows_of(task.sample(2000, length=(1, 4), generator=seeded()))]
    counts = np.bincount([len(row) for row in rows], minlength=6)
    assert not counts[:2].any()
    assert (abs(counts[2:] - 500) < 5 * math.sqrt(500)).all()
    pairs = np.zeros((5, 5))
    for first, second, *_ in rows:
        pairs[first, second] += 1
    assert (abs(pairs[1:, 1:] - 125) < 5 * math.sqrt(125)).all()
    batch = task.sample(3, length=2, repeats=9, generator=seeded())
    assert [copies_in(given) for given, _, _ in rows_of(batch)] == [[2] * 9] * 3


# Associative recall and priority sort


def test_every_item_but_the_last_is_queried():
    _, batch = draw("associative-recall", batch_size=2000, length=6)
    counts = np.bincount([read_recall(given)[1] for given, _, _ in rows_of(batch)], minlength=6)
    assert counts[5] == 0
    assert (abs(counts[:5] - 400) < 5 * math.sqrt(400)).all()


def test_items_of_another_size():
    batch = AssociativeRecall(vectors_per_item=2, num_bits=30).sample(20, length=4, generator=seeded())
    for given, target, mask in rows_of(batch):
        assert np.flatnonzero(given[:, 30]).tolist() == [0, 3, 6, 9]
        assert np.flatnonzero(given[:, 31]).tolist() == [12, 15]
        assert np.flatnonzero(mask).tolist() == [16, 17]
        asked = [k for k in range(3) if (given[3 * k + 1 : 3 * k + 3, :30] == given[13:15, :30]).all()]
        assert (target[16:] == given[3 * asked[0] + 4 : 3 * asked[0] + 6, :30]).all()


def test_priorities_are_uniform():
    _, batch = draw("priority-sort", batch_size=200, length=20)
    ordered = np.sort(batch.input[:, :20, 8].flatten().numpy())
    assert -1 <= ordered[0] < -0.99
    assert 0.99 < ordered[-1] <= 1
    distance = abs((ordered + 1) / 2 - (np.arange(4000) + 0.5) / 4000).max()  # Kolmogorov and Smirnov's
    assert distance < 1.95 / math.sqrt(4000)  # exceeded by one sample in 1000


def test_the_paper_wants_sixteen_of_twenty():
    _, batch = draw("priority-sort", length=20)
    assert batch.mask.sum(1).tolist() == [16] * 7
    assert [int(draw("priority-sort", 1, length=n)[1].mask.sum()) for n in range(1, 11)] == [
        *(1, 2, 2, 3, 4),
        *(5, 6, 6, 7, 8),
    ]


# Key-value recall


@pytest.mark.parametrize("name", ["key-value-recall", "two-way-recall"])
def test_keys_differ_and_are_asked_for_in_any_order(name):
    task = TASKS[name](num_bits=2)
    batch = task.sample(2000, length=4, generator=seeded())
    firsts = np.zeros((4, 4))
    for given, _, _ in rows_of(batch):
        keys = [int(2 * row[0] + row[1]) for row in given[:4]]
        assert sorted(keys) == [0, 1, 2, 3]
        firsts[keys[0], int(2 * given[5, 0] + given[5, 1])] += 1
    assert (abs(firsts - 125) < 5 * math.sqrt(125)).all()
    with pytest.raises(ValueError, match="length must be at most 4, the number of keys of 2 bits, got 5"):
        task.sample(1, length=5, generator=seeded())


# Dynamic N-grams


def posterior_mean(zeros, ones):
    """E[p | counts] under Beta(1/2, 1/2), by quadrature with the weight 1 / sqrt(p (1 - p))."""
    nodes, weights = np.polynomial.chebyshev.chebgauss(256)
    p = (nodes + 1) / 2
    likelihood = weights * p**ones * (1 - p) ** zeros
    return float((likelihood * p).sum() / likelihood.sum())


def bits_of(given, target):
    return [int(bit) for bit in [*given[:, 0], target[-1, 0]]]


def test_optimal_probabilities_are_posterior_means():
    task = DynamicNGrams()
    batch = task.sample(6, length=(2, 200), generator=seeded(8))
    answers = task.optimal_probabilities(batch)
    assert answers.shape == batch.target.shape
    for answer, (given, target, _) in zip(answers[..., 0].tolist(), rows_of(batch), strict=True):
        bits, seen, expected = bits_of(given, target), {}, []
        for t in range(1, len(bits)):
            if t < 5:
                expected.append(0.5)
                continue
            counts = seen.setdefault(tuple(bits[t - 5 : t]), [0, 0])
            expected.append(posterior_mean(*counts))
            counts[bits[t]] += 1
        expected += [0.5] * (len(answer) - len(expected))
        np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_optimum_of_the_paper():
    task = DynamicNGrams()
    batch = task.sample(1500, length=200, generator=seeded())
    scores = task.metrics(torch.logit(task.optimal_probabilities(batch)), batch)
    bits = scores["bits"].double()
    assert scores["scored_bits"].unique().tolist() == [199]
    error = float(bits.std()) / math.sqrt(1500)
    # 132.30 +- 0.11: a simulation of 100 000 sequences in numpy, apart from this code
    assert abs(float(bits.mean()) - 132.30) < 4 * math.hypot(error, 0.11)
    # 131.61: the paper's figure 13, itself a mean over 1000 sequences
    assert abs(float(bits.mean()) - 131.61) < 4 * math.hypot(error, float(bits.std()) / math.sqrt(1000))


def test_sources_are_six_grams_with_beta_probabilities():
    """Each bit must be a coin with the posterior mean given all before it, so that sums are martingales."""
    batch = DynamicNGrams().sample(600, length=200, generator=seeded(2))
    outcomes, firsts, flips = {}, {}, {k: [] for k in range(5)}
    opening = batch.input[:, :5, 0].numpy()
    for given, target, _ in rows_of(batch):
        bits, seen, first = bits_of(given, target), {}, {}
        for t in range(5, len(bits)):
            context = tuple(bits[t - 5 : t])
            counts = seen.setdefault(context, [0, 0])
            outcomes.setdefault(tuple(counts), []).append(bits[t])
            if context not in first:
                first[context] = bits[t]
                firsts.setdefault(context, []).append(bits[t])
                for k in range(5):  # a source that ignored bit k would answer its neighbour's way
                    neighbour = (*context[:k], 1 - context[k], *context[k + 1 :])
                    flips[k] += [first[neighbour] == bits[t]] if neighbour in first else []
            counts[bits[t]] += 1

    def surprise(values, p):
        return abs(np.sum(values) - len(values) * p) / math.sqrt(len(values) * p * (1 - p))

    for (zeros, ones), values in outcomes.items():
        if zeros + ones <= 4:
            assert len(values) > 100
            assert surprise(values, posterior_mean(zeros, ones)) < 4.5
    assert len(firsts) == 32
    assert all(surprise(values, 0.5) < 4.5 for values in [*firsts.values(), *flips.values(), *opening.T])


# Loss and metrics


def slow_scores(logits, batch):
    """(nats, wrong, scored) of each row by loops over every bit."""
    for row in range(len(logits)):
        nats, wrong, scored = 0.0, 0, 0
        for t in range(logits.shape[1]):
            if not batch.mask[row, t]:
                continue
            for logit, bit in zip(logits[row, t].tolist(), batch.target[row, t].tolist(), strict=True):
                p = 1 / (1 + math.exp(-logit))
                nats -= math.log(p if bit else 1 - p)
                wrong += (p > 0.5) != bool(bit)
                scored += 1
        yield nats, wrong, scored


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_and_metrics_against_loops(name, dtype):
    task, batch = draw(name)
    logits = random_logits(batch, dtype=dtype).requires_grad_()
    nats, wrong, scored = zip(*slow_scores(logits.detach(), batch), strict=True)
    loss, scores = task.loss(logits, batch), task.metrics(logits, batch)
    assert loss.dtype == dtype
    assert loss.item() == pytest.approx(np.mean(nats), rel=1e-5)
    assert list(scores) == ["bits", "wrong_bits", "scored_bits", "exact"]
    np.testing.assert_allclose(scores["bits"], np.array(nats) / np.log(2), rtol=1e-5)
    assert scores["wrong_bits"].tolist() == list(wrong)
    assert scores["scored_bits"].tolist() == list(scored)
    assert scores["exact"].tolist() == [count == 0 for count in wrong]
    assert not any(score.requires_grad for score in scores.values())
    (gradient,) = torch.autograd.grad(loss, logits)
    assert not gradient[~batch.mask].any()
    expected = (logits.detach().sigmoid() - batch.target)[batch.mask] / len(logits)
    np.testing.assert_allclose(gradient[batch.mask], expected, atol=1e-6)


@pytest.mark.parametrize("name", TASKS)
def test_exact_is_lost_by_a_single_scored_bit(name):
    task, batch = draw(name)
    right = 20 * (2 * batch.target - 1)
    right[~batch.mask] *= -1  # wrong wherever nothing is scored
    assert task.metrics(right, batch)["exact"].all()
    last = int(batch.mask[4].nonzero().max())
    for value in (-right[4, last, 0].item(), 0.0, math.nan):
        almost = right.clone()
        almost[4, last, 0] = value
        scores = task.metrics(almost, batch)
        assert scores["wrong_bits"].tolist() == [0, 0, 0, 0, 1, 0, 0]
        assert scores["exact"].tolist() == [True] * 4 + [False] + [True] * 2


def test_undecided_logits_cost_a_bit_each():
    task, batch = draw("repeat-copy")
    scores = task.metrics(torch.zeros_like(batch.target), batch)
    torch.testing.assert_close(scores["bits"], scores["scored_bits"].float())
    assert torch.equal(scores["wrong_bits"], scores["scored_bits"])


def test_half_precision_logits_are_summed_in_float32():
    task, batch = draw("copy", length=20)
    logits = random_logits(batch).bfloat16()
    exact = task.loss(logits.double(), batch).item()
    assert task.loss(logits, batch).item() == pytest.approx(exact, rel=1e-5)


# Drawing


def read_drawing(text, steps):
    """{label: characters} of a drawing, its blocks joined."""
    rows = {}
    for block in text.split("\n\n")[1:]:
        ruler, *lines = block.splitlines()
        if ruler.startswith("step"):
            start = int(ruler.split()[1])
            margin = ruler.index(str(start))
        else:  # the values below the drawing
            lines = []
        for line in lines:
            row = rows.setdefault(line[:margin].strip(), [" "] * steps)
            row[start : start + len(line) - margin] = line[margin:]
    return {label: "".join(row) for label, row in rows.items()}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("width", [40, 80])
def test_render_shows_the_example(name, width):
    task, batch = draw(name, length=30)
    logits = random_logits(batch)
    text = task.render(batch, 2, logits, width)
    given, target, mask = list(rows_of(batch))[2]
    wrong = (logits[2, : len(given)].numpy() > 0) != target
    assert max(map(len, text.splitlines())) <= width
    title = f"{name}: {len(given)} steps, {mask.sum() * task.output_size} scored bits"
    assert text.split("\n\n")[0].replace("\n", " ") == f"{title}, {wrong[mask].sum()} predicted wrong"
    expected = {"scored": "".join("^" if scored else " " for scored in mask)}
    for k, channel in enumerate(task.input_channels):
        marks = ".+-" if channel in ("repeats", "priority") else ".1"
        expected[f"input {channel}"] = "".join(marks[int(np.sign(value))] for value in given[:, k])
    for k, channel in enumerate(task.output_channels):
        bits = ["01"[int(bit)] for bit in target[:, k]]
        guess = ["x" if bad else bit for bad, bit in zip(wrong[:, k], bits, strict=True)]
        for kind, marks in (("target", bits), ("predicted", guess)):
            expected[f"{kind} {channel}"] = "".join(
                mark if scored else " " for mark, scored in zip(marks, mask, strict=True)
            )
    assert read_drawing(text, len(given)) == expected
    plain = task.render(batch, 2, width=width)
    assert "predicted" not in plain
    assert plain.split("\n\n")[0].replace("\n", " ") == title


def test_render_gives_real_values_and_leaves_padding_out():
    task, batch = draw("priority-sort", length=(1, 20))
    row = int(batch.lengths.argmin())
    text = task.render(batch, row)
    assert f"{int(batch.lengths[row])} steps" in text
    for step in range(int(batch.lengths[row]) - int(batch.mask[row].sum()) - 1):
        assert f"{step}:{batch.input[row, step, 8]:+.3f}" in text
    repeat = RepeatCopy(repeats=(5, 5))
    assert "repeats by step is 0" in repeat.render(repeat.sample(1, length=1, generator=seeded()))


# Arguments


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "length must be a whole number of at least [12], got 0"),
        ({"length": True}, "length .* got True"),
        ({"length": 5.0}, "length .* got 5.0"),
        ({"length": "5"}, "length .* got '5'"),
        ({"length": None}, "length .* got None"),
        ({"length": (0, 5)}, "length .* got 0"),
        ({"length": (6, 5)}, r"low <= high, got \(6, 5\)"),
        ({"length": (5,)}, r"pair \(low, high\), got \(5,\)"),
        ({"length": (2, 5.5)}, "length .* got 5.5"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": True}, "batch_size .* got True"),
        ({"batch_size": 2.0}, "batch_size .* got 2.0"),
        ({"generator": None}, "generator must be a torch.Generator, got None"),
    ],
)
def test_unusable_arguments_of_sample(name, arguments, message):
    arguments = {"batch_size": 3, "length": 5, "generator": seeded(), **arguments}
    with pytest.raises(ValueError, match=message):
        TASKS[name]().sample(**arguments)


@pytest.mark.parametrize("name", ["associative-recall", "dynamic-ngrams"])
def test_these_start_at_two(name):
    with pytest.raises(ValueError, match="length must be a whole number of at least 2, got 1"):
        draw(name, length=1)


def test_unusable_arguments_of_constructors():
    for kind in (Copy, RepeatCopy, AssociativeRecall, PrioritySort):
        for value in (0, -1, True, 8.0, "8"):
            with pytest.raises(ValueError, match=f"num_bits must be a whole number .* got {value!r}"):
                kind(num_bits=value)
    with pytest.raises(ValueError, match="vectors_per_item must be a whole number of at least 1, got 0"):
        AssociativeRecall(vectors_per_item=0)
    with pytest.raises(ValueError, match=r"repeats must be a pair .* got \(3, 2\)"):
        RepeatCopy(repeats=(3, 2))
    with pytest.raises(ValueError, match="repeats must be a whole number of at least 1, got 0"):
        RepeatCopy().sample(1, length=1, repeats=0, generator=seeded())


def test_unusable_arguments_of_scores_and_drawings():
    task, batch = draw("copy", length=5)
    short = torch.zeros(7, 10, 8)
    for use in (task.loss, task.metrics, lambda logits, batch: task.render(batch, 0, logits)):
        with pytest.raises(ValueError, match=r"shape \(7, 11, 8\), got \(7, 10, 8\)"):
            use(short, batch)
        with pytest.raises(ValueError, match=r"floating point, got torch.int64"):
            use(batch.target.long(), batch)
    for index in (7, -1, 0.0, True):
        with pytest.raises(ValueError, match=f"index must be a whole number from 0 to 6, got {index}"):
            task.render(batch, index)
    with pytest.raises(ValueError, match="width must be a whole number of at least 40, got 39"):
        task.render(batch, width=39)


# The package and its command line


def test_imports_and_file_names():
    for path in (ROOT / "tasks").rglob("*.py"):
        assert path.stem not in sys.stdlib_module_names
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            for name in names:
                assert name.split(".")[0] in {*sys.stdlib_module_names, "torch", "numpy", "tasks"}, path


def test_command_line_in_its_own_process():
    shown = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tasks", "show", "copy", "--length", "3"],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wrong, cut = Forked("tasks", "show", "cpoy"), Forked("tasks", "show", "dynamic-ngrams")
    cut.stdout.close()  # before anything is written
    text, errors = shown.communicate(timeout=60)
    assert (shown.returncode, errors) == (0, "")
    assert text.startswith("copy: 7 steps, 24 scored bits\n")
    text, errors = wrong.communicate(timeout=60)
    assert (wrong.returncode, text) == (2, "")
    assert errors == "python -m tasks show: argument NAME: no task is called 'cpoy'; the nearest is 'copy'\n"
    assert cut.stderr.read() == ""
    assert cut.wait(timeout=60) == 1
    cut.stderr.close()


def test_list_and_help(capsys):
    main(["list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", *ALL_TASKS, "babi"]
    assert max(map(len, lines)) <= 80
    main([])
    printed = capsys.readouterr().out
    assert printed.startswith("usage: python -m tasks")
    assert "list" in printed
    assert "show" in printed


@pytest.mark.parametrize("name", TASKS)
def test_show(name, capsys):
    outputs = []
    for arguments in ([], ["--seed", "0"], ["--seed", "1"], ["--length", "4"]):
        main(["show", name, *arguments])
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert outputs[0] != outputs[2]
    assert "scored" in outputs[3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show"], "NAME"),
        (["show", ""], "nearest is"),
        (["show", "associative_recall"], "'associative-recall'"),
        (["show", "copy", "--length", "0"], "from 1 to 1000, got '0'"),
        (["show", "copy", "--length", "-3"], "got '-3'"),
        (["show", "copy", "--length", "five"], "got 'five'"),
        (["show", "copy", "--length", "1000000000"], "got '1000000000'"),
        (["show", "copy", "--length", "²"], "got '²'"),
        (["show", "associative-recall", "--length", "1"], "length must be a whole number of at least 2"),
        (["show", "copy", "--seed", "-1"], "--seed"),
        (["show", "copy", "--seed", "9" * 5000], "--seed"),
        (["show", "copy", "--sead", "1"], "--sead"),
        (["show", "copy", "copy"], "unrecognized arguments: copy"),
        (["draw"], "'draw'"),
    ],
)
def test_bad_command_lines_end_in_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert printed.out == ""
    assert printed.err.startswith("python -m tasks")
    assert printed.err.count("\n") == 1
    assert message in printed.err
