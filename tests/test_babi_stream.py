"""Stories word by word against the stories themselves, read in plain Python."""

import re
from functools import partial

import pytest
import torch

from experiments.base.files import UserError
from experiments.domains.sequences.evaluation import test_over as over
from memnet import GRU
from tasks import BabiStream
from tasks.babi import Question, generate
from tests.batches import random_logits, rows_of, seeded

FEW = {"questions": 60, "test_questions": 20}


@pytest.fixture(scope="module")
def lists_and_paths():
    """Tasks whose answers may have several words."""
    return BabiStream("8,19", think=2, babi_data="generated", **FEW)


def texts_of(task, split, count):
    """(line, answer or None) of every story, in small letters."""
    stories = generate(task, count, seed=0, split=split)
    return [
        [(line.text.lower(), line.answer if isinstance(line, Question) else None) for line in one] for one in stories
    ]


def told(task, given, target, mask):
    """The same of a row of a batch: its words, the marks at the end of a line, and what is due behind a question."""
    lines, words, due = [], [], []
    for row, answer, scored in zip(given, target, mask, strict=True):
        assert row.sum() in (0, 1)
        word = task.input_channels[int(row.argmax())] if row.any() else ""
        assert scored == (word == "-")
        assert answer.sum() == scored
        if scored:
            due.append(task.output_channels[int(answer.argmax())])
            continue
        if due:
            lines[-1] = (lines[-1][0], ",".join(due))
            due = []
        words.append(word)
        if word in (".", "?"):
            lines.append((re.sub(r" ([.?])$", r"\1", " ".join(words).strip()), None))
            words = []
    assert set(words) <= {""}
    return [*lines[:-1], (lines[-1][0], ",".join(due))]


def test_tests_are_all_stories_in_order(lists_and_paths):
    task = lists_and_paths
    assert (task.length_range, task.test_lengths, task.lengths_to_test(19)) == ((8, 19), (8, 19), (8, 19))
    for number in (8, 19):
        rows, first = [], 0
        while (batch := task.test_batch(first, 3, length=number, generator=seeded())) is not None:
            assert [tensor.dtype for tensor in batch] == [torch.float32, torch.float32, torch.bool, torch.int64]
            rows += [told(task, *row) for row in rows_of(batch)]
            first += 3
        assert rows == texts_of(number, "test", 20)


def test_ranges_are_of_the_tasks_that_there_are(lists_and_paths):
    assert lists_and_paths.lengths_between(8, 19) == [8, 19]
    model = GRU(lists_and_paths.input_size, lists_and_paths.output_size, hidden_size=2)
    row = over(model, lists_and_paths, (1, 20), sequences=4, seed=0)
    assert (row["at"]["length"], row["count"]) == ("1-20", 4)
    for lengths in ((9, 9), (9, 12)):
        with pytest.raises(UserError, match="length is the number of a task, one of 8,19, got 9"):
            over(model, lists_and_paths, lengths, sequences=4, seed=0)


def test_there_are_steps_to_think_before_an_answer(lists_and_paths):
    (row,) = rows_of(lists_and_paths.test_batch(0, 1, length=19, generator=seeded()))
    given, _, mask = row
    (ask,) = given[:, 2].nonzero()[0]
    assert not given[ask + 1 : ask + 3].any()
    assert mask.nonzero()[0].tolist() == [ask + 3, ask + 4]


@pytest.mark.parametrize("bag", [3, 400, "sentence"])
def test_a_bag_counts_the_words_of_the_steps_before(lists_and_paths, bag):
    task = BabiStream("8,19", think=2, babi_data="generated", bag=bag, **FEW)
    assert task.output_channels == lists_and_paths.output_channels
    assert len(set(task.input_channels)) == 2 * task.output_size
    batch, alone = (one.test_batch(0, 3, length=8, generator=seeded()) for one in (task, lists_and_paths))
    assert task.render(batch) == lists_and_paths.render(alone)
    assert torch.equal(batch.target, alone.target)
    for row, (given, _, mask) in enumerate(rows_of(batch)):
        first = 0
        words = [task.output_channels[int(one.argmax())] if one.any() else None for one in alone.input[row]]
        for step, one in enumerate(given):
            found = {name: int(count) for name, count in zip(task.input_channels, one, strict=True) if count}
            if bag != "sentence":
                first = max(0, step - bag)
            elif step and words[step] and (words[step - 1] == "." or (mask[step - 1] and not mask[step])):
                first = step
            before = [word for word in words[first:step] if word]
            expected = {f"{word} before": before.count(word) for word in before}
            assert found == expected | ({words[step]: 1} if words[step] else {})


def test_training_validation_and_tests_have_stories_of_their_own(lists_and_paths):
    task = lists_and_paths
    stories = [text for number in (8, 19) for text in texts_of(number, "train", 60)]
    kept = []
    for draw_one in (task.training_batch, task.validation_batch):
        batch = draw_one(600, length=8, generator=seeded())
        drawn = [told(task, *row) for row in rows_of(batch)]
        kept.append({place for place, story in enumerate(stories) if story in drawn})
        assert all(story in stories for story in drawn)
    assert not kept[0] & kept[1]
    assert kept[0] | kept[1] == set(range(len(stories)))
    assert 0 < len(kept[1]) <= len(stories) / 10
    tests = [told(task, *row) for row in rows_of(task.sample(200, length=(8, 19), generator=seeded()))]
    assert all(story in [*texts_of(8, "test", 20), *texts_of(19, "test", 20)] for story in tests)
    assert len({len(story) for story in tests}) > 1


