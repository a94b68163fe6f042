"""Groups, languages, recall, programs, games against slow readings of their input, sharing nothing with `tasks`."""

import math
import re
from collections import Counter

import numpy as np
import pytest
import torch

from tasks import TASKS, CodeExecution, CounterLanguage, CountRecall, Dyck, FlipFlop, GroupProduct, NthFarthest
from tasks.formal.languages import LanguageTask
from tests.batches import rows_of, seeded
from tests.test_formal_tasks import told

LANGUAGES = [name for name, kind in TASKS.items() if issubclass(kind, LanguageTask)]


# Groups


@pytest.mark.parametrize(
    ("group", "order", "things", "cycle"),
    [
        *[("Z2", 2, 0, 2), ("Z60", 60, 0, 60), ("S3", 6, 3, 1), ("S4", 24, 4, 1)],
        *[("A5", 60, 5, 1), ("S5", 120, 5, 1), ("A4xZ5", 60, 4, 5)],
    ],
)
def test_products_of_groups(group, order, things, cycle):
    task = GroupProduct(group)
    assert len(set(task.input_channels)) == task.output_size == order

    def parts(name):
        permutation, _, number = name.partition("+") if things else ("", "", name)
        return permutation, int(number or 0)

    for names, answers in told(task, task.sample(20, length=(1, 30), generator=seeded())):
        state, added = list(range(things)), 0
        for step, name in enumerate(names):
            permutation, number = parts(name)
            state, added = [state[int(place) - 1] for place in permutation], (added + number) % cycle
            assert parts(answers[step]) == ("".join(str(place + 1) for place in state), added)
        assert len(answers) == len(names)
    with pytest.raises(ValueError, match=r"group must be one of Z2, .*, got 'D4'"):
        GroupProduct("D4")


# Flip-flops


@pytest.mark.parametrize("ignored", [None, 0.98, 0.1])
def test_what_was_written_is_read(ignored):
    options = {} if ignored is None else {"ignored": ignored}
    batch = FlipFlop().sample(40, length=200, generator=seeded(), **options)
    kinds = Counter()
    for names, answers in told(FlipFlop(), batch):
        assert names[0] == "w"
        assert names[-2] == "r"
        expected, written = {}, None
        for step in range(0, len(names), 2):
            instruction, bit = names[step : step + 2]
            kinds[instruction] += 0 < step < len(names) - 2
            if instruction == "w":
                written = bit
            if instruction == "r":
                assert bit == written
                expected[step] = bit
        assert answers == expected
    shares = {kind: count / kinds.total() for kind, count in kinds.items()}
    kept = ignored or 0.8
    assert shares["i"] == pytest.approx(kept, abs=0.02)
    assert shares["r"] == pytest.approx(shares["w"], abs=0.02)


# Languages


