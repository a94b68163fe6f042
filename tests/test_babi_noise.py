"""Stories in noise against the stories themselves, found again in plain Python."""

import re
from collections import Counter

import pytest

from experiments.domains.sequences import evaluation
from experiments.domains.sequences.evaluation import test_at as at
from memnet import GRU, TokenReader
from tasks import BabiNoise
from tasks.babi import Question, generate
from tests.babi_release import DATA, needs_release
from tests.batches import random_logits, seeded
from tests.test_formal_tasks import told

FEW = {"babi_data": "generated", "questions": 60, "test_questions": 40}


def questions_of(number, split):
    """(facts, question, answer) of every question, as text in small letters."""
    found = set()
    for story in generate(number, FEW["questions" if split == "train" else "test_questions"], seed=0, split=split):
        facts = []
        for line in story:
            text = re.sub(r"([.?])$", r" \1", line.text.lower().strip())
            if isinstance(line, Question):
                found.add((tuple(facts), text, line.answer.lower()))
            else:
                facts.append(text)
    return found


def sentences_of(names):
    """Sentences before the question, and the question, as text."""
    *sentences, question = re.findall(r"[^.?]+[.?]", " ".join(names).removesuffix(" -"))
    return [one.strip() for one in sentences], question.strip()


@pytest.mark.parametrize("number", [1, 2, 15, 8])
def test_stories_are_found_again_without_the_noise(number):
    task = BabiNoise(number, **FEW)
    known = questions_of(number, "test")
    words = {word for facts, question, _ in known for one in (*facts, question) for word in one.split()} - {"."}
    for length in (task.shortest, task.shortest + 50, (task.shortest, 400)):
        batch = task.sample(20, length=length, generator=seeded())
        for names, answers in told(task, batch):
            sentences, question = sentences_of(names)
            facts = tuple(one for one in sentences if set(one.split()) & words)
            assert names[-1] == "-"
            (step,) = answers
            assert step == len(names) - 1
            assert (facts, question, answers[step]) in known
            before = sum(len(one.split()) for one in sentences)
            if not isinstance(length, int):
                continue
            assert length - 20 < before <= length or before == sum(len(one.split()) for one in facts)


def test_a_text_is_told_with_its_answer():
    task = BabiNoise(1, **FEW)
    batch = task.sample(2, length=80, generator=seeded())
    ((names, answers), _) = told(task, batch)
    (answer,) = answers.values()
    lines = task.render(batch, 0, random_logits(task.channels(batch)), 60).splitlines()
    assert " ".join(lines[2:]).startswith(f"{' '.join(names)} {answer} (predicted ")
    assert max(map(len, lines)) <= 60


def test_facts_stand_anywhere():
    task, places = BabiNoise(1, **FEW), Counter()
    for names, _ in told(task, task.sample(1000, length=300, generator=seeded(1))):
        sentences, _ = sentences_of(names)
        for place, one in enumerate(sentences):
            if re.search(r" to the ", one):
                places[5 * place // len(sentences)] += 1
    assert len(places) == 5
    assert max(places.values()) < 1.1 * places.total() / 5


def test_splits_have_stories_and_noise_of_their_own():
    task = BabiNoise(1, **FEW)
    drawn, noise = {}, {}
    for split, draw in (("train", task.training_batch), ("valid", task.validation_batch), ("test", task.sample)):
        rows = told(task, draw(200, length=200, generator=seeded()))
        told_of = [sentences_of(names) for names, _ in rows]
        facts = [(tuple(one for one in some if " to the " in one), question) for some, question in told_of]
        drawn[split] = set(facts)
        noise[split] = {one for some, _ in told_of for one in some if " to the " not in one}
    train = {(facts, question) for facts, question, _ in questions_of(1, "train")}
    assert drawn["train"] | drawn["valid"] <= train
    assert drawn["test"] <= {(facts, question) for facts, question, _ in questions_of(1, "test")}
    assert not drawn["train"] & drawn["valid"]
    assert not noise["train"] & noise["test"]
    assert noise["valid"] & noise["train"]
    words = {word for one in noise["train"] | noise["test"] for word in one.split()} - {"."}
    assert not words & {word for facts, question in train for one in (*facts, question) for word in one.split()}


def asked(task):
    """(facts, question) of all questions by split."""
    return {split: [(tale.facts, tale.question) for tale in tales] for split, tales in task._tales.items()}


@pytest.mark.parametrize("number", [1, 4])
def test_no_question_of_a_split_stands_in_another_one(number):
    found = asked(BabiNoise(number, "generated"))
    train, valid, test = ({*found[split]} for split in ("train", "valid", "test"))
    assert not train & valid | train & test | valid & test
    assert len(found["train"]) == 9000
    assert len(found["test"]) > {1: 900, 4: 200}[number]


@needs_release
def test_tests_of_the_release_are_whole():
    found = asked(BabiNoise(4, str(DATA), "1k"))
    train, valid = ({*found[split]} for split in ("train", "valid"))
    assert not train & valid
    assert len(found["test"]) == 1000
    assert sum(one in train | valid for one in found["test"]) == 134


def test_a_long_text_is_read_in_chunks_that_do_not_grow(monkeypatch):
    task, steps = BabiNoise(1, **FEW), []
    model = TokenReader(GRU(3, task.output_size, hidden_size=3), task.input_size)
    read = model.forward

    def watched(tokens, *state, **more):
        steps.append(tokens.shape)
        return read(tokens, *state, **more)

    monkeypatch.setattr(model, "forward", watched)
    row = at(model, task, 10_000, sequences=3, seed=0)
    assert row["count"] == 3
    assert {rows for rows, _ in steps} == {3}
    assert max(time for _, time in steps) == evaluation._CHUNK
    assert 9990 < sum(time for _, time in steps) < 10_010


def test_what_cannot_be():
    task = BabiNoise(1, **FEW)
    with pytest.raises(ValueError, match=f"at least {task.shortest}, got {task.shortest - 1}"):
        task.sample(1, length=task.shortest - 1, generator=seeded())
    with pytest.raises(ValueError, match="numbers must be tasks from 1 to 20, got '21'"):
        BabiNoise(21)
    with pytest.raises(ValueError, match="every test question stands in training, too: expected more test_questions"):
        BabiNoise(4, "generated", test_questions=1).sample(1, length=100, generator=seeded())
    with pytest.raises(ValueError, match="too few training stories to keep a tenth for validation"):
        BabiNoise(1, babi_data="generated", questions=4).validation_batch(1, length=200, generator=seeded())