def test_tasks_are_as_likely_however_many_stories_they_have(lists_and_paths, monkeypatch):
    task = BabiStream("8,19", babi_data="generated", **FEW)
    for split in ("train", "valid", "test"):
        monkeypatch.setitem(task._streams, (8, split), task._streams[8, split][:1])
    alone = {
        number: [told(task, *row) for row in rows_of(task.test_batch(0, 99, length=number, generator=seeded()))]
        for number in (8, 19)
    }
    drawn = [told(task, *row) for row in rows_of(task.sample(400, length=(8, 19), generator=seeded()))]
    assert 150 < sum(story in alone[8] for story in drawn) < 250
    assert len(set(map(str, drawn))) > 2


def test_a_question_is_wrong_once_however_many_of_its_words_are(lists_and_paths):
    task = lists_and_paths
    batch = task.sample(30, length=(8, 19), generator=seeded())
    logits = random_logits(batch) + 2 * batch.target
    wrong = words = wrong_words = questions = exact = 0
    for row, (given, target, mask) in enumerate(rows_of(batch)):
        failed, last = set(), None
        for step, scored in enumerate(mask):
            if given[step, 2]:
                last = step
                questions += 1
            if scored:
                hit = int(logits[row, step].argmax()) == int(target[step].argmax())
                words += 1
                wrong_words += not hit
                failed |= set() if hit else {last}
        wrong += len(failed)
        exact += not failed
    assert 0 < wrong < wrong_words < words
    scores = task.summarize(task.metrics(logits, batch))
    assert scores["question_error_percent"] == pytest.approx(100 * wrong / questions)
    assert scores["word_error_percent"] == pytest.approx(100 * wrong_words / words)
    assert scores["exact_share"] == pytest.approx(exact / 30)


def test_drawings_are_the_story(lists_and_paths):
    task = lists_and_paths
    batch = task.test_batch(0, 1, length=19, generator=seeded())
    (story,) = texts_of(19, "test", 1)
    *facts, (question, answer) = [(re.sub(r"([.?])$", r" \1", text), due) for text, due in story]
    text = task.render(batch, 0, batch.target, width=100)
    assert text.splitlines()[0].endswith("2 scored, 0 predicted wrong")
    assert text.splitlines()[2:-1] == [fact for fact, _ in facts]
    first, second = answer.split(",")
    assert text.splitlines()[-1] == f"{question} {first} (predicted {first}) {second} (predicted {second})"
    assert max(map(len, task.render(batch, width=40).splitlines())) <= 40


def test_files_of_the_release_are_read(tmp_path, monkeypatch):
    folder = tmp_path / "en"
    folder.mkdir()
    line = "1 Mary went to the office.\n2 Where is Mary? \toffice\t1\n"
    for split, count in (("train", 10), ("test", 2)):
        (folder / f"qa1_single-supporting-fact_{split}.txt").write_text(count * line)
    monkeypatch.setenv("MEMNET_BABI", str(tmp_path))
    task = BabiStream(size="1k")
    assert task.babi_data == str(tmp_path)
    assert task.input_channels == ("-", ".", "?", "is", "mary", "office", "the", "to", "went", "where")
    batch = task.test_batch(1, 5, length=1, generator=seeded())
    assert told(task, *next(rows_of(batch))) == [("mary went to the office.", None), ("where is mary?", "office")]
    with pytest.raises(ValueError, match=r"qa2_two-supporting-facts_train.txt, .* missing"):
        BabiStream("1,2", size="1k")
    with pytest.raises(ValueError, match="questions is for generated stories"):
        BabiStream(size="1k", questions=5)
    for name in ("test_questions", "data_seed"):
        with pytest.raises(ValueError, match=f"{name} is for generated stories"):
            BabiStream(size="1k", **{name: 5})


def test_what_cannot_be(lists_and_paths):
    for options, message in (
        ({"numbers": "21"}, "numbers must be tasks from 1 to 20, got '21'"),
        ({"bag": "story"}, "bag must be a whole number of at least 0, or sentence, got 'story'"),
        ({"bag": True}, "bag must be a whole number of at least 0, or sentence, got True"),
        ({"think": -1}, "think must be a whole number of at least 0, got -1"),
        ({"test_questions": 0}, "test_questions must be a whole number of at least 1, got 0"),
        ({"babi_data": "nowhere"}, "nowhere: no such file or folder"),
        ({"size": "2k"}, "size must be one of 1k, 10k, got '2k'"),
        ({"questions": 0}, "questions must be a whole number of at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            BabiStream(**{"babi_data": "generated"} | FEW | options)
    with pytest.raises(ValueError, match="too few training stories of 1 to keep a tenth for validation"):
        BabiStream(babi_data="generated", questions=4).validation_batch(1, length=1, generator=seeded())
    for draw in (partial(lists_and_paths.sample, 1), partial(lists_and_paths.test_batch, 0, 1)):
        with pytest.raises(ValueError, match="length is the number of a task, one of 8,19, got 9"):
            draw(length=9, generator=seeded())