def follow(task, prefix, whole):
    """What may follow, by the rule of the language."""
    if task.name == "counter-language":
        n, letters = len(whole) // len(task.input_channels), [*task.input_channels, "end"]
        return {"a", "b"} if len(prefix) <= n and prefix[-1] == "a" else {letters[len(prefix) // n]}
    kept = []
    for symbol in prefix:
        if symbol in "([{<":
            kept.append(symbol)
        else:
            assert kept.pop() + symbol in ("()", "[]", "{}", "<>")
    opening = set("([{<"[: task.kinds]) if task.depth is None or len(kept) < task.depth else set()
    return opening | ({dict(zip("([{<", ")]}>", strict=True))[kept[-1]]} if kept else {"end"})


@pytest.mark.parametrize(
    "task", [CounterLanguage(2), CounterLanguage(), CounterLanguage(5), Dyck(), Dyck(3, 2), Dyck(1)]
)
def test_what_may_follow(task):
    batch = task.sample(40, length=(1, 9), generator=seeded())
    for given, target, mask in rows_of(batch):
        word = [task.input_channels[row.argmax()] for row in given]
        assert (given.sum(1) == 1).all()
        assert mask.all()
        for step, row in enumerate(target):
            expected = follow(task, word[: step + 1], word)
            assert {name for name, bit in zip(task.output_channels, row, strict=True) if bit} == expected
        assert target[-1][-1] == 1


def test_deep_brackets_are_deep():
    def deepest(batch):
        opened = 2 * batch.input[..., :2].sum(2) - batch.mask.float()
        return float(opened.cumsum(1).amax(1).mean())

    task = Dyck()
    deep = deepest(task.sample(50, length=140, generator=seeded(), **task.variants["deep"]))
    assert deep > 90 > 3 * deepest(task.sample(50, length=140, generator=seeded()))


@pytest.mark.parametrize("name", LANGUAGES)
def test_baselines_of_languages(name):
    task = TASKS[name]()
    batch, known = task.sample(300, length=12, generator=seeded(5)), task.baselines(12)
    shares = batch.target[batch.mask].mean(0).clamp(1e-6, 1 - 1e-6)
    scores = task.summarize(task.metrics(torch.logit(shares).expand_as(batch.target), batch))
    for score in ("bit_error_rate", "bits_per_sequence", "wrong_bits_per_sequence"):
        assert known[f"baseline_{score}"] == pytest.approx(scores[score], rel=0.05)


# Recall: from the input to what must be answered at which steps


def read_induction_heads(task, names):
    first, last = [step for step, name in enumerate(names) if name == "|"]
    assert last == len(names) - 1
    return {last: names[first + 1]}


def read_selective_copying(task, names):
    end = names.index("?")
    kept = [name for name in names[:end] if name != "."]
    assert names[end:] == ["?"] * len(kept)
    return {end + place: name for place, name in enumerate(kept)}


def read_associative_retrieval(task, names):
    pairs = dict(zip(names[:-3:2], names[1:-3:2], strict=True))
    assert names[-3:-1] == ["?", "?"]
    assert len(pairs) == len(names) // 2 - 1
    return {len(names) - 1: pairs[names[-1]]}


def read_code_execution(task, names):
    """Run it, statement by statement."""
    values, answers, step = {}, {}, 0
    while step < len(names):
        runs = True
        if names[step] == "if":
            _, variable, side, digit, colon = names[step : step + 5]
            assert colon == ":"
            runs, step = eval(f"{values[variable]} {side} {digit}"), step + 5
        if names[step] == "print":
            assert names[step + 2] == ";"
            answers[step + 2], step = str(values[names[step + 1]]) if runs else "_", step + 3
        elif names[step + 1] == "=":
            values |= {names[step]: int(names[step + 2])} if runs else {}
            step += 4
        else:
            values[names[step]] += {"++": 1, "--": -1}[names[step + 1]] * runs
            step += 3
        assert names[step - 1] == ";"
        assert all(-8 <= value <= 16 for value in values.values())
    return answers


def read_listops(task, names):
    text = " ".join(names)
    for name, call in {"[MIN": "min([", "[MAX": "max([", "[FIRST": "first(["}.items():
        text = text.replace(name, call)
    text = text.replace(" ", ",").replace("[,", "[").replace(",]", "])")
    assert max(np.cumsum([("[" in name) - (name == "]") for name in names])) <= task.depth
    assert not re.search(r"[(]\[[^,]*\]", text)  # none of a single argument
    return {len(names) - 1: str(eval(text, {"first": lambda values: values[0], "min": min, "max": max}))}


def read_repeat_previous(task, names):
    return {step: names[step - 3] for step in range(3, len(names) - 1)}


def read_repeat_first(task, names):
    return dict.fromkeys(range(len(names) - 1), names[0])


def read_autoencode(task, names):
    cards = (len(names) + 1) // 2
    assert names[cards:] == ["C"] * (cards - 1)
    assert names[cards - 1].isupper()
    return {cards - 1 + place: name.lower() for place, name in enumerate(reversed(names[:cards]))}


def read_count_recall(task, names):
    return {step: str(sum(name[0] == names[step][1] for name in names[: step + 1])) for step in range(len(names) - 1)}


READERS = {
    "induction-heads": (read_induction_heads, 30),
    "selective-copying": (read_selective_copying, 60),
    "associative-retrieval": (read_associative_retrieval, 9),
    "code-execution": (read_code_execution, 60),
    "listops": (read_listops, 50),
    "repeat-previous": (read_repeat_previous, 52),
    "repeat-first": (read_repeat_first, 52),
    "autoencode": (read_autoencode, 52),
    "count-recall": (read_count_recall, 52),
}


@pytest.mark.parametrize("name", READERS)
def test_answers_follow_from_the_input(name):
    task, (read, most) = TASKS[name](), READERS[name]
    said = set()
    for length in (task.shortest, (task.shortest, most)):
        for names, answers in told(task, task.sample(60, length=length, generator=seeded(2))):
            assert answers == read(task, names)
            said |= set(answers.values())
    assert said == set(task.output_channels) or name in ("code-execution", "count-recall")


def check_uniform(counts, kinds):
    """All of so many kinds are equally frequent, within five standard deviations."""
    expected = counts.total() / kinds
    assert len(counts) == kinds
    assert max(abs(count - expected) for count in counts.values()) < 5 * math.sqrt(expected)


# What is asked for, and where it stands, by the names of the input: one of so many, all alike.
ALIKE = {
    "marks": ("induction-heads", 8, lambda names: [names.index("|")], 6),
    "what follows marks": ("induction-heads", 8, lambda names: [names[names.index("|") + 1]], 15),
    "places of tokens": (
        "selective-copying",
        20,
        lambda names: [step for step, name in enumerate(names[:20]) if name != "."],
        20,
    ),
    "tokens": ("selective-copying", 20, lambda names: [name for name in names if name not in ".?"], 14),
    "letters": ("associative-retrieval", 5, lambda names: names[:10:2], 26),
    "digits": ("associative-retrieval", 5, lambda names: names[1:10:2], 10),
    "letters asked for": ("associative-retrieval", 5, lambda names: [names.index(names[-1])], 5),
    "elements": ("group-product", 5, lambda names: names, 6),
    "signs": ("binary-addition", 9, lambda names: [names.index("+")], 7),
    "symbols told": ("stack-manipulation", 9, lambda names: [sum(name in "01" for name in names)], 8),
    "actions": ("stack-manipulation", 9, lambda names: [name for name in names if name in "vab"], 3),
    "hidden symbols": ("missing-duplicate", 8, lambda names: [names.index("x")], 8),
}


@pytest.mark.parametrize("what", ALIKE)
def test_what_is_drawn_is_uniform(what):
    name, length, read, kinds = ALIKE[what]
    rows = told(TASKS[name](), TASKS[name]().sample(2000, length=length, generator=seeded(3)))
    check_uniform(Counter(found for names, _ in rows for found in read(names)), kinds)


@pytest.mark.parametrize(("name", "level", "suit"), [("repeat-first", "medium", 104), ("autoencode", "hard", 39)])
def test_a_whole_game_has_all_cards_of_its_decks(name, level, suit):
    task = TASKS[name](level)
    for names, _ in told(task, task.sample(2, length=task.longest, generator=seeded())):
        cards = names[:-1] if name == "repeat-first" else names[: task.longest]
        counts = Counter(card.lower() for card in [*cards, *names[len(cards) : task.longest]])
        assert counts == dict.fromkeys("cdhs", suit)
    with pytest.raises(ValueError, match=f"length must be at most {task.longest}, where this task ends"):
        task.sample(1, length=task.longest + 1, generator=seeded())


def test_games_are_scored_by_their_return():
    task = CountRecall("hard")
    assert task.output_size == 17
    batch = task.sample(3, length=208, generator=seeded())
    assert batch.mask.sum(1).tolist() == [207] * 3
    right = task.channels(batch).target
    assert task.summarize(task.metrics(right, batch))["return"] == 1
    right[0, 5] = right[0, 5].roll(1)
    assert task.summarize(task.metrics(right, batch))["return"] == pytest.approx(1 - 2 / 207 / 3)
    assert task.summarize(task.metrics(-right, batch))["return"] == pytest.approx(-1, abs=0.01)


def test_the_farthest_vectors():
    task, ranks, asked = NthFarthest(6, 3), Counter(), Counter()
    batch = task.sample(3000, length=(2, 6), generator=seeded())
    for given, target, mask in rows_of(batch):
        points, told = given[:, :3], given[:, 3:].reshape(len(given), 3, 6)
        assert (told.sum(2) == 1).all()
        labels, centres, places = told.argmax(2).T.tolist()
        assert len(set(centres)) == len(set(places)) == 1
        assert len(set(labels)) == len(given)
        middle = points[labels.index(centres[0])]
        order = sorted(range(len(given)), key=lambda one: -float(((points[one] - middle) ** 2).sum()))
        assert mask.tolist() == [False] * (len(given) - 1) + [True]
        assert target[-1].tolist() == [float(labels[order[places[0]]] == label) for label in range(6)]
        ranks[places[0]] += 1
        asked[labels.index(centres[0]), places[0]] += len(given) == 6
    assert set(ranks) == set(range(6))
    check_uniform(asked, 36)
    assert task.baselines(4) == {
        "baseline_exact_share": 0.25,
        "baseline_error_percent": 75,
        "baseline_nats_per_step": pytest.approx(math.log(4)),
    }
    assert "number" in task.render(batch, 3, batch.target)


def test_programs_have_every_kind_of_statement():
    seen = Counter()
    for names, _ in told(CodeExecution(5), CodeExecution(5).sample(40, length=40, generator=seeded())):
        seen.update(names)
    assert set(seen) == set(CodeExecution(5).input_channels)
    # A statement in four is a condition, but for the first and the last.
    assert seen["if"] == pytest.approx(40 * 38 / 4, rel=0.1)
