"""The tasks of formal languages against slow readings of their input in plain Python, sharing nothing with `tasks`."""

import math
from collections import Counter
from functools import cache
from itertools import product

import pytest
import torch

from tasks import TASKS, CycleNavigation, DrawnTask, ModularArithmetic
from tasks.__main__ import main
from tasks.formal.expressions import value_shares
from tasks.formal.strings import StringTask
from tests.batches import random_logits, seeded

DRAWN = [name for name, kind in TASKS.items() if issubclass(kind, DrawnTask)]
STRINGS = [name for name in DRAWN if issubclass(TASKS[name], StringTask)]


def told(task, batch):
    """The names of the channels of every row: (input, {scored step: answer}), which holds nothing after its end."""
    batch = task.channels(batch)
    rows = []
    for given, target, mask, steps in zip(*batch, strict=True):
        assert not given[steps:].any()
        assert not mask[steps:].any()
        assert torch.equal(given[:steps].sum(1), torch.ones(int(steps)))
        assert torch.equal(target.sum(1), mask.float())
        names = [task.input_channels[place] for place in given[:steps].argmax(1).tolist()]
        answers = {step: task.output_channels[int(target[step].argmax())] for step in mask.nonzero()[:, 0].tolist()}
        rows.append((names, answers))
    return rows


# One slow solver a task of strings: from the string to the answer.


def stack(string):
    kept = []
    for symbol in string:
        if symbol == "v":
            kept = kept[:-1]
        else:
            kept.append({"a": "0", "b": "1"}.get(symbol, symbol))
    return "".join(reversed(kept)) + "."


def missing(string):
    half, place = len(string) // 2, string.index("x")
    assert string[2 * half :] == "_" * (len(string) % 2)
    return string[(place + half) % (2 * half)]


def solution(string):
    left, right = string.split("=")
    (found,) = [digit for digit in "01234" if eval(left.replace("x", digit)) % 5 == int(right)]
    return found


def binary(sign):
    def answer(string):
        one, other = (int(part[::-1], 2) for part in string.split(sign))
        assert one
        assert other
        return f"{one + other if sign == '+' else one * other:b}"[::-1] + "."

    return answer


