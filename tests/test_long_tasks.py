"""The tasks of long dependencies against slow readings of their input in plain Python, sharing nothing with `tasks`."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch

from tasks import TASKS, Adding, Agreement, BitTask, CopyMemory, DrawnTask, GraphTask, TemporalOrder
from tasks.__main__ import main
from tests.batches import random_logits, rows_of, seeded

RANGES = {  # lengths to draw from, from the shortest that a task allows
    "adding": (2, 31),
    "copy-memory": (1, 30),
    "temporal-order": (4, 70),
    "agreement": (1, 30),
}
CHANCE = {"copy-memory": 87.5, "temporal-order": 75.0, "agreement": 50.0}
SYMBOLS = [name for name in RANGES if name != "adding"]


def draw(name, batch_size=7, seed=0, length=None):
    task = TASKS[name]()
    return task, task.sample(batch_size, length=length or RANGES[name], generator=seeded(seed))


def spelled(task, rows):
    """The channel that is on at each step of one-hot rows, by its name."""
    assert ((rows == 0) | (rows == 1)).all()
    assert (rows.sum(axis=1) == 1).all()
    return [task.input_channels[step.tolist().index(1)] for step in rows]


# One slow reader a task. From the input alone: its length, and what must be answered at the scored steps, {step: row}.


def read_adding(task, given):
    marked = [step for step, (_, marker) in enumerate(given.tolist()) if marker]
    steps = len(given)
    first, second = marked
    assert first < steps // 2 <= second
    assert ((given[:, 0] >= 0) & (given[:, 0] < 1)).all()
    return steps, {steps - 1: [float(given[first, 0] + given[second, 0])]}


def read_copy_memory(task, given):
    symbols = spelled(task, given)
    gap = symbols.index("|") - 9
    assert symbols[10:] == ["."] * (gap - 1) + ["|"] + ["."] * 10
    answer = ["."] * (gap + 10) + symbols[:10]
    return gap, {step: [float(name == one) for name in "01234567."] for step, one in enumerate(answer)}


def read_temporal_order(task, given):
    symbols = "".join(spelled(task, given))
    steps = len(symbols)
    assert symbols[0] == "E"
    assert symbols[-1] == "B"
    first, second = [step for step, one in enumerate(symbols) if one in "XY"]
    assert max(steps // 10, 1) <= first <= max(steps // 5, 1)
    assert steps // 2 <= second <= steps * 3 // 5
    assert set(symbols[1:-1]) <= set("abcdXY")
    kind = {"XX": "Q", "XY": "R", "YX": "S", "YY": "U"}[symbols[first] + symbols[second]]
    return steps, {steps - 1: [float(name == kind) for name in "QRSU"]}


def parse(words):
    """The nouns of a sentence, by a grammar written down here; the first is the subject."""
    rest = list(words)
    assert rest.pop(0) == "the"
    nouns = [rest.pop(0)]
    while rest and rest[0] in ("near", "behind", "above", "beside"):
        rest.pop(0)
        assert rest.pop(0) == "the"
        while rest[0] in ("old", "small", "green", "famous"):
            rest.pop(0)
        nouns.append(rest.pop(0))
    assert set(rest) <= {"often", "never", "soon", "still"}
    singular = {"key", "door", "table", "letter", "author", "farmer", "river", "garden"}
    assert all(noun.removesuffix("s") in singular for noun in nouns)
    return nouns


def read_agreement(task, given):
    words = spelled(task, given)
    plural = parse(words)[0].endswith("s")
    return len(words) - 2, {len(words) - 1: [float(not plural), float(plural)]}


READERS = {
    "adding": read_adding,
    "copy-memory": read_copy_memory,
    "temporal-order": read_temporal_order,
    "agreement": read_agreement,
}


# With tests of their own.
OWN = {"babi-stream", "compression", "glyphs", "in-context-regression", "mini-shrdlu", "nth-farthest"}


def test_all_other_tasks_are_here():
    elsewhere = BitTask | DrawnTask | GraphTask
    assert set(RANGES) == {name for name, kind in TASKS.items() if not issubclass(kind, elsewhere)} - OWN


@pytest.mark.parametrize("name", RANGES)
def test_targets_follow_from_the_input(name):
    task, batch = draw(name, batch_size=300)
    for given, target, mask in rows_of(batch):
        _, answer = READERS[name](task, given)
        assert mask.tolist() == [step in answer for step in range(len(given))]
        for step, row in enumerate(target.tolist()):
            assert row == pytest.approx(answer.get(step, [0] * task.output_size), abs=1e-6)


@pytest.mark.parametrize("name", RANGES)
def test_lengths_reach_both_ends_and_are_uniform(name):
    low, high = RANGES[name]
    task, batch = draw(name, batch_size=1500)
    counts = Counter(READERS[name](task, given)[0] for given, _, _ in rows_of(batch))
    assert set(counts) == set(range(low, high + 1))
    expected = 1500 / (high - low + 1)
    assert all(abs(count - expected) < 5 * math.sqrt(expected) for count in counts.values())


@pytest.mark.parametrize("name", RANGES)
def test_shapes_types_and_one_length(name):
    task, batch = draw(name, length=9)
    assert batch.input.shape == (7, int(batch.lengths.max()), task.input_size)
    assert batch.target.shape == (*batch.mask.shape, task.output_size)
    assert [tensor.dtype for tensor in batch] == [torch.float32, torch.float32, torch.bool, torch.int64]
    assert [READERS[name](task, given)[0] for given, _, _ in rows_of(batch)] == [9] * 7
    again, other = draw(name, length=9)[1], draw(name, seed=1, length=9)[1]
    assert all(map(torch.equal, batch, again))
    assert not torch.equal(batch.input, other.input)
    low = RANGES[name][0]
    for length, least in ((low - 1, low), (0, low), (-1, low)):
        with pytest.raises(ValueError, match=f"length must be a whole number of at least {least}, got {length}"):
            task.sample(2, length=length, generator=seeded())


# What is drawn is drawn evenly


def surprise(count, total, share):
    """How many standard deviations a count is from what is expected."""
    return abs(count - total * share) / math.sqrt(total * share * (1 - share))


def test_markers_and_values_of_adding_are_uniform():
    batch = Adding().sample(4000, length=11, generator=seeded())
    places = Counter(batch.input[..., 1].nonzero()[:, 1].tolist())
    for step in range(11):
        assert surprise(places[step], 4000, 1 / 5 if step < 5 else 1 / 6) < 4.5
    values = batch.input[..., 0].flatten().numpy()
    share = np.histogram(values, bins=20, range=(0, 1))[0]
    assert all(surprise(count, len(values), 1 / 20) < 4.5 for count in share)


def test_symbols_of_copy_memory_and_signals_of_temporal_order_are_uniform():
    batch = CopyMemory().sample(500, length=3, generator=seeded())
    counts = batch.input[:, :10, :8].sum(dim=0)
    assert all(surprise(count, 500, 1 / 8) < 4.5 for count in counts.flatten().tolist())
    batch = TemporalOrder().sample(2000, length=40, generator=seeded())
    assert all(surprise(count, 2000, 1 / 4) < 4.5 for count in batch.target.sum(dim=(0, 1)).tolist())
    places = Counter(batch.input[..., 5:7].sum(dim=-1).nonzero()[:, 1].tolist())
    assert set(places) == {*range(4, 9), *range(20, 25)}
    assert all(surprise(count, 2000, 1 / 5) < 4.5 for count in places.values())
    noise = batch.input[..., 1:5].sum(dim=(0, 1))
    assert all(surprise(count, int(noise.sum()), 1 / 4) < 4.5 for count in noise.tolist())


def test_sentences_are_drawn_as_described():
    """Phrases, the places of the words left over, and every word within its kind."""
    task = Agreement()
    batch = task.sample(2000, length=14, generator=seeded())
    phrases, words, last = Counter(), Counter(), Counter()
    for given, _, _ in rows_of(batch):
        sentence = spelled(task, given)
        nouns = parse(sentence)
        phrases[len(nouns) - 1] += 1
        words.update(sentence)
        if len(nouns) == 5:  # two words are left over for five places
            last[sum(word in ("often", "never", "soon", "still") for word in sentence)] += 1
    assert all(surprise(phrases[count], 2000, 1 / 5) < 4.5 for count in range(5))
    total = sum(last.values())
    for adverbs, share in enumerate((16 / 25, 8 / 25, 1 / 25)):
        assert surprise(last[adverbs], total, share) < 4.5
    kinds = [[word for word in words if word in names] for names in (SINGULARS, PREPOSITIONS, ADJECTIVES, ADVERBS)]
    for kind in kinds:
        total = sum(words[word] for word in kind)
        assert all(surprise(words[word], total, 1 / len(kind)) < 4.5 for word in kind)
    assert [len(kind) for kind in kinds] == [16, 4, 4, 4]


NOUNS = ("key", "door", "table", "letter", "author", "farmer", "river", "garden")
SINGULARS = {*NOUNS, *(f"{noun}s" for noun in NOUNS)}
PREPOSITIONS = {"near", "behind", "above", "beside"}
ADJECTIVES = {"old", "small", "green", "famous"}
ADVERBS = {"often", "never", "soon", "still"}


# Baselines, measured


def summary(task, logits, batch):
    return task.summarize({name: values.double() for name, values in task.metrics(logits, batch).items()})


def test_always_answering_one_has_the_variance_of_the_sum():
    task, batch = draw("adding", batch_size=20000, length=10)
    scores = task.metrics(torch.ones_like(batch.target), batch)
    error = float(scores["squared_error"].std()) / math.sqrt(20000)
    assert task.baselines(10)["baseline_mse"] == pytest.approx(2 / 12)
    assert abs(float(scores["squared_error"].mean()) - 2 / 12) < 4 * error


@pytest.mark.parametrize("length", [1, 20, 100])
def test_blanks_and_then_a_guess_cost_what_the_paper_says(length):
    task, batch = draw("copy-memory", batch_size=100, length=length)
    logits = torch.zeros_like(batch.target)
    logits[:, : length + 10, 8], logits[:, length + 10 :, 8] = 40, -40
    expected = 10 * math.log(8) / (length + 20)
    assert task.baselines(length)["baseline_nats_per_step"] == pytest.approx(expected)
    logits += 1e-3 * random_logits(batch)  # a guess, and no tie
    scores = summary(task, logits, batch)
    assert scores["nats_per_step"] == pytest.approx(expected, rel=1e-3)
    assert surprise(10 * scores["error_percent"], 1000, 7 / 8) < 4.5
    assert task.baselines(500)["baseline_nats_per_step"] == pytest.approx(0.03999, abs=1e-5)


@pytest.mark.parametrize("name", SYMBOLS)
def test_a_guess_is_as_often_wrong_as_the_baseline(name):
    task, batch = draw(name, batch_size=2000, length=12)
    scores = summary(task, random_logits(batch), batch)
    questions = 2000 * (10 if name == "copy-memory" else 1)
    chance = 8 / 9 if name == "copy-memory" else CHANCE[name] / 100  # random logits may say blank, too
    assert surprise(questions * scores["error_percent"] / 100, questions, chance) < 4.5
    assert task.baselines(12)["baseline_error_percent"] == CHANCE[name]
    if name != "copy-memory":
        even = summary(task, torch.zeros_like(batch.target), batch)["nats_per_step"]
        assert task.baselines(12)["baseline_nats_per_step"] == pytest.approx(even)


@pytest.mark.parametrize("length", [2, 5, 8, 12, 25])
def test_the_last_noun_is_as_often_wrong_as_stated(length):
    task, batch = draw("agreement", batch_size=2000, length=length)
    logits, attractors = torch.zeros_like(batch.target), []
    for row, (given, _, _) in enumerate(rows_of(batch)):
        nouns = [noun.endswith("s") for noun in parse(spelled(task, given))]
        logits[row, length + 1, int(nouns[-1])] = 1
        attractors.append(sum(noun != nouns[0] for noun in nouns))
    assert task.metrics(logits, batch)["attractors"].tolist() == attractors
    scores = summary(task, logits, batch)
    share = task.baselines(length)["last_noun_error_percent"] / 100
    phrases = min(length // 3, 4)
    assert share == pytest.approx(phrases / (phrases + 1) / 2)
    if not share:
        assert scores["error_percent"] == 0
        assert set(scores) == {"nats_per_step", "error_percent", "exact_share", "error_percent_0_attractors"}
        return
    assert surprise(20 * scores["error_percent"], 2000, share) < 4.5
    assert scores["error_percent_0_attractors"] == 0
    if phrases == 4:
        assert scores["error_percent_4_attractors"] == 100
    wrong = sum(scores[f"error_percent_{count}_attractors"] * attractors.count(count) for count in {*attractors})
    assert wrong / 2000 == pytest.approx(scores["error_percent"])


# Loss and metrics


def slow_symbol_scores(task, logits, batch):
    """(nats, wrong questions, wrong steps) of each row by loops."""
    for row in range(len(logits)):
        nats, wrong, missed = 0.0, 0, 0
        for step in range(logits.shape[1]):
            if not batch.mask[row, step]:
                continue
            values, right = logits[row, step].tolist(), batch.target[row, step].tolist().index(1)
            nats += math.log(sum(map(math.exp, values))) - values[right]
            bad = any(value >= values[right] for k, value in enumerate(values) if k != right)
            missed += bad
            wrong += bad and not (task.name == "copy-memory" and right == 8)
        yield nats, wrong, missed


@pytest.mark.parametrize("name", SYMBOLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_and_metrics_of_symbols_against_loops(name, dtype):
    task, batch = draw(name)
    logits = random_logits(batch, dtype=dtype).requires_grad_()
    nats, wrong, missed = map(np.array, zip(*slow_symbol_scores(task, logits.detach(), batch), strict=True))
    loss, metrics = task.loss(logits, batch), task.metrics(logits, batch)
    scored = batch.mask.sum(dim=1).numpy()
    assert loss.dtype == dtype
    assert loss.item() == pytest.approx(nats.mean(), rel=1e-5)
    np.testing.assert_allclose(metrics["nats"], nats, rtol=1e-5)
    assert metrics["wrong"].tolist() == wrong.tolist()
    assert task.wrong(logits, batch).sum((1, 2)).tolist() == missed.tolist()
    assert metrics["exact"].tolist() == [count == 0 for count in missed]
    assert metrics["scored_steps"].tolist() == scored.tolist()
    assert metrics["questions"].tolist() == [10 if name == "copy-memory" else 1] * 7
    assert not any(values.requires_grad for values in metrics.values())
    scores = summary(task, logits, batch)
    assert scores["nats_per_step"] == pytest.approx(nats.sum() / scored.sum(), rel=1e-5)
    assert scores["error_percent"] == pytest.approx(100 * wrong.sum() / float(metrics["questions"].sum()))
    assert task.training_score(loss.item(), scored.mean()) == pytest.approx(scores["nats_per_step"], rel=1e-5)
    assert task.curriculum_score(loss.item(), scored.mean()) == task.training_score(loss.item(), scored.mean())
    (gradient,) = torch.autograd.grad(loss, logits)
    assert not gradient[~batch.mask].any()
    expected = (logits.detach().softmax(-1) - batch.target)[batch.mask] / len(logits)
    np.testing.assert_allclose(gradient[batch.mask], expected, atol=1e-6)
    torch.testing.assert_close(task.predict(logits).sum(-1), torch.ones(batch.mask.shape, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_and_metrics_of_adding_against_loops(dtype):
    task, batch = draw("adding")
    logits = random_logits(batch, dtype=dtype).requires_grad_()
    last = [length - 1 for length in batch.lengths.tolist()]
    logits.data[0, last[0]] = batch.target[0, last[0]] + 0.0399
    logits.data[1, last[1]] = batch.target[1, last[1]] - 0.0401
    errors = [float(logits.detach()[row, step, 0] - batch.target[row, step, 0]) for row, step in enumerate(last)]
    loss, metrics = task.loss(logits, batch), task.metrics(logits, batch)
    assert loss.dtype == dtype
    assert loss.item() == pytest.approx(np.square(errors).mean(), rel=1e-5)
    np.testing.assert_allclose(metrics["squared_error"], np.square(errors), rtol=1e-4)
    assert metrics["exact"].tolist() == [abs(error) < 0.04 for error in errors]
    assert task.wrong(logits, batch).sum((1, 2)).tolist() == [abs(error) >= 0.04 for error in errors]
    assert task.spell(batch.target[0, last[:1]]) == f"{float(batch.target[0, last[0], 0]):.3f}"
    assert metrics["exact"].tolist()[:2] == [True, False]
    assert summary(task, logits, batch)["mse"] == pytest.approx(loss.item(), rel=1e-5)
    assert task.training_score(loss.item(), 1.0) == loss.item()
    assert torch.equal(task.predict(logits), logits)
    (gradient,) = torch.autograd.grad(loss, logits)
    np.testing.assert_allclose(gradient[batch.mask][:, 0], 2 * np.array(errors) / 7, rtol=1e-4)
    assert not gradient[~batch.mask].any()


@pytest.mark.parametrize("name", SYMBOLS)
def test_ties_and_nan_are_wrong(name):
    task, batch = draw(name)
    right = 20 * batch.target - 10
    assert task.metrics(right, batch)["exact"].all()
    step = int(batch.mask[4].nonzero().max())
    tied, lost, missed = (right.clone() for _ in range(3))
    tied[4, step] = 1
    lost[4, step, int(batch.target[4, step].argmin())] = math.nan
    missed[4, step] *= -1
    for logits in (tied, lost, missed):
        metrics = task.metrics(logits, batch)
        assert metrics["wrong"].tolist() == [0, 0, 0, 0, 1, 0, 0]
        assert metrics["exact"].tolist() == [True] * 4 + [False] + [True] * 2


@pytest.mark.parametrize("name", RANGES)
def test_unusable_logits_are_refused(name):
    task, batch = draw(name)
    for use in (task.loss, task.metrics, lambda logits, batch: task.render(batch, 0, logits)):
        with pytest.raises(ValueError, match="logits must have shape"):
            use(batch.target[:, 1:], batch)
        with pytest.raises(ValueError, match=r"floating point, got torch.int64"):
            use(batch.target.long(), batch)
    with pytest.raises(ValueError, match="index must be a whole number from 0 to 6, got 7"):
        task.render(batch, 7)


# Drawing and the command line


def test_drawings_can_be_read():
    task, batch = draw("adding", length=20)
    first, second = batch.input[2, :, 1].nonzero().flatten().tolist()
    values = batch.input[2, :, 0]
    text = task.render(batch, 2, torch.full_like(batch.target, 0.5))
    total = float(values[first] + values[second])
    assert f"{values[first]:.3f} (step {first}) + {values[second]:.3f} (step {second}) = {total:.3f}" in text
    assert text.endswith("predicted 0.500")
    assert "".join(str(int(10 * value)) for value in values.tolist()) in text
    assert "predicted" not in task.render(batch, 2)
    task, batch = draw("temporal-order", length=30)
    text = task.render(batch, 1, batch.target)
    assert "".join(spelled(task, batch.input[1].numpy())) in text
    assert text.splitlines()[0] == "temporal-order: 30 steps, 1 scored, 0 predicted wrong"
    (target,), (predicted,) = ([line for line in text.splitlines() if line.startswith(row)] for row in ("targ", "pred"))
    assert target.split()[1:] == predicted.split()[1:] == list("QRSU"[int(batch.target[1, -1].argmax())])
    task, batch = draw("copy-memory", length=15)
    symbols = "".join(spelled(task, batch.input[0].numpy()))
    assert symbols in task.render(batch, 0)
    assert "." * 25 + symbols[:10] in task.render(batch, 0)
    task, batch = draw("agreement", length=13)
    for row, (given, target, _) in enumerate(rows_of(batch)):
        text = task.render(batch, row, -batch.target)
        words = spelled(task, given)
        nouns = [noun.endswith("s") for noun in parse(words)]
        assert " ".join(words) in text.replace("\n", " ")
        assert f"{sum(noun != nouns[0] for noun in nouns)} attractors" in text
        assert ("verb: plural (are)" in text) == bool(target[-1, 1])
        assert ("predicted: singular" in text) == bool(target[-1, 1])


@pytest.mark.parametrize("name", RANGES)
def test_show(name, capsys):
    outputs = []
    for arguments in ([], ["--seed", "1"], ["--length", "60"]):
        main(["show", name, *arguments])
        outputs.append(capsys.readouterr().out)
    assert outputs[0] != outputs[1]
    for text in outputs:
        assert text.startswith(f"{name}: ")
        assert max(map(len, text.splitlines())) <= 80


def test_batches_longer_than_their_neighbours_change_nothing_but_the_padding():
    """Rows of other lengths in a batch do not change what a row must answer."""
    for name, length in itertools.product(RANGES, (5, 12)):
        task, batch = draw(name, length=(length, length))
        wide = type(batch)(
            *(torch.nn.functional.pad(part, (0, 0, 0, 3)) for part in batch[:2]), batch.mask, batch.lengths
        )
        wide = wide._replace(mask=torch.nn.functional.pad(batch.mask, (0, 3)))
        logits = random_logits(wide)
        small = logits[:, : batch.mask.size(1)]
        assert task.loss(logits, wide).item() == pytest.approx(task.loss(small, batch).item(), rel=1e-6)
        assert summary(task, logits, wide) == pytest.approx(summary(task, small, batch))


@pytest.mark.parametrize("name", ["copy", *RANGES])
def test_metrics_are_summarized_as_they_come(name):
    task = TASKS[name]()
    batch = task.sample(1, length=RANGES.get(name, (3, 3)), generator=torch.Generator().manual_seed(0))
    right = batch.target if name == "adding" else 40 * batch.target - 20
    assert task.summarize(task.metrics(right, batch))["exact_share"] == 1
