"""Look-up in context and what stands beside it, against slow readings of their input, sharing nothing with `tasks`."""

import math
from collections import Counter
from itertools import combinations

import pytest
import torch

from tasks import MQAR, Compression, FuzzyRecall, InContextRecall, Memorization, Needles, NoisyRecall
from tests.batches import random_logits, rows_of, seeded
from tests.test_formal_tasks import told
from tests.test_recall_tasks import check_uniform

# Many queries in one sequence


def read_mqar(task, names):
    """From the input alone: the values that are due, by step."""
    pairs = dict(zip(names[: 2 * task.pairs : 2], names[1 : 2 * task.pairs : 2], strict=True))
    assert len(pairs) == len({*pairs.values()}) == task.pairs
    assert {name[0] for name in pairs} == {"k"}
    return {step: pairs[name] for step, name in enumerate(names) if step >= 2 * task.pairs and name in pairs}


@pytest.mark.parametrize("task", [MQAR(), MQAR(1, 4), MQAR(16, 64, 1.0), MQAR(8, 8192)])
def test_each_key_is_asked_once_and_its_value_is_due(task):
    for length in (task.shortest, task.shortest + 1, (task.shortest, 80)):
        for names, answers in told(task, task.sample(20, length=length, generator=seeded())):
            assert answers == read_mqar(task, names)
            assert len(answers) == task.pairs
            assert all(step % 2 == 0 for step in answers)
            assert Counter(names)["."] == len(names) - 3 * task.pairs


def test_random_tokens_in_place_of_blanks():
    task = MQAR(4, 32, filler="random")
    seen = Counter()
    for names, answers in told(task, task.sample(200, length=40, generator=seeded())):
        expected = read_mqar(task, names)
        assert len(answers) == 4
        assert all(expected[step] == answer for step, answer in answers.items())
        seen.update(name for step, name in enumerate(names) if step >= 8 and step not in answers)
    check_uniform(seen, 32)


def chances(power, places, taken):
    """How likely each place is to be among those that so many keys take, one after the other."""
    weights = [(place + 1) ** (power - 1) for place in range(places)]

    def after(free, left):
        if not left:
            return [0.0] * places
        total, found = sum(weights[one] for one in free), [0.0] * places
        for one in free:
            rest = after(free - {one}, left - 1)
            for place in range(places):
                found[place] += weights[one] / total * (rest[place] + (place == one))
        return found

    return after(frozenset(range(places)), taken)