def root(string):
    number, count, found = int(string, 2), -(-len(string) // 2), 0
    assert number
    for place in reversed(range(count)):
        found += 2**place if (found + 2**place) ** 2 <= number else 0
    return f"{found:0{count}b}"


ORACLES = {
    "even-pairs": lambda string: str((string.count("01") + string.count("10")) % 2),
    "modular-arithmetic": lambda string: str(eval(string) % 5),
    "parity": lambda string: str(string.count("1") % 2),
    "cycle-navigation": lambda string: str((string.count("+") - string.count("-")) % 5),
    "stack-manipulation": stack,
    "reverse-string": lambda string: string[::-1],
    "modular-arithmetic-brackets": lambda string: str(eval(string) % 5),
    "solve-equation": solution,
    "duplicate-string": lambda string: string + string,
    "missing-duplicate": missing,
    "odds-first": lambda string: string[1::2] + string[::2],
    "binary-addition": binary("+"),
    "binary-multiplication": binary("*"),
    "compute-sqrt": root,
    "bucket-sort": lambda string: "".join(sorted(string)),
}


def length_of(task, string):
    """Strings of an even length are one symbol shorter where they are of digits with operators between them."""
    return {len(string), len(string) + 1} if task.name == "modular-arithmetic" else {len(string)}


@pytest.mark.parametrize("name", STRINGS)
def test_answers_follow_from_the_string(name):
    task = TASKS[name]()
    for length in (task.shortest, 2 + task.shortest, 41, (task.shortest, 24)):
        for names, answers in told(task, task.sample(60, length=length, generator=seeded())):
            string = "".join(names).rstrip("?")
            answer = ORACLES[name](string)
            assert "?" not in string
            assert answers == {len(string) + step: symbol for step, symbol in enumerate(answer)}
            if isinstance(length, int):
                assert length in length_of(task, string)


@pytest.mark.parametrize("name", STRINGS)
def test_strings_have_every_length_and_every_symbol(name):
    task = TASKS[name]()
    low, high = task.shortest, task.shortest + 5
    rows = told(task, task.sample(600, length=(low, high), generator=seeded(1)))
    assert {symbol for names, _ in rows for symbol in names} == set(task.input_channels)
    assert {symbol for _, answers in rows for symbol in answers.values()} == set(task.output_channels)
    counts = Counter(len("".join(names).rstrip("?")) for names, _ in rows)
    expected = 600 / 6 * len(length_of(task, "0"))
    assert all(abs(count - expected) < 6 * math.sqrt(expected) for count in counts.values())


@pytest.mark.parametrize(("name", "length"), [("modular-arithmetic-brackets", 5), ("modular-arithmetic-brackets", 12)])
def test_expressions_have_every_tree_that_their_length_allows(name, length):
    """The left part is as long as any other: where its operator stands is uniform."""
    rows = told(TASKS[name](), TASKS[name]().sample(3000, length=length, generator=seeded()))
    places = Counter()
    for names, _ in rows:
        depth = 0
        for place, symbol in enumerate(names[:length]):
            depth += {"(": 1, ")": -1}.get(symbol, 0)
            if depth == 1 and symbol in "+-*" and names[place - 1] != "(":
                places[place] += 1
                break
    expected = 3000 / (length - 4)
    assert set(places) == set(range(2, length - 2))
    assert all(abs(count - expected) < 5 * math.sqrt(expected) for count in places.values())


# What all drawn tasks share


@cache
def made(name):
    """A task as it is by default; some have stories to make first."""
    return TASKS[name]()


@pytest.mark.parametrize("name", DRAWN)
def test_a_seed_is_a_batch_and_difficulties_are_checked(name):
    task = made(name)
    length = (task.shortest, task.shortest + 6)
    one, same, other = (task.sample(9, length=length, generator=seeded(seed)) for seed in (0, 0, 1))
    assert all(map(torch.equal, one, same))
    assert not torch.equal(one.input, other.input)
    assert one.mask.any(1).all()
    with pytest.raises(ValueError, match=f"at least {task.shortest}, got {task.shortest - 1}"):
        task.sample(2, length=task.shortest - 1, generator=seeded())


@pytest.mark.parametrize("name", DRAWN)
def test_scores_of_right_wrong_and_constant_answers(name):
    task, rows = made(name), 1500
    batch = task.sample(rows, length=task.shortest + 7, generator=seeded())
    right = task.channels(batch).target * 9
    scores = task.summarize(task.metrics(right, batch))
    assert (scores["exact_share"], scores["right_share"], scores["error_percent"]) == (1, 1, 0)
    shares = task.channels(batch).target[batch.mask].mean(0)
    known = task.baselines(task.shortest + 7)
    scores = task.summarize(task.metrics(shares.log().clamp(min=-50).expand_as(right).contiguous(), batch))
    guess = known["baseline_right_share"]
    assert guess == pytest.approx(float(shares.max()), abs=5 * math.sqrt(guess * (1 - guess) / rows))
    assert known["baseline_nats_per_step"] == pytest.approx(scores["nats_per_step"], abs=0.03)
    assert known["baseline_right_share"] >= 1 / task.output_size
    worst = task.summarize(task.metrics(-right, batch))
    assert (worst["exact_share"], worst["right_share"]) == (0, 0)
    text = task.render(batch, 1, random_logits(task.channels(batch)))
    assert text.startswith(f"{name}: {int(batch.lengths[1])} steps, ")
    assert max(map(len, text.splitlines())) <= 80


FORMS = {
    "even-pairs": {1: ["b"], 2: ["bb"], 5: ["bbbbb"]},
    "cycle-navigation": {1: ["s"], 4: ["ssss"]},
    "modular-arithmetic": {1: ["d"], 4: ["dod"], 5: ["dodod"]},
    # Of the five ways to split nine symbols two leave five of them for a further operator.
    "modular-arithmetic-brackets": {2: ["-d"], 5: ["(dod)"], 9: ["((dod)od)", "(do(dod))", *3 * ["(dod)"]]},
}
CHOICES = {"b": "01", "s": "-0+", "d": "01234", "o": "+-*"}


@pytest.mark.parametrize("name", FORMS)
def test_baselines_that_are_known_are_those_of_all_strings(name):
    task = TASKS[name]()
    for length, forms in FORMS[name].items():
        shares = Counter()
        for form in forms:
            strings = ["".join(one) for one in product(*(CHOICES.get(symbol, symbol) for symbol in form))]
            for string in strings:
                shares[ORACLES[name](string)] += 1 / len(strings) / len(forms)
        expected = [shares[symbol] for symbol in task.output_channels]
        assert task.shares(length).tolist() == pytest.approx(expected)
        assert task.baselines(length)["baseline_right_share"] == pytest.approx(max(expected))


def test_who_walks_in_circles_goes_his_own_way_in_training_alone():
    task = CycleNavigation(uneven=0.5)
    drawn, plain = (
        draw(4000, length=40, generator=seeded(3)).input[:, :40, :3].mean(1)
        for draw in (task.training_batch, task.sample)
    )
    assert torch.equal(
        task.sample(3, length=9, generator=seeded()).input,
        CycleNavigation().sample(3, length=9, generator=seeded()).input,
    )
    # The frequency of one of three ways: of 40 alike 1/3 with a deviation of 0.075, else uneven by Dirichlet (1, 1, 1).
    assert drawn.mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=0.02)
    assert plain.var(0).tolist() == pytest.approx([2 / 9 / 40] * 3, rel=0.1)
    mixed = 2 / 9 / 40 + 0.5 * (1 - 1 / 40) / 18
    assert drawn.var(0).tolist() == pytest.approx([mixed] * 3, rel=0.1)
    batch = task.training_batch(20, length=(2, 9), generator=seeded())
    for row, steps in enumerate(batch.lengths.tolist()):
        walked = batch.input[row, : steps - 1, :3].argmax(1) - 1
        assert int(batch.target[row, steps - 1].argmax()) == int(walked.sum()) % 5
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="uneven must be between 0 and 1"):
            CycleNavigation(uneven=wrong)


