"""`python -m tasks write babi` and `show babi`: files as in the release, whole or not at all."""

from pathlib import Path

import pytest

from tasks.__main__ import main
from tasks.babi import TASK_NAMES, BabiData, file_name, generate, parse_stories, stream, write_stories

Capture = pytest.CaptureFixture[str]


def refused(capsys: Capture, *arguments: object) -> str:
    with pytest.raises(SystemExit) as stop:
        main([str(one) for one in arguments])
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert printed.out == ""
    assert printed.err.startswith("python -m tasks")
    assert printed.err.count("\n") == 1, printed.err
    return printed.err


def test_write_all_tasks(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "some" / "where"
    main(["write", "babi", "--questions", "20", "--seed", "7", str(out)])
    assert capsys.readouterr().out == f"40 files with 20 questions each in {out}\n"
    names = {file_name(task, split) for task in TASK_NAMES for split in ("train", "test")}
    assert {path.name for path in out.iterdir()} == names
    data = BabiData(out)
    for task in TASK_NAMES:
        for split in ("train", "test"):
            assert data.read(task, split=split) == generate(task, 20, seed=7, split=split)


def test_write_a_number_of_stories(tmp_path: Path) -> None:
    main(["write", "babi", "--task", "1,18-20", "--stories", "3", str(tmp_path)])
    assert len(list(tmp_path.iterdir())) == 8
    text = (tmp_path / "qa18_size-reasoning_test.txt").read_text()
    endless = stream(18, seed=0, split="test")
    assert parse_stories(text, "text") == [next(endless) for _ in range(3)]


def test_files_that_exist_are_kept(tmp_path: Path, capsys: Capture) -> None:
    kept = tmp_path / file_name(2, "test")
    kept.write_text("precious")
    line = refused(capsys, "write", "babi", "--task", "1-2", "--questions", "5", tmp_path)
    assert f"{tmp_path} already holds {kept.name}; --overwrite" in line
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]
    assert kept.read_text() == "precious"
    main(["write", "babi", "--task", "1-2", "--questions", "5", "--overwrite", str(tmp_path)])
    assert kept.read_text().startswith("1 ")
    assert len(list(tmp_path.iterdir())) == 4


def test_a_failure_leaves_nothing_behind(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(stories: object, task: int) -> object:
        yield from write_stories(stories, task)
        if task == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("tasks.babi.command_line.write_stories", full_disk)
    out = tmp_path / "out"
    line = refused(capsys, "write", "babi", "--task", "1-5", "--questions", "5", out)
    assert f"{out}: No space left on device" in line
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    assert "file" in refused(capsys, "write", "babi", tmp_path / "file")
    assert "Not a directory" in refused(capsys, "write", "babi", "--task", "1", tmp_path / "file" / "out")
    assert "OUT: must not be empty" in refused(capsys, "write", "babi", "")


def test_show(capsys: Capture) -> None:
    outputs = []
    for arguments in ([], ["--seed", "1"], ["--people", "2", "--noise", "2"]):
        main(["show", "babi", "--task", "7", *arguments])
        outputs.append(capsys.readouterr().out)
    assert len(set(outputs)) == 3
    assert all(len(parse_stories(text, "shown")) == 1 for text in outputs)
    assert "carrying? \t" in outputs[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("write", "babi, OUT"),
        ("write babi", "OUT"),
        ("write copy OUT", "'copy'"),
        ("write babi --task 21 OUT", "--task: must be tasks from 1 to 20, got '21'"),
        ("write babi --task 0-3 OUT", "must be tasks from 1 to 20, got '0-3'"),
        ("write babi --task 3-1 OUT", "must be tasks from 1 to 20, got '3-1'"),
        ("write babi --task one OUT", "must be tasks such as 7, 1-20 or 1,3,15-17, got 'one'"),
        ("write babi --task 1, OUT", "must be tasks such as"),
        ("write babi --task ² OUT", "must be tasks such as"),
        ("write babi --stories 0 OUT", "--stories: must be a whole number from 1"),
        ("write babi --questions many OUT", "--questions"),
        ("write babi --stories 1 --questions 1 OUT", "not allowed with"),
        ("write babi --objects 5 OUT", "task 1 has no number of objects to choose"),
        ("write babi --task 2 --people 99 OUT", "task 2 can have"),
        ("write babi --task 2 --noise lots OUT", "--noise: must be a number, got 'lots'"),
        ("write babi --task 2 --noise -1 OUT", "noise"),
        ("write babi --seed -1 OUT", "--seed"),
        ("show babi", "babi needs one --task from 1 to 20"),
        ("show babi --task 1-2", "babi needs one --task"),
        ("show babi --task 1 --length 5", "--length is not for babi"),
        ("show babi --task 1 --places 1", "places must be a whole number of at least 2, got 1"),
        ("show copy --task 1", "for babi, not for copy"),
        ("show copy --noise 1", "for babi, not for copy"),
        ("show baby", "the nearest is 'babi'"),
    ],
)
def test_mistakes(arguments: str, words: str, tmp_path: Path, capsys: Capture) -> None:
    line = refused(capsys, *arguments.replace("OUT", str(tmp_path / "out")).split())
    assert words in line
    assert list(tmp_path.iterdir()) == []