@pytest.mark.parametrize("power", [0.01, 1.0])
def test_keys_are_asked_by_the_law_of_the_paper(power):
    task, rows = MQAR(2, 16, power), 6000
    counts, first = Counter(), Counter()
    for names, answers in told(task, task.sample(rows, length=16, generator=seeded(1))):
        counts.update((step - 4) // 2 for step in answers)
        first[(names[4:].index(names[0])) // 2] += 1
    assert task.input_channels[1] == "k0"
    for place, chance in enumerate(chances(power, 6, 2)):
        assert counts[place] / rows == pytest.approx(chance, abs=5 * math.sqrt(chance * (1 - chance) / rows))
    # The first key has its draw before the second.
    for place, chance in enumerate(chances(power, 6, 1)):
        assert first[place] / rows == pytest.approx(chance, abs=5 * math.sqrt(chance * (1 - chance) / rows))


def test_a_large_power_asks_last_without_losing_its_law():
    task, rows, counts = MQAR(1, 16, 32.0), 2000, Counter()
    counts.update(((task.sample(rows, length=2 + 2 * 64, generator=seeded()).mask.nonzero()[:, 1] - 2) // 2).tolist())
    for place, chance in enumerate(chances(task.power, 64, 1)):
        assert counts[place] / rows == pytest.approx(chance, abs=5 * math.sqrt(chance * (1 - chance) / rows) + 1e-9)


def test_keys_and_values_are_uniform():
    rows = told(MQAR(2, 16), MQAR(2, 16).sample(2000, length=8, generator=seeded(3)))
    check_uniform(Counter(name for names, _ in rows for name in names[:4:2]), 7)
    check_uniform(Counter(name for names, _ in rows for name in names[1:4:2]), 8)


# Recall where keys come again, of one token and of several


def read_recall(names):
    known, answers = {}, {}
    for step in range(0, len(names), 2):
        if names[step][0] == "n":
            assert names[step + 1][0] == "n"
            continue
        assert names[step][0] == "k"
        if names[step] in known:
            answers[step] = known[names[step]]
        if step + 1 < len(names):
            assert known.setdefault(names[step], names[step + 1]) == names[step + 1]
    return answers


@pytest.mark.parametrize("task", [InContextRecall(), InContextRecall(2, 3), NoisyRecall(), NoisyRecall(3, 3, 0.9, 1)])
def test_the_value_of_a_key_that_came_before_is_due(task):
    noise, pairs = 0, 0
    for length in (2, 3, (2, 40)):
        for names, answers in told(task, task.sample(60, length=length, generator=seeded())):
            assert len(names) % 2
            assert answers == read_recall(names)
            assert len(names) - 1 in answers
            if len(names) > 20:
                pairs += (len(names) + 1) // 2 - 2
                noise += sum(name[0] == "n" for name in names) // 2
    assert noise / pairs == pytest.approx(task.noise, abs=0.05)


def test_the_last_key_is_any_that_came_before():
    task, counts = InContextRecall(3, 2), Counter()
    for names, _ in told(task, task.sample(3000, length=3, generator=seeded(1))):
        counts[names[0] == names[2], names[4] == names[0]] += 1
    assert counts[True, True] == pytest.approx(1000, abs=5 * math.sqrt(1000))
    assert counts[False, True] == pytest.approx(1000, abs=5 * math.sqrt(1000))
    assert counts[False, False] == pytest.approx(1000, abs=5 * math.sqrt(1000))


def words_of(names):
    """Keys and values, (key, value, step of the value's first token)."""
    found, start = [], 0
    while start < len(names):
        middle = next(step for step in range(start, len(names) + 1) if step == len(names) or names[step][0] == "v")
        end = next(step for step in range(middle, len(names) + 1) if step == len(names) or names[step][0] == "k")
        found.append((tuple(names[start:middle]), tuple(names[middle:end]), middle))
        start = end
    return found


@pytest.mark.parametrize("variant", [{}, {"longest_keys": True}])
@pytest.mark.parametrize("task", [FuzzyRecall(), FuzzyRecall(3, 4, 2), FuzzyRecall(2, 2, 1)])
def test_keys_and_values_of_several_tokens(task, variant):
    sizes, repeated = Counter(), 0
    for length in (task.shortest, task.shortest + 1, (task.shortest, 90)):
        batch = task.sample(60, length=length, generator=seeded(), **variant)
        for names, answers in told(task, batch):
            known, expected = {}, {}
            *pairs, (last, shown, step) = words_of(names)
            for key, value, first in pairs:
                assert len(set(key)) == len(key) <= task.most
                assert 1 <= len(value) <= task.most
                sizes.update([len(key)])
                if key in known:
                    repeated += 1
                    expected |= {first - 1 + place: token for place, token in enumerate(value)}
                assert known.setdefault(key, value) == value
            assert known[last][:-1] == shown
            expected |= {step - 1 + place: token for place, token in enumerate(known[last])}
            assert answers == expected
        assert (batch.lengths <= (length if isinstance(length, int) else 90)).all()
        assert (batch.lengths > 0).all()
    assert repeated
    assert set(sizes) == ({task.most} if variant else set(range(1, task.most + 1)))


def test_long_sequences_are_filled():
    lengths = FuzzyRecall().sample(50, length=128, generator=seeded()).lengths
    assert lengths.min() > 128 - 2 * 6
    assert lengths.max() == 128


def test_memory_grows_with_the_length_not_with_its_square():
    assert FuzzyRecall().sample(1, length=400_000, generator=seeded()).lengths.item() > 399_900


def test_keys_are_uniform_by_their_sizes_and_then_their_tokens():
    task, seen, sizes = FuzzyRecall(3, 3, 2), Counter(), Counter()
    for names, _ in told(task, task.sample(3000, length=task.shortest, generator=seeded(2))):
        key, value, _ = words_of(names)[0]
        sizes.update([(len(key), len(value))])
        seen.update([key] if len(key) == 2 else [])
    check_uniform(sizes, 4)
    check_uniform(seen, 6)


# Compression, and what is learned by heart


def test_all_tokens_are_due_at_the_last_step():
    task = Compression(4, 9)
    batch = task.sample(300, length=(1, 9), generator=seeded())
    seen = Counter()
    for given, target, mask in rows_of(batch):
        assert (given.sum(1) == 1).all()
        names = [task.input_channels[place] for place in given.argmax(1)]
        assert names[-1] == "!"
        assert mask.tolist() == [False] * (len(names) - 1) + [True]
        answers = [task.output_channels[place] for place in target[-1].nonzero()[0]]
        assert answers == [f"{name}{place}" for place, name in enumerate(names[:-1])]
        seen.update(names[:-1])
    check_uniform(seen, 4)
    with pytest.raises(ValueError, match="length must be at most 9, the most that are answered, got 10"):
        task.sample(1, length=10, generator=seeded())


def test_answers_of_one_step_are_counted_one_by_one():
    task = Compression(4, 9)
    batch = task.sample(40, length=(1, 9), generator=seeded())
    right = 9 * batch.target
    assert task.summarize(task.metrics(right, batch))["right_share"] == 1
    logits = random_logits(batch) + right * torch.bernoulli(torch.full((40, 1, 1), 0.6), generator=seeded())
    wrong, nats, exact, count = 0, 0.0, 0, 0
    for row, (given, *_) in enumerate(rows_of(batch)):
        tokens = given[:-1].argmax(1).tolist()
        told = logits[row, len(tokens)].view(9, 4).log_softmax(1)
        missed = [int(told[place].argmax()) != token for place, token in enumerate(tokens)]
        wrong, exact, count = wrong + sum(missed), exact + (not any(missed)), count + len(tokens)
        nats -= sum(float(told[place, token]) for place, token in enumerate(tokens))
    scores = task.summarize(task.metrics(logits, batch))
    assert 0 < exact < 40
    assert scores == {
        "exact_share": pytest.approx(exact / 40),
        "error_percent": pytest.approx(100 * wrong / count),
        "right_share": pytest.approx(1 - wrong / count),
        "nats_per_step": pytest.approx(nats / count),
    }
    even = task.summarize(task.metrics(torch.zeros_like(logits), batch))
    assert task.baselines(9)["baseline_nats_per_step"] == pytest.approx(even["nats_per_step"])
    text = task.render(batch, 2, logits)
    assert text.startswith(f"compression: {int(batch.lengths[2])} steps, 1 scored")
    assert "predicted" in text


def test_one_table_holds_for_all_sequences():
    table, seen = {}, Counter()
    for names, answers in told(Memorization(9), Memorization(9).sample(200, length=(1, 20), generator=seeded())):
        assert set(names[1::2]) == {"?"}
        assert list(answers) == list(range(1, len(names), 2))
        for key, value in zip(names[::2], answers.values(), strict=True):
            assert table.setdefault(key, value) == value
            seen[key] += 1
    check_uniform(seen, 9)
    assert len(set(table.values())) == 9
    other = Memorization(9, data_seed=1)
    assert any(
        table[key] != value
        for names, answers in told(other, other.sample(20, length=9, generator=seeded()))
        for key, value in zip(names[::2], answers.values(), strict=True)
    )


# Needles


@pytest.mark.parametrize("task", [Needles(), Needles(1, noise=1), Needles(5, 3, 2), Needles(2, 2, 4), Needles(26)])
def test_needles_are_found(task):
    for length in (task.shortest, task.shortest + 1, (task.shortest, 90)):
        for names, answers in told(task, task.sample(40, length=length, generator=seeded())):
            end = names.index("?")
            hay = {name: names[step + 1 : step + 1 + task.values] for step, name in enumerate(names) if step < end}
            needles = {key: values for key, values in hay.items() if key.islower()}
            assert len(needles) == task.needles
            expected, step = {}, end
            while step < len(names):
                assert names[step] == "?"
                assert names[step + 2 : step + 1 + task.values] == ["-"] * (task.values - 1)
                expected |= {step + 1 + place: value for place, value in enumerate(needles[names[step + 1]])}
                step += 1 + task.values
            assert answers == expected
            assert len(answers) == task.queries * task.values
            assert sum(name.isupper() for name in names) == end - task.needles * (1 + task.values)
            assert len({names[step] for step in answers if names[step] != "-"}) == task.queries


def test_needles_stand_wherever_they_do_not_overlap():
    task, places, asked = Needles(2), Counter(), Counter()
    for names, _ in told(task, task.sample(4000, length=7, generator=seeded(4))):
        starts = tuple(step for step, name in enumerate(names[:7]) if name.islower())
        places[starts] += 1
        asked[names.index(names[-1]) == starts[0]] += 1
    assert set(places) == {pair for pair in combinations(range(6), 2) if pair[1] - pair[0] > 1}
    check_uniform(places, 10)
    check_uniform(asked, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MQAR(0), "pairs must be a whole number of at least 1, got 0"),
        (lambda: MQAR(8, 16), "pairs must be at most 7, the keys of a vocabulary of 16, got 8"),
        (lambda: MQAR(power=-1.0), "power must be a number of at least 0, got -1.0"),
        (lambda: MQAR(power=math.nan), "power must be a number of at least 0, got nan"),
        (lambda: MQAR(filler="noise"), "filler must be one of blank, random, got 'noise'"),  # type: ignore[arg-type]
        (lambda: InContextRecall(noise=1.0), "noise must be a share of at least 0 and below 1, got 1.0"),
        (lambda: FuzzyRecall(2), "keys must be a whole number of at least 3, got 2"),
        (lambda: Compression(27), "kinds must be at most 26, got 27"),
        (lambda: Memorization(1), "facts must be a whole number of at least 2, got 1"),
        (lambda: Needles(2, 3), "queries must be at most 2, got 3"),
        (lambda: Needles(27), "needles must be at most 26, got 27"),
        (lambda: MQAR(1, 3), "vocabulary must be a whole number of at least 4, got 3"),
    ],
)
def test_what_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_large_vocabulary_is_no_burden():
    batch = MQAR(16, 8192).sample(64, length=256, generator=seeded())
    assert batch.input.shape == (64, 256)
    assert int(batch.input.max()) > 8000
    assert torch.equal(batch.mask.sum(1), torch.full((64,), 16))