def test_sums_have_digits_and_operators_of_their_own_in_training_alone():
    task = ModularArithmetic(uneven=1.0)
    drawn, plain = (
        draw(4000, length=39, generator=seeded(3)).input[:, :39] for draw in (task.training_batch, task.sample)
    )
    assert torch.equal(plain, ModularArithmetic().sample(4000, length=39, generator=seeded(3)).input[:, :39])
    # Of n symbols of k kinds alike a frequency has the variance p (1 - p) / n, with p = 1 / k; of uneven ones, by
    # Dirichlet (1, ..., 1), (1 - 1 / n) p (1 - p) / (k + 1) more.
    for strings, first, kinds, count, start in ((drawn, 0, 5, 20, 0), (drawn, 5, 3, 19, 1), (plain, 0, 5, 20, 0)):
        shares = strings[:, start::2, first : first + kinds].mean(1)
        even = (1 - 1 / kinds) / kinds
        more = (1 - 1 / count) * even / (kinds + 1) if strings is drawn else 0
        assert shares.mean(0).tolist() == pytest.approx([1 / kinds] * kinds, abs=0.02)
        assert shares.var(0).tolist() == pytest.approx([even / count + more] * kinds, rel=0.1)
    # Those of half of the strings, of the same ones: how uneven both are goes together.
    for share, least, most in ((0.5, 0.3, 1.0), (0.0, -0.1, 0.1)):
        some = ModularArithmetic(uneven=share).training_batch(4000, length=39, generator=seeded(3)).input[:, :39]
        uneven = [part.mean(1).square().sum(1) for part in (some[:, ::2, :5], some[:, 1::2, 5:8])]
        assert least < float(torch.corrcoef(torch.stack(uneven))[0, 1]) < most
    batch = task.training_batch(20, length=(1, 9), generator=seeded())
    for row, symbols, target in zip(batch.input.argmax(2), batch.lengths.tolist(), batch.target, strict=True):
        string = "".join(task.input_channels[symbol] for symbol in row[: symbols - 1].tolist())
        assert task.output_channels[int(target[symbols - 1].argmax())] == str(eval(string) % 5)


def test_baselines_of_long_strings_are_no_better_than_those_of_short_ones():
    for name, share in (("even-pairs", 0.5), ("cycle-navigation", 0.2), ("modular-arithmetic", 0.2)):
        for length in (41, 500, 10_000):
            assert TASKS[name]().baselines(length)["baseline_right_share"] == pytest.approx(share, abs=1e-4)
    assert value_shares(4000)[0] == pytest.approx(float(value_shares(2000)[0]), abs=0.003)
    short, long = (TASKS["listops"]().baselines(length)["baseline_right_share"] for length in (150, 600))
    assert long == pytest.approx(short, abs=0.03)
    # One answer a row: of as many rows, which are shorter.
    answers = CycleNavigation().drawn_answers(100_000)
    assert (answers >= 0).sum() == 10_000


def test_tasks_are_shown(capsys):
    main(["show", "parity", "--length", "5"])
    assert capsys.readouterr().out.startswith("parity: 6 steps, 1 scored\n")
